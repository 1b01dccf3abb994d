"""What differs between Metabase and the repository, told before it is written, or not written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Change:
    """One object that differs; `fields` are those of an update."""

    action: Literal["create", "update", "archive", "sync"]
    kind: str
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.action} {self.kind} {self.name!r}"
        return f"{what}: {', '.join(self.fields)}" if self.fields else what


@dataclass(frozen=True)
class Changes:
    """Tells of each change; makes it too, unless this is only a plan."""

    is_writing: bool
    report: Callable[[Change], None]

    def make(self, change: Change, write: Callable[[], Any]) -> Any:
        """What `write` returns; None in a plan."""
        self.report(change)
        return write() if self.is_writing else None
