"""Signals, at moments that are events: what is imported, asked, read, waited for."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

from tests.clocks import SimulatedClock
from tests.exchange.server import Simulator
from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import SNAPSHOT, counted
from tests.faults.lakes import LAKE_CSV
from tests.faults.place import Place, Ran, Started
from tests.faults.recordings import RECORDING
from tests.waiting import wait_for

NAME = "signal moment"
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
LOADS = {"snapshots": SNAPSHOT, "lake import": LAKE_CSV, "replay": RECORDING}


class Moment(NamedTuple):
    """A signal to a command, when a library is loaded, a request is held or a lock waited for."""

    command: str
    number: signal.Signals
    library: str = ""
    at: str = ""


def bring(place: Place, case: Case) -> None:
    """Send the signal at its moment; then the same command does all of its work, once."""
    moment: Moment = case.what
    command, count, rows = _command(place, moment.command)
    with ExitStack() as stack:
        env = {}
        simulator = None
        if moment.at == "request":
            simulator = stack.enter_context(
                Simulator(3, SimulatedClock(), rate_limited=False, frames_per_second=5)
            )
            simulator.faults.add("slow")
            env = {**simulator.environment, "WAREHOUSE_HTTP_TIMEOUT_SECONDS": "600"}
        if moment.at == "lock":
            holder = stack.enter_context(closing(place.server.admin(place.where.db)))
            holder.autocommit = False
            holder.cursor().execute("lock table ops.runs in access exclusive mode")
        started = place.start(*command, env=env)
        wait_for(lambda: _is_there(place, started, moment, simulator), f"{moment.at} of {command}")
        started.send(moment.number)
        if moment.at == "lock" and moment.number == signal.SIGKILL:
            # Nobody tells Postgres that the process is gone while it waits itself.
            holder.rollback()
        ran = started.end()
    # It may have been done before the signal came; without servers the others fail by themselves.
    place.survived(ran, (ENDS[moment.number], 0) if count else (ENDS[moment.number], 0, 1, 75))
    if count:
        again = place.start(*command)
        place.survived(again.end(), (0, 75))
        done = _until_nobody_is_at_work(place, command)
        place.survived(done)
        found = counted(place, count)
        assert found == rows, f"{found} rows of {rows} after the same command again"
        place.conserved()


def _until_nobody_is_at_work(place: Place, command: tuple[str, ...]) -> Ran:
    """The command again, once Postgres knows that the one that was ended has gone."""
    ours = (
        "select 1 from pg_stat_activity where datname = current_database() "
        "and application_name = 'bitso-warehouse'"
    )
    wait_for(lambda: not place.rows(ours), "the end of the connections")
    return place.run(*command)


def _command(place: Place, name: str) -> tuple[tuple[str, ...], str, int]:
    """What to run, and how many rows of what it brings."""
    if name not in LOADS:
        return ("loader", *name.split()), "", 0
    kind = LOADS[name]
    path = place.directory / kind.name
    path.write_bytes(kind.good)
    return ("loader", *kind.command, str(path)), kind.rows, 3


def _is_there(place: Place, started: Started, moment: Moment, simulator: Simulator | None) -> bool:
    """Whether the moment has come, or the command has ended."""
    if not started.is_running:
        return True
    if moment.library:
        with suppress(OSError):
            return moment.library in Path(f"/proc/{started.pid}/maps").read_text()
        return False
    if moment.at == "request":
        assert simulator
        return bool(simulator.requests)
    waits = (
        "select 1 from pg_stat_activity where datname = current_database() "
        "and application_name = 'bitso-warehouse'"
    )
    return bool(
        place.rows(waits + (" and wait_event_type = 'Lock'" if moment.at == "lock" else ""))
    )


# In the order in which a command loads them: of Python itself, of click's, of ours.
LIBRARIES = {
    "snapshots": ("_hashlib", "_json", "pydantic_core", "psycopg2"),
    "lake import": ("psycopg2", "libarrow.so", "_parquet"),
    "replay": ("pydantic_core", "psycopg2", "zlib"),
    "quarantine list": ("pydantic_core", "psycopg2"),
    "books": ("psycopg2", "_ssl"),
    "alerts": ("psycopg2",),
    "status": ("pydantic_core", "psycopg2"),
    "stream": ("pydantic_core", "_asyncio", "psycopg2"),
}


def _signal_cases() -> Iterator[Case]:
    for command, libraries in LIBRARIES.items():
        for library in libraries:
            for number in (signal.SIGINT, signal.SIGTERM):
                moment = Moment(command, number, library=library)
                yield _case("time", moment, f"when {library} is loaded")
    for command in ("books", "stream"):
        for number in (signal.SIGINT, signal.SIGTERM):
            yield _case("time", Moment(command, number, at="request"), "while a request is held")
    for command in LOADS:
        for number in ENDS:
            kind = "lost" if number == signal.SIGKILL else "time"
            yield _case(kind, Moment(command, number, at="lock"), "at a lock")
            yield _case(kind, Moment(command, number, at="connection"), "when it is connected")


def _case(kind: str, moment: Moment, when: str) -> Case:
    name = f"{moment.command}: {signal.Signals(moment.number).name} {when}"
    return Case(NAME, kind, name, moment, Holds())


_NONE = "a signal has no content"
SIGNALS = Surface(NAME, list(_signal_cases()), bring, {
    "numbers": _NONE, "text": _NONE, "shape": _NONE, "size": _NONE, "encoding": _NONE,
    "cut": "a signal comes or does not", "duplication": "the first ends the command",
    "order": "the moments are tried with time", "place": _NONE,
    "permission": "who may send it is the system's business",
    "full disk": "ending needs no disk", "version": _NONE,
})  # fmt: skip
