"""Waiting in tests: for an event, never for a time.

A machine with other work may be a hundred times as slow as an idle one, and a test must not take
that for a fault of the product. So every wait ends with what it waits for; the last resort is
there only so that a test that will never end says what did not come.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any, Protocol, TypeVar

T = TypeVar("T")
# No limit that anybody should meet: whoever waits so long waits for ever.
LAST_RESORT_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05


class _Patience:
    """Pauses between two looks, and the end of it."""

    def __init__(self, what: Callable[[], object] | str, seconds: float) -> None:
        self._what = what
        self._ends_at = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    def pause(self) -> float:
        """How long to the next look; fails the test when it is too late."""
        if time.monotonic() > self._ends_at:
            raise AssertionError(f"it did not come: {_said(self._what)}")
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
        return self._pause


def _said(what: Callable[[], object] | str) -> object:
    return what if isinstance(what, str) else what()


def wait_for(
    condition: Callable[[], T],
    what: Callable[[], object] | str,
    seconds: float = LAST_RESORT_SECONDS,
) -> T:
    """What the condition returns, once it is true; `what` says what did not come."""
    patience = _Patience(what, seconds)
    while not (found := condition()):
        time.sleep(patience.pause())
    return found


async def wait_on_loop(
    condition: Callable[[], T],
    what: Callable[[], object] | str,
    seconds: float = LAST_RESORT_SECONDS,
) -> T:
    """The same on an event loop, whose other tasks go on."""
    patience = _Patience(what, seconds)
    while not (found := condition()):  # noqa: ASYNC110 (what comes sets no Event)
        await asyncio.sleep(patience.pause())
    return found


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code of a process and what it printed, once it has ended by itself."""
    out, err = process.communicate(timeout=LAST_RESORT_SECONDS)
    return process.returncode, out or "", err or ""


def read_until(stream: IO[str] | None, text: str) -> list[str]:
    """The lines of a process up to the first that has a text in it; fails when they end before."""
    assert stream, "its output is not a pipe"
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in {lines}")


def try_until_done(work: Callable[[], T], passing: type[Exception], what: str) -> T:
    """What the work returns, as soon as it does not raise an error that passes.

    As after a kill: for a while Postgres takes the killed process for one at work.
    """
    found: list[T] = []

    def is_done() -> bool:
        try:
            found.append(work())
        except passing:
            return False
        return True

    wait_for(is_done, what)
    return found[0]


class Queried(Protocol):
    """A database under test."""

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query answers."""


def wait_for_lock(warehouse: Queried, statement: str) -> None:
    """Until somebody hangs on a lock in a statement that has this text in it."""
    query = (
        "select 1 from pg_stat_activity where wait_event_type = 'Lock' "
        "and datname = current_database() and query like %s"
    )
    wait_for(lambda: warehouse.rows(query, f"%{statement}%"), f"a lock in the way of {statement}")
