"""Which of some rows cannot go in: found by halves, not one by one."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def refused_rows(
    rows: Sequence[T], attempt: Callable[[Sequence[T]], str | None]
) -> Iterator[tuple[T, str]]:
    """The rows that cannot go in, each with why; all others are in by then, in their order.

    `attempt` writes some rows, all or none, and returns why they cannot go in together, or None.
    It is not called for more until the row that was found is dealt with.
    """
    reason = attempt(rows)
    if reason is None:
        return
    if len(rows) == 1:
        yield rows[0], reason
        return
    middle = len(rows) // 2
    yield from refused_rows(rows[:middle], attempt)
    yield from refused_rows(rows[middle:], attempt)
