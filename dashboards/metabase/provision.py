"""Plans and applies: reads what Metabase holds, and writes only where it differs.

Everything is found again by a name of our own, so that a run that was cut off at any request is
finished by the next one. Nothing outside our collection is touched; what is in it and not ours
is left alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from dashboards.charts import missing
from dashboards.definitions import Dashboard, load_dashboards
from dashboards.metabase import found, wanted
from dashboards.metabase.changes import Change, Changes
from dashboards.metabase.database import WarehouseConnection
from dashboards.metabase.session import Session
from dashboards.metabase.wanted import Json
from dashboards.questions import Question, load_questions
from loader.warehouse.errors import TerminalError
from loader.warehouse.settings import Settings


@dataclass
class Provision:
    """One pass over everything: as a plan that writes nothing, or as the deed.

    `report` hears of each change, before it is made; `notice` of what is left as it is.
    """

    session: Session
    settings: Settings
    is_writing: bool
    prune: bool
    report: Callable[[Change], None]
    notice: Callable[[str], None]
    database: int | None = None
    collection: int | None = None
    cards: dict[str, int | None] = field(default_factory=dict)

    @property
    def _changes(self) -> Changes:
        return Changes(self.is_writing, self.report)

    def run(self) -> None:
        """Database, collection, cards, dashboards, and what is no longer in the repository."""
        if self.session.is_new:
            self._report_everything()
            return
        self.database = WarehouseConnection(
            self.session, self.settings, self._changes, load_questions().values()
        ).provide()
        self._provide_collection()
        items = list(self._items())
        for name, question in load_questions().items():
            self.cards[name] = self._provide_card(question, items)
        boards = self._our_dashboards(items)
        for definition in load_dashboards().values():
            self._provide_dashboard(definition, boards.pop(definition.name, None), items)
        self._leave(items, boards)

    def _report_everything(self) -> None:
        """The plan for a Metabase that nobody has set up, and that tells nothing."""
        self.report(Change("create", "account", self.settings.metabase_email))
        for kind in ("database", "collection"):
            self.report(Change("create", kind, wanted.COLLECTION))
        for question in load_questions().values():
            self.report(Change("create", "card", question.title))
        for definition in load_dashboards().values():
            self.report(Change("create", "dashboard", definition.title))

    # The collection

    def _provide_collection(self) -> None:
        body: Json = {
            "name": wanted.COLLECTION,
            "description": wanted.COLLECTION_DESCRIPTION,
            "parent_id": None,
        }
        known = [
            each
            for archived in ("false", "true")
            for each in self.session.read("/api/collection", archived=archived)
            if each.get("id") not in ("root", "trash")
        ]
        # Wherever it is: somebody may have moved it, and the trash is a place of its own.
        ours = [each for each in known if wanted.KEPT_BY in (each.get("description") or "")]
        if not ours:
            if any(
                each["name"] == body["name"] and _is_at_the_top(each) and not each.get("archived")
                for each in known
            ):
                raise TerminalError(
                    f"Metabase has a collection {body['name']!r} that is not ours: rename it"
                )
            made = self._changes.make(
                Change("create", "collection", body["name"]),
                lambda: self.session.create("/api/collection", body),
            )
            self.collection = made["id"] if made else None
            return
        kept = ours[0]
        self.collection = kept["id"]
        differing = [name for name in ("name", "description") if kept.get(name) != body[name]]
        if kept.get("archived"):
            differing.append("archived")
        if not _is_at_the_top(kept):
            differing.append("parent_id")
        if differing:
            self._changes.make(
                Change("update", "collection", body["name"], tuple(differing)),
                # A PUT without it would take a collection out of the trash unasked.
                lambda: self.session.update(
                    f"/api/collection/{self.collection}", body | {"archived": False}
                ),
            )

    def _items(self) -> Iterator[Json]:
        if self.collection is not None:
            for archived in ("false", "true"):
                yield from self.session.read(
                    f"/api/collection/{self.collection}/items",
                    models=["card", "dashboard"],
                    archived=archived,
                )["data"]

    # Cards

    def _provide_card(self, question: Question, items: list[Json]) -> int | None:
        known = self.session.find(f"/api/card/{wanted.entity_id(question.name)}")
        body = wanted.card(question, self.database, self.collection)
        if known is None:
            _refuse_strangers(items, "card", question.title, None)
            self._try_out(question, body)
            made = self._changes.make(
                Change("create", "card", question.title),
                lambda: self.session.create(
                    "/api/card", body | {"entity_id": wanted.entity_id(question.name)}
                ),
            )
            if made:
                _assert_stored(body, made)
            return made["id"] if made else None
        number: int = known["id"]
        if differing := found.card_differences(body, known):
            _refuse_strangers(items, "card", question.title, number)
            self._try_out(question, body)
            made = self._changes.make(
                Change("update", "card", question.title, tuple(differing)),
                lambda: self.session.update(f"/api/card/{number}", body | {"archived": False}),
            )
            if made:
                _assert_stored(body, made)
        return number

    def _try_out(self, question: Question, body: Json) -> None:
        """Run the query before it is saved: Metabase itself would save anything."""
        if self.database is not None:
            try:
                data = self.session.query("/api/dataset", body["dataset_query"])
            except TerminalError as error:
                raise TerminalError(f"question {question.name}: {error}") from None
            _assert_columns(question, data)

    # Dashboards

    def _our_dashboards(self, items: list[Json]) -> dict[str, Json]:
        """Ours by the name of their file, which their description tells."""
        ours: dict[str, Json] = {}
        for item in items:
            if item["model"] == "dashboard":
                whole = self.session.read(f"/api/dashboard/{item['id']}")
                line = re.search(
                    re.escape(wanted.KEPT_BY) + r" in dashboards/([\w-]+)\.yml",
                    whole.get("description") or "",
                )
                if line:
                    ours.setdefault(line[1], whole)
        return ours

    def _provide_dashboard(
        self, definition: Dashboard, kept: Json | None, items: list[Json]
    ) -> None:
        body = wanted.dashboard(definition, self.cards, self.collection)
        if kept is None:
            _refuse_strangers(items, "dashboard", definition.title, None)
            start = {name: body[name] for name in ("name", "description", "collection_id")}
            kept = self._changes.make(
                Change("create", "dashboard", definition.title),
                lambda: self.session.create("/api/dashboard", start),
            )
            if kept:
                self._write_dashboard(kept, body)
        elif differing := found.dashboard_differences(body, kept):
            _refuse_strangers(items, "dashboard", definition.title, kept["id"])
            there = kept
            self._changes.make(
                Change("update", "dashboard", definition.title, tuple(differing)),
                lambda: self._write_dashboard(there, body),
            )
        if kept and self.is_writing:
            self._try_tiles(definition, kept["id"])

    def _write_dashboard(self, kept: Json, body: Json) -> None:
        sent = body | {
            "archived": False,
            "dashcards": found.with_ids(body, kept),
            "tabs": [],
        }
        self.session.update(f"/api/dashboard/{kept['id']}", sent)

    def _try_tiles(self, definition: Dashboard, number: int) -> None:
        """Run every tile as a browser would when the dashboard is opened."""
        whole = self.session.read(f"/api/dashboard/{number}")
        chosen = [
            {name: parameter[name] for name in ("id", "type")} | {"value": parameter["default"]}
            for parameter in whole["parameters"]
            if parameter.get("default") is not None
        ]
        names = {number: name for name, number in self.cards.items()}
        for tile in whole["dashcards"]:
            if tile.get("card_id"):
                question = load_questions()[names[tile["card_id"]]]
                fed = {mapping["parameter_id"] for mapping in tile["parameter_mappings"]}
                path = f"/api/dashboard/{number}/dashcard/{tile['id']}/card/{tile['card_id']}/query"
                try:
                    data = self.session.query(
                        path, {"parameters": [each for each in chosen if each["id"] in fed]}
                    )
                except TerminalError as error:
                    where = f"dashboard {definition.name}, {question.name}"
                    raise TerminalError(f"{where}: {error}") from None
                _assert_columns(question, data)

    # What left the repository

    def _leave(self, items: list[Json], boards: dict[str, Json]) -> None:
        ids = {wanted.entity_id(name) for name in load_questions()}
        gone = [("dashboard", board["id"], board["name"], board) for board in boards.values()]
        for item in items:
            entity = item.get("entity_id") or ""
            if (
                item["model"] == "card"
                and entity.startswith(wanted.ENTITY_PREFIX)
                and entity not in ids
            ):
                gone.append(("card", item["id"], item["name"], item))
        for kind, number, name, kept in gone:
            if kept.get("archived"):
                continue
            if self.prune:
                path = f"/api/{kind}/{number}"
                self._changes.make(Change("archive", kind, name), partial(self._archive, path))
            else:
                self.notice(f"left {kind} {name!r}: no longer in dashboards/ (--prune archives it)")

    def _archive(self, path: str) -> None:
        self.session.update(path, {"archived": True})


def _is_at_the_top(collection: Json) -> bool:
    return collection.get("location") in (None, "/")


def _refuse_strangers(items: list[Json], kind: str, name: str, own: int | None) -> None:
    for item in items:
        if (item["model"], item["name"]) == (kind, name) and item["id"] != own:
            if item.get("archived"):
                continue
            raise TerminalError(
                f"the collection {wanted.COLLECTION!r} has a {kind} {name!r} that is not ours: "
                "rename or move it"
            )


def _assert_stored(body: Json, made: Json) -> None:
    """Some versions say yes and store an empty query."""
    if found.native(made)["sql"] != found.native(body)["sql"]:
        raise TerminalError(
            f"Metabase took the card {body['name']!r} but did not keep its SQL: "
            "is this version newer than v0.63?"
        )


def _assert_columns(question: Question, data: Json) -> None:
    returned = [column["name"] for column in data["cols"]]
    for name in missing(question.chart, question.columns, returned):
        raise TerminalError(f"question {question.name}: its answer has no column {name!r}")
