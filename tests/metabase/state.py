"""What the stand-in holds, and what it answers to each call that keeps to the contract."""

import copy
import json
import random
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from tests.metabase import permissions, rules, shown
from tests.metabase.contract import Call, RefusedError
from tests.metabase.sql import QueryFailedError, Warehouses, combinations, fill_in, stage_of

Json = dict[str, Any]

# Where collections are while they are in the trash.
TRASH = f"/{shown.TRASH['id']}/"
# What a PUT may take away with a null; any other null would change nothing.
_MAY_BE_EMPTIED = {"description", "collection_id", "parent_id", "caveats", "collection_position"}
COMMON_PASSWORDS = {"password1", "metabase1", "123456", "qwerty1"}
# Metabase syncs in the background: the tables are not there at the first look.
LOOKS_UNTIL_SYNCED = 1
# It works out the columns of a card in the background as well, or at once when the card is run.
LOOKS_UNTIL_METADATA = 2


class MetabaseState:
    """One Metabase; kept in a file, if there is one, after every write."""

    def __init__(self, file: Path | None = None, *, tags_as_list: bool = True) -> None:
        self.tags_as_list = tags_as_list
        self.failing_queries = 0
        self.lock = threading.RLock()
        self.warehouses = Warehouses()
        self._file = file
        self._checked: set[str] = set()
        # Of who asks now; None of an administrator.
        self._groups: list[int] | None = None
        self._shuffle = random.Random(5)
        self.data: Json = {
            "setup_token": str(uuid.uuid4()), "user": None, "people": {}, "sessions": {},
            "api_keys": {}, "next_id": 10, "databases": {}, "collections": {}, "cards": {},
            "dashboards": {}, "alerts": [], "subscriptions": [], **permissions.start(),
        }  # fmt: skip
        if file and file.exists():
            self.data |= json.loads(file.read_text())

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self._file:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self.data))
            fresh.replace(self._file)

    def answer(self, call: Call) -> tuple[int, object]:
        """Status and body; raises RefusedError."""
        with self.lock:
            if self._groups is not None:
                permissions.check(self.data, self._groups, call)
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
        known = [self.data["user"] or {}, *self.data["people"].values()]
        if (body["username"], body["password"]) not in [
            (each.get("email"), each.get("password")) for each in known
        ]:
            raise RefusedError(401, {"password": "did not match stored password"})
        return 200, {"id": self._new_session(body["username"])}

    def _new_session(self, email: str) -> str:
        session = str(uuid.uuid4())
        self.data["sessions"][session] = email
        return session

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
        return 200, {"id": self._new_session(body["user"]["email"])}

    def _properties(self) -> Json:
        return {
            "setup-token": self.data["setup_token"],
            "has-user-setup": self.data["user"] is not None,
            "version": {"tag": "v0.63.17"},
            "engines": {"postgres": {}},
        }

    def authenticate(self, headers: Mapping[str, str], *, is_open: bool) -> None:
        """Let in a session, or a key: of an administrator to anything."""
        self._groups = None
        if is_open:
            return
        email = self.data["sessions"].get(headers.get("x-metabase-session"))
        key = self.data["api_keys"].get(headers.get("x-api-key"))
        if email is None and key is None:
            raise RefusedError(401, "Unauthenticated")
        person = self.data["people"].get(email) or {"groups": [permissions.ADMINISTRATORS]}
        groups = [key["group_id"]] if key else person["groups"]
        self._groups = None if permissions.ADMINISTRATORS in groups else groups

    def _log_out(self) -> tuple[int, object]:
        self.data["sessions"].clear()
        return 204, None

    def _add_api_key(self, body: Json) -> tuple[int, object]:
        for each in self.data["api_keys"].values():
            rules.refuse_same(each, body, "name")
        if body["group_id"] not in {group["id"] for group in self.data["groups"]}:
            raise RefusedError(404, "Not found.")
        secret = f"mb_{secrets.token_urlsafe(32)}"
        self.data["api_keys"][secret] = {**body, "id": self._next_id()}
        # It is told once.
        return 200, {
            **self.data["api_keys"][secret], "unmasked_key": secret,
            "masked_key": f"{secret[:7]}...",
        }  # fmt: skip

    # Databases

    def _databases(self) -> Json:
        known = [shown.database(each) for each in self.data["databases"].values()]
        return {"data": known, "total": len(known)}

    def _add_database(self, body: Json) -> tuple[int, object]:
        rules.check_database(body)
        for each in self.data["databases"].values():
            rules.refuse_same(each, body, "name")
        self._try_connection(body["details"])
        made = {
            "id": self._next_id(), "name": body["name"], "engine": body["engine"],
            "details": body["details"], "description": None, "initial_sync_status": "incomplete",
            "looks_until_synced": LOOKS_UNTIL_SYNCED, "tables": [],
        }  # fmt: skip
        self.data["databases"][str(made["id"])] = made
        permissions.add_database(self.data, made["id"])
        return 200, shown.database(made)

    def _change_database(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        rules.check_database({**kept, **body})
        details = {**kept["details"], **(body.get("details") or {})}
        if details.get("password") == shown.MASK:
            details["password"] = kept["details"].get("password")
        if details != kept["details"]:
            self._try_connection(details)
        kept.update({**body, "details": details})
        return 200, shown.database(kept)

    def _sync(self, number: str) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        self._try_connection(kept["details"], status=422)
        kept["looks_until_synced"] = LOOKS_UNTIL_SYNCED
        return 200, {"status": "ok"}

    def _metadata(self, number: str) -> tuple[int, object]:
        kept = self._numbered("databases", number)
        self._finish_sync(kept)
        return 200, {**shown.database(kept), "tables": kept["tables"]}

    def _healthcheck(self, number: str) -> tuple[int, object]:
        try:
            self.warehouses.log_in_anew(self._numbered("databases", number)["details"])
        except QueryFailedError as error:
            return 200, {"status": "error", "message": str(error)}
        return 200, {"status": "ok"}

    def _finish_sync(self, kept: Json) -> None:
        if kept["looks_until_synced"] is None:
            return
        if kept["looks_until_synced"]:
            kept["looks_until_synced"] -= 1
            return
        kept["tables"] = self.warehouses.metadata(kept["details"])
        kept["looks_until_synced"], kept["initial_sync_status"] = None, "complete"

    def _try_connection(self, details: Json, status: int = 400) -> None:
        try:
            self.warehouses.log_in_anew(details)
        except QueryFailedError as error:
            raise RefusedError(status, {"details": f"cannot connect: {error}"}) from None

    # Collections

    def _collections(self, is_archived: bool) -> list[Json]:
        known = [
            each for each in self.data["collections"].values() if each["archived"] == is_archived
        ]
        others = [shown.TRASH] if is_archived else [shown.ROOT, shown.PERSONAL]
        return copy.deepcopy([*others, *known])

    def _add_collection(self, body: Json) -> tuple[int, object]:
        made = {
            "description": None, **_known(body, "namespace", "authority_level"),
            "entity_id": secrets.token_urlsafe(16)[:21], "archived": False,
            "location": self._location(body.pop("parent_id", None)),
        }  # fmt: skip
        self._check_collection_name(made, None)
        made["id"] = self._next_id()
        self.data["collections"][str(made["id"])] = made
        permissions.add_collection(self.data, made["id"], str(_holder(made) or "root"))
        return 200, made

    def _location(self, parent: int | None) -> str:
        if parent is None:
            return "/"
        if self._of("collections", parent)["archived"]:
            rules.refuse("parent_id", "is in the trash")
        return f"/{parent}/"

    def _check_collection_name(self, made: Json, own: int | None) -> None:
        for each in self.data["collections"].values():
            if each["id"] != own and not each["archived"]:
                rules.refuse_same(each, made, "name", "location")

    def _change_collection(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("collections", number)
        changed = kept | _known(body, "type", "authority_level")
        # The default of `archived` is false: whatever is sent un-archives.
        changed["archived"] = body.get("archived") or False
        if changed["archived"]:
            changed["location"] = TRASH
        elif "parent_id" in body or kept["archived"]:
            changed["location"] = self._location(body.get("parent_id"))
        changed.pop("parent_id", None)
        self._check_collection_name(changed, kept["id"])
        self._take_along(kept, is_archived=changed["archived"])
        kept.update(changed)
        return 200, kept

    def _take_along(self, collection: Json, *, is_archived: bool) -> None:
        """What is in a collection goes to the trash with it, and comes back with it."""
        if collection["archived"] == is_archived:
            return
        for each in [*self.data["cards"].values(), *self.data["dashboards"].values()]:
            if each["collection_id"] == collection["id"]:
                was_put_there = each["archived"] and each.get("archived_directly", True)
                self._end_alerts(each["id"])
                if not was_put_there:
                    each.update(archived=is_archived, archived_directly=False)

    def _items(self, number: str, query: Mapping[str, list[str]]) -> tuple[int, object]:
        is_archived = query.get("archived") == ["true"]
        models = query.get("models") or ["card", "dashboard", "collection"]
        holder: Any = shown.TRASH["id"]
        if is_trash := number == str(holder):
            if not is_archived:
                rules.refuse("archived", "what is in the trash is archived")
        else:
            holder = None if number == "root" else self._of("collections", number)["id"]
        found = [
            shown.item(kind, each, holder)
            for kind in ("card", "dashboard", "collection")
            if kind in models
            for each in self.data[f"{kind}s"].values()
            if each["archived"] == is_archived
            # What was archived by itself is in the trash alone, all else in its collection.
            and (is_archived and each.get("archived_directly", True)) == is_trash
            and (is_trash or holder == _holder(each))
        ]
        found.sort(key=lambda each: (each["name"].lower(), each["id"]))
        first = int(query.get("offset", ["0"])[0])
        last = first + int(query.get("limit", [str(len(found))])[0])
        return 200, {"data": found[first:last], "total": len(found), "models": models}

    # Cards

    def _add_card(self, body: Json) -> tuple[int, object]:
        made = {
            "description": None, "archived": False,
            "type": "question", "collection_id": None,
            "parameters": rules.derived_parameters(stage_of(body["dataset_query"])[1]),
            **_known(body, *_NO_CARD_OF_OURS),
            # One of its own: what is sent is taken and ignored.
            "entity_id": secrets.token_urlsafe(16)[:21],
        }  # fmt: skip
        self._check_card(made, None)
        made |= {"id": self._next_id(), "updated_at": _now()}
        self.data["cards"][str(made["id"])] = made
        return 200, self.shown_card(made)

    def _all_cards(self) -> list[Json]:
        return [
            self.shown_card(each) for each in self.data["cards"].values() if not each["archived"]
        ]

    def _change_card(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("cards", number)
        changed = {**kept, **_known(body, *_NO_CARD_OF_OURS), "updated_at": _now()}
        if "archived" in body:
            changed["archived_directly"] = body["archived"]
        if not changed["archived"]:
            self._check_card(changed, kept["id"])
        if changed["archived"] or changed["display"] != kept["display"]:
            self._end_alerts(kept["id"])
        kept.update(changed)
        return 200, self.shown_card(kept)

    def _check_card(self, card: Json, own: int | None) -> None:
        if card["type"] != "question":
            rules.refuse("type", f"the stand-in knows no {card['type']}")
        rules.check_query(card["dataset_query"], map(int, self.data["databases"]))
        self._check_place("cards", card, own)
        sql, tags = stage_of(card["dataset_query"])
        rules.check_card_parameters(card["parameters"], tags)
        columns, rows = self._check_sql(card["dataset_query"]["database"], sql, tags)
        rules.check_looks(card["display"], card["visualization_settings"], columns, len(rows))
        if card.get("columns") != columns:
            card |= {"columns": columns, "looks_until_metadata": LOOKS_UNTIL_METADATA}

    def _check_place(self, kind: str, made: Json, own: int | None) -> None:
        """Its collection, and that its name is its own there."""
        if made["collection_id"] is not None:
            holder = self._of("collections", made["collection_id"])
            if holder["archived"]:
                rules.refuse("collection_id", "is in the trash")
            # It may be given as an entity id.
            made["collection_id"] = holder["id"]
        for each in self.data[kind].values():
            if each["id"] != own and not each["archived"]:
                rules.refuse_same(each, made, "name", "collection_id")

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

    def run_sql(
        self, database: int, sql: str, tags: Json, values: Mapping[str, object]
    ) -> tuple[list[Any], list[Any]]:
        """Columns and rows."""
        details = self._of("databases", database)["details"]
        return self.warehouses.rows(details, *fill_in(sql, tags, values))

    def shown_card(self, kept: Json) -> Json:
        """As it is answered."""
        return shown.card(kept, tags_as_list=self.tags_as_list)

    def _look_at_card(self, key: str) -> tuple[int, object]:
        kept = self._of("cards", key)
        kept["looks_until_metadata"] = max(0, kept["looks_until_metadata"] - 1)
        return 200, self.shown_card(kept)

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
        values: Json = {}
        for each in parameters:
            if "target" not in each:
                rules.refuse("parameters", "a parameter has no target")
            value = each.get("value")
            values[each["target"][1][1]] = (
                next(iter(value), None) if isinstance(value, list) else value
            )
        card["looks_until_metadata"] = 0
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
            "entity_id": secrets.token_urlsafe(16)[:21], **_known(body, *_NO_DASHBOARD_OF_OURS),
        }  # fmt: skip
        if made["parameters"]:
            rules.refuse("parameters", "come with the dashcards that they are mapped to")
        self._check_place("dashboards", made, None)
        made |= {"id": self._next_id(), "updated_at": _now()}
        self.data["dashboards"][str(made["id"])] = made
        return 200, self.shown_dashboard(made)

    def _change_dashboard(self, number: str, body: Json) -> tuple[int, object]:
        kept = self._numbered("dashboards", number)
        if body.get("tabs") and "dashcards" not in body:
            rules.refuse("tabs", "are only looked at together with dashcards")
        changed = {**kept, **_known(body, *_NO_DASHBOARD_OF_OURS), "updated_at": _now()}
        if kept["archived"] and "dashcards" in body:
            raise RefusedError(404, "The object has been archived.")
        if "archived" in body:
            changed["archived_directly"] = body["archived"]
        self._check_place("dashboards", changed, kept["id"])
        rules.check_ids("tabs", changed["tabs"], kept["tabs"])
        rules.check_ids("dashcards", changed["dashcards"], kept["dashcards"])
        cards = {
            each["id"]: {
                "tags": stage_of(each["dataset_query"])[1],
                "columns": [column["name"] for column in each["columns"]],
            }
            for each in self.data["cards"].values()
            if not each["archived"]
        }  # fmt: skip
        if any(tile.get("card_id", 0) not in {*cards, None} for tile in changed["dashcards"]):
            raise RefusedError(404, "Not found.")
        rules.check_dashboard(changed, cards)
        self._end_subscriptions(kept, changed)
        self._number_anew(changed)
        kept.update(changed)
        return 200, self.shown_dashboard(kept)

    def _end_alerts(self, card: int) -> None:
        """What people asked to be told of a card ends when it goes, or looks otherwise."""
        for alert in self.data["alerts"]:
            alert["active"] = alert["active"] and alert["card_id"] != card

    def _end_subscriptions(self, kept: Json, changed: Json) -> None:
        """What people get of a dashboard ends with a filter or the last tile that it is of."""
        filters = {each["id"] for each in changed["parameters"]}
        tiles = {each["id"] for each in changed["dashcards"]}
        for each in self.data["subscriptions"]:
            if each["dashboard_id"] == kept["id"]:
                each["dashcards"] = [number for number in each["dashcards"] if number in tiles]
                is_whole = set(each["parameters"]) <= filters and each["dashcards"]
                each["archived"] = each["archived"] or changed["archived"] or not is_whole

    def _number_anew(self, changed: Json) -> None:
        """Give an id to each new tab and tile; what was not sent is gone."""
        tabs = {tab["id"]: tab["id"] if tab["id"] > 0 else self._next_id()
                for tab in changed["tabs"]}  # fmt: skip
        changed["tabs"] = [{**tab, "id": tabs[tab["id"]]} for tab in changed["tabs"]]
        changed["dashcards"] = [
            {
                **tile,
                "id": tile["id"] if tile["id"] > 0 else self._next_id(),
                "dashboard_tab_id": tabs.get(tile.get("dashboard_tab_id")),
            }
            for tile in changed["dashcards"]
        ]

    def _values(self, ids: Mapping[str, str]) -> tuple[int, object]:
        """What a filter offers; of a card, nothing until its columns are known."""
        board = self._of("dashboards", ids["id"])
        filters = {each["id"]: each for each in board["parameters"]}
        if ids["paramkey"] not in filters:
            raise RefusedError(404, "Not found.")
        config = filters[ids["paramkey"]].get("values_source_config") or {}
        values = config.get("values") or []
        if "card_id" in config:
            card = self._of("cards", config["card_id"])
            if card["looks_until_metadata"] == 0:
                sql, tags = stage_of(card["dataset_query"])
                _, rows = self.run_sql(card["dataset_query"]["database"], sql, tags, {})
                names = [column["name"] for column in card["columns"]]
                values = [row[names.index(config["value_field"][1])] for row in rows]
        return 200, {"values": [[value] for value in values], "has_more_values": False}

    def shown_dashboard(self, kept: Json) -> Json:
        """As it is answered: its tiles in no order."""
        cards = {each["id"]: self.shown_card(each) for each in self.data["cards"].values()}
        answer = shown.dashboard(kept, cards)
        self._shuffle.shuffle(answer["dashcards"])
        return answer


# What may be sent and is not made here: cards inside of dashboards, embedding, the paid editions.
_NO_CARD_OF_OURS = (
    "parameter_mappings", "cache_ttl", "dashboard_id", "dashboard_tab_id", "size",
    "source_card_id", "enable_embedding", "embedding_type", "embedding_params",
    "collection_preview",
)  # fmt: skip
_NO_DASHBOARD_OF_OURS = (
    "cache_ttl", "position", "enable_embedding", "embedding_type", "embedding_params",
    "points_of_interest", "show_in_getting_started",
)  # fmt: skip


def _known(body: Json, *unknown: str) -> Json:
    """The body, if all of it means something to the stand-in."""
    for name, value in body.items():
        if name in unknown and value is not None:
            rules.refuse(name, "the stand-in does not know it: provisioning does not use it")
        if value is None and name not in (*unknown, *_MAY_BE_EMPTIED):
            rules.refuse(name, "null changes nothing")
    return {name: value for name, value in body.items() if name not in unknown}


def _holder(kept: Json) -> int | None:
    """The number of what something is in; None at the top."""
    if "location" in kept:
        return int(kept["location"].split("/")[-2] or 0) or None
    return cast("int | None", kept["collection_id"])


def _now() -> str:
    return datetime.now(UTC).isoformat()


_ANSWERS: dict[tuple[str, str], Callable[[MetabaseState, Call], tuple[int, object]]] = {
    ("get", "/api/session/properties"): lambda state, _: (200, state._properties()),
    ("post", "/api/session"): lambda state, call: state._log_in(call.body),
    ("delete", "/api/session"): lambda state, _: state._log_out(),
    ("post", "/api/api-key"): lambda state, call: state._add_api_key(call.body),
    ("post", "/api/setup"): lambda state, call: state._set_up(call.body),
    ("get", "/api/user/current"): lambda state, _: (
        200, {"id": 1, "email": state.data["user"]["email"], "is_superuser": True},
    ),
    ("get", "/api/database"): lambda state, _: (200, state._databases()),
    ("post", "/api/database"): lambda state, call: state._add_database(call.body),
    ("get", "/api/database/{id}"): lambda state, call: (
        200, shown.database(state._numbered("databases", call.ids["id"])),
    ),
    ("put", "/api/database/{id}"): lambda state, call: state._change_database(
        call.ids["id"], call.body
    ),
    ("post", "/api/database/{id}/sync_schema"): lambda state, call: state._sync(call.ids["id"]),
    ("get", "/api/database/{id}/healthcheck"): lambda state, call: state._healthcheck(
        call.ids["id"]
    ),
    ("get", "/api/permissions/group"): lambda state, _: (200, state.data["groups"]),
    ("get", "/api/permissions/graph"): lambda state, _: (200, permissions.graph(state.data)),
    ("put", "/api/permissions/graph"): lambda state, call: (
        200, permissions.change_graph(state.data, call.body),
    ),
    ("get", "/api/collection/graph"): lambda state, _: (
        200, permissions.collection_graph(state.data),
    ),
    ("put", "/api/collection/graph"): lambda state, call: (
        200, permissions.change_collection_graph(state.data, call.body),
    ),
    ("get", "/api/database/{id}/metadata"): lambda state, call: state._metadata(call.ids["id"]),
    ("get", "/api/collection"): lambda state, call: (
        200, state._collections(call.query.get("archived") == ["true"]),
    ),
    ("post", "/api/collection"): lambda state, call: state._add_collection(call.body),
    ("get", "/api/collection/trash"): lambda _state, _call: (200, shown.TRASH),
    ("get", "/api/collection/{id}"): lambda state, call: (
        200, state._of("collections", call.ids["id"]),
    ),
    ("put", "/api/collection/{id}"): lambda state, call: state._change_collection(
        call.ids["id"], call.body
    ),
    ("get", "/api/collection/{id}/items"): lambda state, call: state._items(
        call.ids["id"], call.query
    ),
    ("get", "/api/card"): lambda state, _: (200, state._all_cards()),
    ("post", "/api/card"): lambda state, call: state._add_card(call.body),
    ("get", "/api/card/{id}"): lambda state, call: state._look_at_card(call.ids["id"]),
    ("put", "/api/card/{id}"): lambda state, call: state._change_card(call.ids["id"], call.body),
    ("post", "/api/card/{id}/query"): lambda state, call: state._run_card(
        state._of("cards", call.ids["id"]), call.body.get("parameters") or []
    ),
    ("post", "/api/dataset"): lambda state, call: state._ad_hoc(call.body),
    ("get", "/api/dashboard"): lambda state, _: (
        200,
        [
            {k: v for k, v in each.items() if k not in ("dashcards", "tabs")}
            for each in state.data["dashboards"].values()
            if not each["archived"]
        ],
    ),
    ("get", "/api/dashboard/{id}/params/{param-key}/values"): lambda state, call: state._values(
        call.ids
    ),
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
