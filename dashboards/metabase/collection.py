"""Our collection: made, brought back from the trash, and what of ours is where."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

from dashboards.metabase import marks, wanted
from dashboards.metabase.changes import Change, Changes
from dashboards.metabase.marks import Json
from dashboards.metabase.session import Session
from loader.warehouse.errors import TerminalError


@dataclass
class OurCollection:
    """The collection that our cards and dashboards are in.

    `id` is None in a plan where it is new. `is_in_trash` only in a plan: what was archived with
    it comes back with it. `items` are the cards and dashboards in it, whosever they are.
    """

    session: Session
    changes: Changes
    id: int | None = None
    is_new: bool = False
    is_in_trash: bool = False
    items: list[Json] = field(default_factory=list)
    # The numbers of the collections that are somebody's own.
    personal: set[int] = field(default_factory=set)

    def provide(self) -> None:
        """Find it, or make it; put back what differs."""
        kept = self._found()
        if kept is None:
            self.is_new = True
            made = self.changes.make(
                Change("create", "collection", wanted.COLLECTION),
                lambda: self.session.create("/api/collection", _body()),
            )
            self.id = made["id"] if made else None
            return
        self.id = kept["id"]
        if kept.get("archived"):
            # By itself: its name and its place are looked at where it is back.
            kept = self.changes.make(
                Change("update", "collection", wanted.COLLECTION, ("archived",)),
                lambda: self.session.update(
                    f"/api/collection/{self.id}", {"archived": False, "parent_id": None}
                ),
            )
            self.is_in_trash = kept is None
        if kept:
            self._update(kept)
        self.items = list(self._items_of(self.id))

    def _found(self) -> Json | None:
        known: list[Json] = [
            each
            for archived in ("false", "true")
            for each in self.session.read("/api/collection", archived=archived)
            if each.get("id") != "root" and each.get("type") != "trash"
        ]
        self.personal = {each["id"] for each in known if each.get("personal_owner_id")}
        # Wherever it is: somebody may have moved it, and the trash is a place of its own.
        ours = [each for each in known if marks.KEPT_BY in (each.get("description") or "")]
        if ours:
            return ours[0]
        if any(
            each["name"] == wanted.COLLECTION and _is_at_the_top(each) and not each.get("archived")
            for each in known
        ):
            raise TerminalError(
                f"Metabase has a collection {wanted.COLLECTION!r} that is not ours: rename it"
            )
        return None

    def _update(self, kept: Json) -> None:
        body = _body()
        differing = [name for name in ("name", "description") if kept.get(name) != body[name]]
        by_hand = []
        if "name" in differing:
            by_hand.append(f"name: {kept.get('name')!r}")
        if not _is_at_the_top(kept):
            differing.append("parent_id")
            by_hand.append(f"location: {kept.get('location')!r}")
        if differing:
            change = Change(
                "update", "collection", wanted.COLLECTION, tuple(differing), tuple(by_hand) or None
            )
            if self.changes.may_make(change):
                self.changes.make(
                    change,
                    # A PUT without it would take a collection out of the trash unasked.
                    lambda: self.session.update(
                        f"/api/collection/{self.id}", body | {"archived": False}
                    ),
                )

    def _items_of(self, number: int | None, *, are_archived: bool = False) -> Iterator[Json]:
        if number is not None:
            yield from self.session.read(
                f"/api/collection/{number}/items",
                models=["card", "dashboard"],
                archived="true" if are_archived or self.is_in_trash else "false",
            )["data"]

    def ours(self, kind: str, sources: Collection[str]) -> dict[str, Json]:
        """Our cards or dashboards by the file they are made of, wherever people put them.

        Those in the collection, whatever their file; of `sources` that are not in it, those in
        the trash that were, and those that were moved elsewhere.
        """
        found: dict[str, Json] = {}
        _add(found, (each for each in self.items if each["model"] == kind))
        # Nobody can have taken anything out of a collection that is new.
        if not self.is_new and sources - found.keys():
            trashed: dict[str, Json] = {}
            _add(trashed, (each for each in self._trash if each["model"] == kind))
            for source in trashed.keys() & sources - found.keys():
                # In the trash all seem to be of one collection.
                whole = self.session.read(f"/api/{kind}/{trashed[source]['id']}")
                if whole["collection_id"] == self.id:
                    found[source] = whole
        if not self.is_new and (lacking := sources - found.keys()):
            moved: dict[str, Json] = {}
            everywhere = self.session.find(f"/api/{kind}") or []
            # What somebody keeps for himself is a copy.
            _add(
                moved,
                (each for each in everywhere if each.get("collection_id") not in self.personal),
            )
            found |= {source: moved[source] for source in lacking & moved.keys()}
        return found

    @cached_property
    def _trash(self) -> list[Json]:
        trash = self.session.read("/api/collection/trash")
        return list(self._items_of(trash["id"], are_archived=True))

    def refuse_strangers(self, kind: str, name: str, own: int | None) -> None:
        """Raise TerminalError where something in it has a name of ours and is not ours."""
        for item in self.items:
            if (item["model"], item["name"]) == (kind, name) and item["id"] != own:
                raise TerminalError(
                    f"the collection {wanted.COLLECTION!r} has a {kind} {name!r} that is not ours: "
                    "rename or move it"
                )


def _body() -> Json:
    return {
        "name": wanted.COLLECTION,
        "description": wanted.COLLECTION_DESCRIPTION,
        "parent_id": None,
    }


def _is_at_the_top(collection: Json) -> bool:
    return collection.get("location") in (None, "/")


def _add(found: dict[str, Json], items: Iterable[Json]) -> None:
    """Add those that are marked: of copies, which bear the mark as well, the first that was."""
    for item in sorted(items, key=itemgetter("id")):
        if known := marks.mark(item):
            found.setdefault(known.source, item)
