"""What a case of the campaign is: where a fault comes in, what it is, what must hold afterwards."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from tests.faults.place import World

# Kinds of fault, in the order of the table.
KINDS = (
    "numbers", "text", "shape", "size", "time", "cut", "encoding", "duplication", "order", "place",
    "permission", "full disk", "lost", "version",
)  # fmt: skip


class Holds(NamedTuple):
    """What must hold after a case, beside what holds after every one.

    `exits` are the exit codes that are right; `good` how many rows may be in raw then, each once
    (empty: it is not asked); `says` a pattern that stderr must hold.
    """

    exits: tuple[int, ...] = (0,)
    good: tuple[int, ...] = ()
    says: str = ""


class Case(NamedTuple):
    """One fault: `what` is brought to its surface by the surface itself.

    `is_dear` is a case that takes long or much memory: it is left to `make faults`.
    """

    surface: str
    kind: str
    name: str
    what: Any
    holds: Holds = Holds()
    is_dear: bool = False

    @property
    def id(self) -> str:
        """What it is called when it is not survived."""
        return f"{self.surface}: {self.kind}: {self.name}"


class Surface(NamedTuple):
    """Where something from outside comes in.

    `bring` puts what a case has there, runs the command that meets it and checks what is left; it
    raises AssertionError with one line. `absent` says why there is no case of a kind.
    """

    name: str
    cases: list[Case]
    bring: Callable[[Any, Case], None]
    absent: dict[str, str]
    # Which database its cases begin with: `migrated`, or `built` with the models in it.
    template: str = "migrated"
    keeps: Callable[[World], AbstractContextManager[Any]] | None = None

    def unexplained(self) -> Iterator[str]:
        """The kinds of which there is neither a case nor a reason; of both, too."""
        tried = {case.kind for case in self.cases}
        for kind in KINDS:
            if (kind in tried) == (kind in self.absent):
                yield f"{self.name}: {kind}"


def cases_of(
    surface: str,
    kind: str,
    whats: Iterable[tuple[str, Any]],
    holds: Holds,
    *,
    is_dear: bool = False,
) -> list[Case]:
    """A case for each of some named faults of one kind."""
    return [Case(surface, kind, name, what, holds, is_dear) for name, what in whats]
