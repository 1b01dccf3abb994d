"""Who may do what with ours: everybody reads the collection, only some write SQL of their own.

Source: Metabase's graphs of permissions. What is least of its kind is left out of them, and rights
add up over the groups that somebody is in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dashboards.metabase.changes import Change, Changes
from dashboards.metabase.marks import Json
from dashboards.metabase.session import Session
from dashboards.metabase.wanted import COLLECTION
from loader.warehouse.errors import TerminalError

_NATIVE = "query-builder-and-native"
_CLOSED = Change("update", "permissions of database", COLLECTION, ("create-queries",))


@dataclass
class MetabaseAccess:
    """The rights of groups in our collection and over our connection."""

    session: Session
    changes: Changes
    is_sql_closed: bool

    def provide(self, database: int | None, collection: int | None) -> None:
        """Make ours readable, and close SQL unless it is to stay open; less stays less."""
        if collection is not None:
            self._open_collection(str(collection))
        if database is None:
            self.provide_later()
        else:
            self._close_sql(str(database))

    def provide_later(self) -> None:
        """The plan for a connection that is not there yet: in a new one everybody writes SQL."""
        if self.is_sql_closed:
            self.changes.make(_CLOSED, lambda: None)

    def _open_collection(self, number: str) -> None:
        graph = self.session.read("/api/collection/graph")
        if not graph["groups"].get(self._everybody, {}).get(number):
            body = {
                "revision": graph["revision"],
                "groups": {self._everybody: {number: "read"}},
            }
            self.changes.make(
                Change("update", "permissions of collection", COLLECTION, ("read",)),
                lambda: self.session.update("/api/collection/graph", body),
            )

    def _close_sql(self, number: str) -> None:
        graph = self.session.read("/api/permissions/graph")
        writing = {
            group
            for group, rights in graph["groups"].items()
            if rights.get(number, {}).get("create-queries") == _NATIVE
        }
        if self.is_sql_closed and self._everybody in writing:
            right = {number: {"create-queries": "query-builder"}}
            body = {"revision": graph["revision"], "groups": {self._everybody: right}}
            self.changes.make(_CLOSED, lambda: self.session.update("/api/permissions/graph", body))
        if not self.changes.is_writing:
            for name in self._others(writing):
                self.changes.notice(
                    f"group {name!r} may write SQL of its own over {COLLECTION!r}: left alone"
                )

    def _others(self, writing: set[str]) -> Iterator[str]:
        for group in self._groups:
            is_administrators = group.get("magic_group_type") == "admin"
            number = str(group["id"])
            if number in writing and number != self._everybody and not is_administrators:
                yield group["name"]

    @cached_property
    def _groups(self) -> list[Json]:
        return list(self.session.read("/api/permissions/group"))

    @cached_property
    def _everybody(self) -> str:
        """The number of the group of all people: its name and its number may be any."""
        for group in self._groups:
            if group.get("magic_group_type") == "all-internal-users":
                return str(group["id"])
        raise TerminalError("Metabase has no group of all people: is its version older than v0.54?")
