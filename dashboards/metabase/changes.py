"""What differs between Metabase and the repository, told before it is written, or not written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Change:
    """One object that differs; `fields` are those of an update.

    `by_hand` says what somebody made of it since we wrote it, and is None where nobody did.
    """

    action: Literal["create", "update", "archive", "sync"]
    kind: str
    name: str
    fields: tuple[str, ...] = ()
    by_hand: tuple[str, ...] | None = None

    def __str__(self) -> str:
        what = f"{self.action} {self.kind} {self.name!r}"
        if self.fields:
            what += f": {', '.join(self.fields)}"
        if self.by_hand is None:
            return what
        return "\n  ".join([f"{what} (changed by hand)", *self.by_hand])


@dataclass(frozen=True)
class Changes:
    """Tells of each change; makes it too, unless this is only a plan.

    `report` hears of each change before it is made, `notice` of what is left as it is.
    `may_overwrite` is asked about what was changed by hand.
    """

    is_writing: bool
    report: Callable[[Change], None]
    notice: Callable[[str], None]
    may_overwrite: Callable[[Change], bool]
    made: list[Change] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)

    def may_make(self, change: Change) -> bool:
        """Whether nobody's work is lost with it, or somebody said that it may be."""
        if change.by_hand is None or not self.is_writing or self.may_overwrite(change):
            return True
        self.left.append(change)
        fields = ", ".join(change.fields)
        self.notice(
            f"left {change.kind} {change.name!r} as it was changed by hand: {fields} "
            "(apply --yes overwrites it)"
        )
        return False

    def make(self, change: Change, write: Callable[[], Any]) -> Any:
        """What `write` returns; None in a plan."""
        self.made.append(change)
        self.report(change)
        return write() if self.is_writing else None
