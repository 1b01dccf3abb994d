"""What the stand-in holds, and what it answers to each call that keeps to the contract."""

import copy
import json
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.metabase import rules
from tests.metabase.contract import Call, RefusedError
from tests.metabase.sql import QueryFailedError, Warehouses, combinations, fill_in, stage_of

Json = dict[str, Any]

MASK = "**MetabasePass**"
COMMON_PASSWORDS = {"password1", "metabase1", "123456", "qwerty1"}
# Metabase syncs in the background: the tables are there a little later.
SYNC_SECONDS = 0.2


class State:
    """One Metabase; kept in a file, if there is one, after every write."""

    def __init__(self, file: Path | None = None, *, tags_as_list: bool = True) -> None:
        self.tags_as_list = tags_as_list
        self.failing_queries = 0
        self.lock = threading.RLock()
        self.warehouses = Warehouses()
        self._file = file
        self._checked: set[str] = set()
        self._shuffle = random.Random(5)
        self.data: Json = {
            "setup_token": str(uuid.uuid4()), "user": None, "sessions": [], "next_id": 1,
            "databases": {}, "collections": {}, "cards": {}, "dashboards": {},
        }  # fmt: skip
        if file and file.exists():
            self.data = json.loads(file.read_text())

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self._file:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self.data))
            fresh.replace(self._file)

    def answer(self, call: Call) -> tuple[int, object]:
        """Status and body; raises RefusedError."""
        with self.lock:
            return _ANSWERS[call.method, call.route](self, call)

    def _next_id(self) -> int:
        self.data["next_id"] += 1
        return int(self.data["next_id"])

    def _of(self, kind: str, key: str | int) -> Json:
        """An object by number or entity id, archived ones as well."""
        objects: dict[str, Json] = self.data[kind]
        for number, each in objects.items():
            if str(key) in (number, each.get("entity_id")):
                return each
        raise RefusedError(404, "Not found.")

    def _numbered(self, kind: str, key: str) -> Json:
        if not key.isdigit():
            raise RefusedError(400, {"id": "value must be an integer greater than zero."})
        return self._of(kind, key)

    # Sessions

    def _log_in(self, body: Json) -> tuple[int, object]:
        user = self.data["user"]
        if not user or (body["username"], body["password"]) != (user["email"], user["password"]):
            raise RefusedError(401, {"password": "did not match stored password"})
        session = str(uuid.uuid4())
        self.data["sessions"].append(session)
        return 200, {"id": session}

    def _set_up(self, body: Json) -> tuple[int, object]:
        if self.data["user"]:
            raise RefusedError(
                403, "The /api/setup route can only be used to create the first user, "
                "however a user currently exists.",
            )  # fmt: skip
        if body["token"] != self.data["setup_token"]:
            raise RefusedError(400, {"token": "Token does not match the setup token."})
        password = body["user"]["password"]
        if len(password) < 6 or password in COMMON_PASSWORDS or not any(map(str.isdigit, password)):
            raise RefusedError(400, {"user.password": "password is too common."})
        self.data["user"] = {"id": 1, "email": body["user"]["email"], "password": password}
        self.data["setup_token"] = None
        session = str(uuid.uuid4())
        self.data["sessions"].append(session)
        return 200, {"id": session}

    def _properties(self) -> Json:
        return {
            "setup-token": self.data["setup_token"],
            "has-user-setup": self.data["user"] is not None,
            "version": {"tag": "v0.63.17"},
            "engines": {"postgres": {}},
        }

    # Databases

    def _databases(self) -> Json:
        known = [self._shown_database(each) for each in self.data["databases"].values()]
        return {"data": known, "total": len(known)}

    def _add_database(self, body: Json) -> tuple[int, object]:
        self._try_connection(body["details"])
        made = {
            "id": self._next_id(), "name": body["name"], "engine": body["engine"],
            "details": body["details"], "description": None, "initial_sync_status": "incomplete",
            "synced_at": time.time() + SYNC_SECONDS, "tables": [],
        }  # fmt: skip
        self.data["databases"][str(made["id"])] = made
        return 200, self._shown_database(made)

    def _change_database(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        details = {**kept["details"], **(body.get("details") or {})}
        if details.get("password") == MASK:
            details["password"] = kept["details"].get("password")
        if details != kept["details"]:
            self._try_connection(details)
        kept.update({**body, "details": details})
        return 200, self._shown_database(kept)

    def _sync(self, number: str) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        kept["synced_at"] = time.time() + SYNC_SECONDS
        return 200, {"status": "ok"}

    def _metadata(self, number: str) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        self._finish_sync(kept)
        return 200, {**self._shown_database(kept), "tables": kept["tables"]}

    def _finish_sync(self, kept: Json) -> None:
        if kept["synced_at"] and time.time() > kept["synced_at"]:
            kept["tables"] = self.warehouses.metadata(kept["details"])
            kept["synced_at"], kept["initial_sync_status"] = None, "complete"

    def _try_connection(self, details: Json) -> None:
        try:
            self.warehouses.rows(details, "select 1 as one", [])
        except QueryFailedError as error:
            raise RefusedError(400, {"details": f"cannot connect: {error}"}) from None

    def _shown_database(self, kept: Json) -> Json:
        hidden = {"password": MASK} if kept["details"].get("password") else {}
        shown = {name: part for name, part in kept.items() if name not in ("tables", "synced_at")}
        return shown | {"details": kept["details"] | hidden, "features": ["native-parameters"]}

    # Collections

    def _collections(self, is_archived: bool) -> list[Json]:
        known = [
            each for each in self.data["collections"].values() if each["archived"] == is_archived
        ]
        root = {"id": "root", "name": "Our analytics", "can_write": True, "archived": False}
        personal = {
            "id": 900_001, "name": "Warehouse Administrator's Personal Collection",
            "archived": False, "personal_owner_id": 1, "location": "/", "description": None,
        }  # fmt: skip
        return copy.deepcopy(known if is_archived else [root, personal, *known])

    def _add_collection(self, body: Json) -> tuple[int, object]:
        parent = body.get("parent_id")
        if parent is not None:
            self._of("collections", parent)
        made = {
            "id": self._next_id(), "name": body["name"], "description": body.get("description"),
            "entity_id": secrets.token_urlsafe(16)[:21], "archived": False,
            "location": f"/{parent}/" if parent else "/",
        }  # fmt: skip
        self.data["collections"][str(made["id"])] = made
        return 200, made

    def _change_collection(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("collections", number)
        # The default of `archived` is false: whatever is sent un-archives.
        kept.update({"archived": False} | {k: v for k, v in body.items() if k != "parent_id"})
        return 200, kept

    def _items(self, number: str, query: Mapping[str, list[str]]) -> tuple[int, object]:
        if number != "root":
            self._of("collections", number)
        is_archived = query.get("archived") == ["true"]
        models = query.get("models") or ["card", "dashboard"]
        found = [
            {
                "model": kind.removesuffix("s"), "id": each["id"], "name": each["name"],
                "entity_id": each["entity_id"], "description": each.get("description"),
                "archived": each["archived"],
            }
            for kind in ("cards", "dashboards")
            if kind.removesuffix("s") in models
            for each in self.data[kind].values()
            if str(each["collection_id"] or "root") == number and each["archived"] == is_archived
        ]  # fmt: skip
        self._shuffle.shuffle(found)
        return 200, {"data": found, "total": len(found), "models": models}

    # Cards

    def _add_card(self, body: Json) -> tuple[int, object]:
        if "entity_id" in body and any(
            each["entity_id"] == body["entity_id"] for each in self.data["cards"].values()
        ):
            rules.refuse("entity_id", "is taken")
        made = {
            "entity_id": secrets.token_urlsafe(16)[:21], "description": None, "archived": False,
            "type": "question", "parameters": [], "collection_id": None, **body,
        }  # fmt: skip
        self._check_card(made, None)
        made["id"] = self._next_id()
        self.data["cards"][str(made["id"])] = made
        return 200, self.shown_card(made)

    def _change_card(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("cards", number)
        changed = {**kept, **body}
        if not changed["archived"]:
            self._check_card(changed, kept["id"])
        kept.update(changed)
        return 200, self.shown_card(kept)

    def _check_card(self, card: Json, own: int | None) -> None:
        rules.check_query(card["dataset_query"], map(int, self.data["databases"]))
        self._check_place("cards", card, own)
        sql, tags = stage_of(card["dataset_query"])
        rules.check_card_parameters(card["parameters"], tags)
        columns, rows = self._check_sql(card["dataset_query"]["database"], sql, tags)
        rules.check_looks(card["display"], card["visualization_settings"], columns, len(rows))
        card["columns"] = [column["name"] for column in columns]

    def _check_place(self, kind: str, made: Json, own: int | None) -> None:
        """Its collection, and that its name is its own there."""
        if (
            made["collection_id"] is not None
            and self._of("collections", made["collection_id"])["archived"]
        ):
            rules.refuse("collection_id", "is in the trash")
        for each in self.data[kind].values():
            if (
                each["id"] != own
                and not each["archived"]
                and (each["name"], each["collection_id"]) == (made["name"], made["collection_id"])
            ):
                rules.refuse("name", f"{made['name']!r} is there twice")

    def _check_sql(self, database: int, sql: str, tags: Json) -> tuple[list[Any], list[Any]]:
        """Run it over every choice of the optional parts; once for each text."""
        key = json.dumps([database, sql, tags], sort_keys=True)
        try:
            if key not in self._checked:
                for values in combinations(sql, tags):
                    self.run_sql(database, sql, tags, values)
                self._checked.add(key)
            return self.run_sql(database, sql, tags, {})
        except QueryFailedError as error:
            rules.refuse("dataset_query", str(error))
            raise

    def run_sql(
        self, database: int, sql: str, tags: Json, values: Mapping[str, object]
    ) -> tuple[list[Any], list[Any]]:
        """Columns and rows."""
        details = self._of("databases", database)["details"]
        return self.warehouses.rows(details, *fill_in(sql, tags, values))

    def shown_card(self, kept: Json) -> Json:
        """As v0.57 and later answer: MBQL 5, with new ids at every reading."""
        sql, tags = stage_of(kept["dataset_query"])
        stage = {
            "lib/type": "mbql.stage/native", "native": sql, "lib/uuid": str(uuid.uuid4()),
            "template-tags": list(tags.values()) if self.tags_as_list else tags,
        }  # fmt: skip
        shown = {name: part for name, part in kept.items() if name != "columns"}
        return copy.deepcopy(shown) | {
            "dataset_query": {
                "lib/type": "mbql/query", "database": kept["dataset_query"]["database"],
                "stages": [stage], "lib.convert/converted?": True,
            },
            "creator_id": 1, "created_at": "2026-11-01T00:00:00Z", "can_write": True,
            "updated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "cache_ttl": None,
            "result_metadata": [], "enable_embedding": False, "query_type": "native",
        }  # fmt: skip

    # Queries

    def query(self, run: Callable[[], tuple[list[Any], list[Any]]]) -> tuple[int, object]:
        """What a query answers: 202, whether it went well or not."""
        try:
            if self.failing_queries:
                self.failing_queries -= 1
                raise QueryFailedError("ERROR: canceling statement due to user request")
            columns, rows = run()
        except QueryFailedError as error:
            return 202, {"status": "failed", "error": str(error), "data": {"rows": [], "cols": []}}
        return 202, {
            "status": "completed", "row_count": len(rows), "data": {"rows": rows, "cols": columns},
        }  # fmt: skip

    def _ad_hoc(self, body: Json) -> tuple[int, object]:
        rules.check_query(body, map(int, self.data["databases"]))
        sql, tags = stage_of(body)
        return self.query(lambda: self.run_sql(body["database"], sql, tags, {}))

    def _run_card(self, card: Json, parameters: Iterable[Json]) -> tuple[int, object]:
        sql, tags = stage_of(card["dataset_query"])
        values = {
            each["target"][1][1]: each["value"][0]
            if isinstance(each["value"], list)
            else each["value"]
            for each in parameters
        }
        return self.query(
            lambda: self.run_sql(card["dataset_query"]["database"], sql, tags, values)
        )

    def _run_tile(self, ids: Mapping[str, str], body: Json) -> tuple[int, object]:
        board = self._numbered("dashboards", ids["id"])
        tile = next(
            (each for each in board["dashcards"] if str(each["id"]) == ids["dashcardid"]), None
        )
        if tile is None or str(tile["card_id"]) != ids["cardid"]:
            raise RefusedError(404, "Not found.")
        targets = {each["parameter_id"]: each["target"] for each in tile["parameter_mappings"]}
        known = {each["id"] for each in board["parameters"]}
        given = body.get("parameters") or []
        for each in given:
            if each["id"] not in known:
                rules.refuse(
                    "parameters", f"Dashboard does not have a parameter with ID {each['id']!r}."
                )
        return self._run_card(
            self._of("cards", tile["card_id"]),
            [each | {"target": targets[each["id"]]} for each in given if each["id"] in targets],
        )

    # Dashboards

    def _add_dashboard(self, body: Json) -> tuple[int, object]:
        made = {
            "description": None, "collection_id": None, "archived": False, "parameters": [],
            "dashcards": [], "tabs": [], "width": "fixed", "auto_apply_filters": True,
            "entity_id": secrets.token_urlsafe(16)[:21], **body,
        }  # fmt: skip
        self._check_place("dashboards", made, None)
        made["id"] = self._next_id()
        self.data["dashboards"][str(made["id"])] = made
        return 200, self.shown_dashboard(made)

    def _change_dashboard(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("dashboards", number)
        if body.get("tabs") and "dashcards" not in body:
            rules.refuse("tabs", "are only looked at together with dashcards")
        changed = {**kept, **body}
        self._check_place("dashboards", changed, kept["id"])
        own = {tile["id"] for tile in kept["dashcards"]}
        cards: dict[int, Json] = {}
        for tile in changed["dashcards"]:
            if tile["id"] > 0 and tile["id"] not in own:
                rules.refuse("dashcards", f"{tile['id']} is no tile of this dashboard")
            if changed["tabs"] and "dashboard_tab_id" not in tile:
                rules.refuse("dashcards", "This dashboard has tab, makes sure every card has a tab")
        for each in self.data["cards"].values():
            if not each["archived"]:
                cards[each["id"]] = {
                    "tags": stage_of(each["dataset_query"])[1], "columns": each["columns"],
                }  # fmt: skip
        for tile in changed["dashcards"]:
            if tile.get("card_id") is not None and tile["card_id"] not in cards:
                raise RefusedError(404, "Not found.")
        rules.check_dashboard(changed["parameters"], changed["dashcards"], cards)
        # What is not sent is deleted, and what is new gets an id.
        changed["dashcards"] = [
            {**tile, "id": tile["id"] if tile["id"] > 0 else self._next_id()}
            for tile in changed["dashcards"]
        ]
        kept.update(changed)
        return 200, self.shown_dashboard(kept)

    def shown_dashboard(self, kept: Json) -> Json:
        """With the tiles in no order, and much that was never sent."""
        shown = copy.deepcopy(kept)
        for tile in shown["dashcards"]:
            card = self.data["cards"].get(str(tile.get("card_id")))
            tile.update(
                dashboard_id=kept["id"], created_at="2026-11-01T00:00:00Z", series=[],
                entity_id=secrets.token_urlsafe(16)[:21], action_id=None,
                card=self.shown_card(card) if card else None,
            )  # fmt: skip
            tile.setdefault("dashboard_tab_id", None)
        self._shuffle.shuffle(shown["dashcards"])
        return shown | {"creator_id": 1, "can_write": True, "cache_ttl": None, "caveats": None}


_ANSWERS: dict[tuple[str, str], Callable[[State, Call], tuple[int, object]]] = {
    ("get", "/api/session/properties"): lambda state, _: (200, state._properties()),
    ("post", "/api/session"): lambda state, call: state._log_in(call.body),
    ("post", "/api/setup"): lambda state, call: state._set_up(call.body),
    ("get", "/api/user/current"): lambda state, _: (
        200, {"id": 1, "email": state.data["user"]["email"], "is_superuser": True},
    ),
    ("get", "/api/database"): lambda state, _: (200, state._databases()),
    ("post", "/api/database"): lambda state, call: state._add_database(call.body),
    ("get", "/api/database/{id}"): lambda state, call: (
        200, state._shown_database(state._numbered("databases", call.ids["id"])),
    ),
    ("put", "/api/database/{id}"): lambda state, call: state._change_database(
        call.ids["id"], call.body
    ),
    ("post", "/api/database/{id}/sync_schema"): lambda state, call: state._sync(call.ids["id"]),
    ("get", "/api/database/{id}/metadata"): lambda state, call: state._metadata(call.ids["id"]),
    ("get", "/api/collection"): lambda state, call: (
        200, state._collections(call.query.get("archived") == ["true"]),
    ),
    ("post", "/api/collection"): lambda state, call: state._add_collection(call.body),
    ("get", "/api/collection/{id}"): lambda state, call: (
        200, state._of("collections", call.ids["id"]),
    ),
    ("put", "/api/collection/{id}"): lambda state, call: state._change_collection(
        call.ids["id"], call.body
    ),
    ("get", "/api/collection/{id}/items"): lambda state, call: state._items(
        call.ids["id"], call.query
    ),
    ("post", "/api/card"): lambda state, call: state._add_card(call.body),
    ("get", "/api/card/{id}"): lambda state, call: (
        200, state.shown_card(state._of("cards", call.ids["id"])),
    ),
    ("put", "/api/card/{id}"): lambda state, call: state._change_card(call.ids["id"], call.body),
    ("post", "/api/card/{id}/query"): lambda state, call: state._run_card(
        state._of("cards", call.ids["id"]), call.body.get("parameters") or []
    ),
    ("post", "/api/dataset"): lambda state, call: state._ad_hoc(call.body),
    ("post", "/api/dashboard"): lambda state, call: state._add_dashboard(call.body),
    ("get", "/api/dashboard/{id}"): lambda state, call: (
        200, state.shown_dashboard(state._of("dashboards", call.ids["id"])),
    ),
    ("put", "/api/dashboard/{id}"): lambda state, call: state._change_dashboard(
        call.ids["id"], call.body
    ),
    (
        "post", "/api/dashboard/{id}/dashcard/{dashcard-id}/card/{card-id}/query",
    ): lambda state, call: state._run_tile(call.ids, call.body or {}),
}  # fmt: skip
