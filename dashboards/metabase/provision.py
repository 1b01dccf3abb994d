"""Plans and applies: reads what Metabase holds, and writes only where it differs.

Everything is found again by a mark of our own, so that a run that was cut off at any request is
finished by the next one. Nothing outside our collection is touched; what is in it and not ours
is left alone, and so is what somebody changed by hand, until somebody says otherwise.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from dashboards.charts import missing
from dashboards.definitions import Dashboard, load_dashboards
from dashboards.metabase import found, marks, wanted
from dashboards.metabase.access import MetabaseAccess
from dashboards.metabase.changes import Change, Changes
from dashboards.metabase.collection import OurCollection
from dashboards.metabase.database import WarehouseConnection
from dashboards.metabase.marks import Json
from dashboards.metabase.session import Session
from dashboards.questions import Question, load_questions
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.settings import Settings


@dataclass
class Provision:
    """One pass over everything: as a plan that writes nothing, or as the deed."""

    session: Session
    settings: Settings
    changes: Changes
    prune: bool
    database: int | None = None
    cards: dict[str, int | None] = field(default_factory=dict)
    # The columns that Metabase knows a card to have.
    columns: dict[str, set[str]] = field(default_factory=dict)
    # Cards that somebody changed by hand, and that stay so.
    left: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Database, collection, cards, dashboards, and what is no longer in the repository."""
        if self.session.is_new:
            self._report_everything()
            return
        self.database = WarehouseConnection(
            self.session, self.settings, self.changes, load_questions().values()
        ).provide()
        self.collection = OurCollection(self.session, self.changes)
        self.collection.provide()
        self._access.provide(self.database, self.collection.id)
        sources = {marks.of_question(name) for name in load_questions()}
        kept = self.collection.ours("card", sources)
        for name, question in load_questions().items():
            self._provide_card(question, kept.pop(marks.of_question(name), None))
        sources = {marks.of_dashboard(name) for name in load_dashboards()}
        boards = self.collection.ours("dashboard", sources)
        for name, definition in load_dashboards().items():
            self._provide_dashboard(definition, boards.pop(marks.of_dashboard(name), None))
        self._leave("dashboard", boards)
        self._leave("card", kept)

    @property
    def _access(self) -> MetabaseAccess:
        return MetabaseAccess(self.session, self.changes, self.settings.metabase_close_sql)

    def _report_everything(self) -> None:
        """The plan for a Metabase that nobody has set up, and that tells nothing."""
        first = [
            ("account", self.settings.metabase_email),
            ("database", wanted.COLLECTION),
            ("collection", wanted.COLLECTION),
        ]
        self._report_new(first)
        self._access.provide_later()
        self._report_new(("card", question.title) for question in load_questions().values())
        self._report_new(("dashboard", board.title) for board in load_dashboards().values())

    def _report_new(self, named: Iterable[tuple[str, str]]) -> None:
        for kind, name in named:
            self.changes.make(Change("create", kind, name), lambda: None)

    def _bring_back(self, kind: str, name: str, kept: Json) -> Json:
        """What was in the trash, out of it: in a PUT of its own, before anything else of it."""
        # What is there with our collection comes back with it.
        if not kept.get("archived") or self.collection.is_in_trash:
            return kept
        body = {"archived": False, "collection_id": self.collection.id}
        path = f"/api/{kind}/{kept['id']}"
        self.changes.make(
            Change("update", kind, name, ("archived",)), lambda: self.session.update(path, body)
        )
        return kept | body

    def _check_stored(
        self, kind: str, body: Json, made: Json | None, seen: Callable[[Json], Json]
    ) -> None:
        """Some versions say yes and store something else, such as an empty query."""
        if not made:
            return
        newer = "is this version newer than v0.63?"
        if kind == "card" and found.native(made)["sql"] != found.native(body)["sql"]:
            raise TerminalError(
                f"Metabase took the card {body['name']!r} but did not keep its SQL: {newer}"
            )
        if fields := found.differences(seen, body, made):
            # The next run would take it for somebody's work.
            self.changes.notice(
                f"Metabase keeps {kind} {body['name']!r} otherwise than it was written: "
                f"{', '.join(fields)}: {newer}"
            )

    # Cards

    def _provide_card(self, question: Question, item: Json | None) -> None:
        body = marks.signed(
            wanted.card(question, self.database, self.collection.id),
            marks.of_question(question.name),
            found.card,
        )
        number = item["id"] if item else None
        kept = self.session.read(f"/api/card/{number}") if item else None
        differing = found.differences(found.card, body, kept) if kept else ()
        if not kept or kept.get("archived") or differing:
            self.collection.refuse_strangers("card", question.title, number)
        if kept:
            kept = self._bring_back("card", question.title, kept)
            kept = self._update_card(question, body, kept)
        else:
            self._try_out(question, body)
            kept = self.changes.make(
                Change("create", "card", question.title),
                lambda: self.session.create("/api/card", body),
            )
            self._check_stored("card", body, kept, found.card)
        self.cards[question.name] = kept["id"] if kept else None
        self.columns[question.name] = _columns(kept)

    def _update_card(self, question: Question, body: Json, kept: Json) -> Json:
        change = _update("card", question.title, found.card, body, kept)
        if not change.fields:
            return kept
        if not self.changes.may_make(change):
            self.left.add(question.name)
            return kept
        self._try_out(question, body)
        made = self.changes.make(
            change, lambda: self.session.update(f"/api/card/{kept['id']}", body)
        )
        self._check_stored("card", body, made, found.card)
        return made or kept

    def _try_out(self, question: Question, body: Json) -> None:
        """Run the query before it is saved: Metabase itself would save anything."""
        if self.database is not None:
            try:
                data = self.session.query("/api/dataset", body["dataset_query"])
            except TerminalError as error:
                raise TerminalError(f"question {question.name}: {error}") from None
            _assert_columns(question, data)

    # Dashboards

    def _provide_dashboard(self, definition: Dashboard, item: Json | None) -> None:
        source = marks.of_dashboard(definition.name)
        plain = wanted.dashboard(definition, self.cards, self.collection.id)
        body = marks.signed(plain, source, found.dashboard)
        kept = self.session.read(f"/api/dashboard/{item['id']}") if item else None
        if not kept:
            self.collection.refuse_strangers("dashboard", definition.title, None)
            # It has no tiles yet: whoever finds it so knows by its mark that it is to be finished.
            start = {
                name: marks.signed(plain, source, None)[name]
                for name in ("name", "description", "collection_id")
            }
            kept = self.changes.make(
                Change("create", "dashboard", definition.title),
                lambda: self.session.create("/api/dashboard", start),
            )
            if kept:
                self._write_dashboard(kept, body)
        else:
            if kept.get("archived") or found.differences(found.dashboard, body, kept):
                self.collection.refuse_strangers("dashboard", definition.title, kept["id"])
            kept = self._bring_back("dashboard", definition.title, kept)
            if not self._update_dashboard(definition, body, kept):
                return
        if self.changes.is_writing:
            self._wait_for_choices(definition)
            self._try_tiles(definition, kept["id"])

    def _update_dashboard(self, definition: Dashboard, body: Json, kept: Json) -> bool:
        """Whether it is as it is to be."""
        change = _update("dashboard", definition.title, found.dashboard, body, kept)
        if change.fields:
            if not self.changes.may_make(change):
                return False
            self.changes.make(change, lambda: self._write_dashboard(kept, body))
        return True

    def _write_dashboard(self, kept: Json, body: Json) -> None:
        sent = body | {"dashcards": found.with_ids(body, kept), "tabs": []}
        made = self.session.update(f"/api/dashboard/{kept['id']}", sent)
        self._check_stored("dashboard", body, made, found.dashboard)

    def _wait_for_choices(self, definition: Dashboard) -> None:
        """Until Metabase knows the columns that filters take their choices from."""
        for chosen in definition.filters.values():
            source = chosen.values
            if source is None or source.question in self.left:
                continue
            path = f"/api/card/{self.cards[source.question]}"
            deadline = time.monotonic() + self.settings.metabase_wait_seconds
            if source.column not in self.columns[source.question]:
                # It works them out in the background, or at once when the card is run.
                self.session.query(f"{path}/query", {"parameters": []})
                self.columns[source.question] = _columns(self.session.read(path))
            while source.column not in self.columns[source.question]:
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"Metabase does not know the columns of {source.question} yet: try again"
                    )
                time.sleep(0.5)
                self.columns[source.question] = _columns(self.session.read(path))

    def _try_tiles(self, definition: Dashboard, number: int) -> None:
        """Run every tile as a browser would when the dashboard is opened."""
        whole = self.session.read(f"/api/dashboard/{number}")
        # A filter without a value comes as a null.
        chosen = [
            {name: parameter[name] for name in ("id", "type")} | {"value": parameter.get("default")}
            for parameter in whole["parameters"]
        ]
        names = {number: name for name, number in self.cards.items()}
        for tile in whole["dashcards"]:
            name = names.get(tile.get("card_id"))
            if name is None or name in self.left:
                continue
            question = load_questions()[name]
            fed = {mapping["parameter_id"] for mapping in tile["parameter_mappings"]}
            path = f"/api/dashboard/{number}/dashcard/{tile['id']}/card/{tile['card_id']}/query"
            try:
                data = self.session.query(
                    path, {"parameters": [each for each in chosen if each["id"] in fed]}
                )
            except TerminalError as error:
                where = f"dashboard {definition.name}, {name}"
                raise TerminalError(f"{where}: {error}") from None
            _assert_columns(question, data)

    # What left the repository

    def _leave(self, kind: str, gone: dict[str, Json]) -> None:
        for kept in gone.values():
            name = kept["name"]
            if self.prune:
                path = f"/api/{kind}/{kept['id']}"
                self.changes.make(Change("archive", kind, name), partial(self._archive, path))
            else:
                self.changes.notice(
                    f"left {kind} {name!r}: no longer in dashboards/ (--prune archives it)"
                )

    def _archive(self, path: str) -> None:
        self.session.update(path, {"archived": True})


def _update(kind: str, title: str, seen: Callable[[Json], Json], body: Json, kept: Json) -> Change:
    return Change(
        "update",
        kind,
        title,
        found.differences(seen, body, kept),
        found.made_by_hand(seen, body, kept),
    )


def _columns(card: Json | None) -> set[str]:
    return {column["name"] for column in (card or {}).get("result_metadata") or []}


def _assert_columns(question: Question, data: Json) -> None:
    returned = [column["name"] for column in data["cols"]]
    for name in missing(question.chart, question.columns, returned):
        raise TerminalError(f"question {question.name}: its answer has no column {name!r}")
