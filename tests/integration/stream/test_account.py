"""Every second is in the account exactly once: over kills, outages, full spools and odd clocks."""

import asyncio
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from loader.stream.account import JOB, StreamAccount
from loader.stream.daemon import Options, Stream
from loader.stream.frames import BadFrame
from loader.stream.seconds import Second, Stop, Why, decode
from loader.stream.spool import Spool
from loader.stream.writer import SpoolWriter
from loader.warehouse.clock import SECOND
from loader.warehouse.errors import AlreadyRunningError, TransientError
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from tests.clocks import SteppedClock
from tests.conftest import BIN, Server, Warehouse
from tests.spooled import (
    BOOKS,
    NOON,
    at,
    away,
    gaps,
    id_of,
    is_in_the_spool,
    loader_connection,
    second,
    writer,
)
from tests.waiting import LAST_RESORT_SECONDS, end_of, wait_for, wait_on_loop
from tests.watch import assert_exact


@contextmanager
def ledger() -> Iterator[StreamAccount]:
    """The account, as a process begins on it that has the job's lock."""
    with (
        closing(connect("loader")) as connection,
        single_flight(connection, JOB, keeps_rows=True),
    ):
        yield StreamAccount(connection)


def runs(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select status, extract(epoch from monitored_from - %s)::int, "
        "extract(epoch from monitored_until - %s)::int, rows_inserted "
        "from ops.runs inner join ops.monitored using (run_id) "
        "where job = 'stream' order by run_id",
        NOON, NOON,
    )  # fmt: skip


# ---------------------------------------------------------------------- ledger


def test_a_row_is_the_sample(warehouse: Warehouse) -> None:
    with ledger() as account:
        account.write([second(0)])
    assert warehouse.rows(
        "select received_at, book, channel, sequence, bid, ask, payload from raw.bitso_order_books "
        "order by book limit 1"
    ) == [
        (NOON, "btc_mxn", "diff-orders", 4_520_986_709, 1.5, None,
         {"bids": [["1.5", "2"]], "asks": [], "note": 'a, "b" \\ c'})
    ]  # fmt: skip


def test_a_minute_is_a_run_and_a_gap_does_not_outlive_it(warehouse: Warehouse) -> None:
    with ledger() as account:
        for number in range(50, 130):
            missing = ["usd_mxn"] if number < 65 or number == 70 else []
            account.write([second(number, *missing)])
        assert runs(warehouse) == [
            ("succeeded", 50, 60, 10), ("succeeded", 60, 120, 114), ("running", 120, 130, 20),
        ]  # fmt: skip
    assert gaps(warehouse) == [
        ("usd_mxn", 50, 60, "resync"), ("usd_mxn", 60, 65, "resync"), ("usd_mxn", 70, 71, "resync"),
    ]  # fmt: skip
    assert_exact(warehouse)


def test_another_cause_is_another_gap(warehouse: Warehouse) -> None:
    with ledger() as account:
        account.write([second(0, "usd_mxn", cause="starting")])
        account.write([second(1, "usd_mxn", cause="starting")])
        account.write([second(2, "usd_mxn", cause="throttled")])
    assert gaps(warehouse) == [("usd_mxn", 0, 2, "starting"), ("usd_mxn", 2, 3, "throttled")]


def test_the_run_of_a_killed_process_keeps_its_rows(warehouse: Warehouse) -> None:
    with ledger() as account:
        account.write([second(number) for number in range(5)])
    with ledger() as account:
        account.write([second(9), second(10)])
    assert gaps(warehouse) == [
        (book, start, until, cause)
        for book in BOOKS
        for start, until, cause in ((5, 6, "killed"), (6, 9, "not_running"))
    ]
    # the absence is a run of its own
    assert runs(warehouse) == [
        ("succeeded", 0, 5, 10), ("succeeded", 5, 9, 0), ("running", 9, 11, 4),
    ]  # fmt: skip
    assert_exact(warehouse)


def test_after_a_clean_end_it_was_just_not_running(warehouse: Warehouse) -> None:
    with ledger() as account:
        account.write([second(0), Stop(at(1))])
    assert runs(warehouse) == [("succeeded", 0, 1, 2)]
    with ledger() as account:
        account.write([second(200)])
    assert gaps(warehouse) == [(book, 1, 200, "not_running") for book in BOOKS]
    assert_exact(warehouse)


def test_an_absence_is_only_that_of_the_books_that_are_still_watched(
    warehouse: Warehouse,
) -> None:
    with ledger() as account:
        account.write([second(0)])
    books = ("eth_mxn", "usd_mxn")
    with ledger() as account:
        account.write([second(3, "eth_mxn", cause="starting", books=books)])
    assert gaps(warehouse) == [
        ("eth_mxn", 3, 4, "starting"),
        ("usd_mxn", 1, 2, "killed"),
        ("usd_mxn", 2, 3, "not_running"),
    ]
    with ledger() as account:
        account.write([second(9, books=("sol_mxn",))])
    # nobody is left who was absent
    assert len(gaps(warehouse)) == 3
    assert_exact(warehouse)


def test_a_long_absence_within_a_process_is_a_run_too(warehouse: Warehouse) -> None:
    why = Why("not_running", "the clock jumped")
    with ledger() as account:
        account.write([second(0)])
        account.write([Second.missed(at(1), at(500), BOOKS, why), second(500)])
    assert runs(warehouse) == [
        ("succeeded", 0, 1, 2), ("succeeded", 1, 500, 0), ("running", 500, 501, 2),
    ]  # fmt: skip
    assert_exact(warehouse)


def test_a_stop_of_before_is_not_taken_for_one_of_now(warehouse: Warehouse) -> None:
    with ledger() as account:
        account.write([second(0), Stop(at(1)), second(1)])
    with ledger() as account:
        account.write([second(0), Stop(at(1)), second(1), second(3)])
    assert gaps(warehouse) == [(book, 2, 3, "killed") for book in BOOKS]


@pytest.mark.parametrize("seed", range(4))
def test_however_it_is_cut_and_repeated_it_is_the_same(warehouse: Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    seconds = [
        second(number, *chance.sample(BOOKS, chance.choice((0, 0, 0, 1, 2))))
        for number in range(90)
    ]
    done = 0
    while done < len(seconds):
        with ledger() as account:
            for _ in range(chance.randint(1, 4)):
                start = max(0, done - chance.randint(0, 20))
                done = min(done + chance.randint(0, 20), len(seconds))
                account.write(seconds[start:done])
    assert_exact(warehouse)
    [(count,)] = warehouse.rows("select count(*) from raw.bitso_order_books")
    assert count == sum(len(one.samples) for one in seconds)


def test_a_bad_frame_is_in_quarantine_and_settled_by_a_redrive(warehouse: Warehouse) -> None:
    bad = BadFrame("btc_mxn", "not_json", "not JSON", '{"type":"diff-\0')
    with ledger() as account:
        one = second(0)
        account.write([Second(one.at, one.until, one.books, one.gaps, one.samples, (bad,))])
    assert warehouse.rows(
        "select rows_read, rows_inserted, rows_quarantined, source, location, reason_code, raw "
        "from ops.quarantine inner join ops.runs using (run_id)"
    ) == [(3, 2, 1, "bitso_stream", "btc_mxn", "not_json", '{"type":"diff-\\x00')]
    done = warehouse.loader("quarantine", "redrive")
    assert "1 were loaded already" in done.stdout
    assert warehouse.loader("quarantine", "list").stdout == "0 rows in quarantine\n"


@pytest.mark.parametrize("line", [
    second(0), second(1, "usd_mxn"), second(2, *BOOKS), Stop(NOON),
    Second(at(0), at(9), BOOKS, {"btc_mxn": Why("database", "é"), "usd_mxn": Why("stale")}, (),
           (BadFrame("", "not_json", "why", "\x00\u2028\r\n"),)),
])  # fmt: skip
def test_a_line_of_the_spool_says_it_all(line: Second | Stop) -> None:
    assert b"\n" not in line.encode("an-id")
    assert decode(line.encode("an-id"), "an-id") == line


# ---------------------------------------------------------------------- writer


def test_an_outage_loses_and_doubles_nothing(
    server: Server, warehouse: Warehouse, spool: Path
) -> None:
    with writer(spool) as writing:
        for number in range(55):
            writing.put(second(number))
        wait_for(lambda: warehouse.rows("select 1 from raw.bitso_order_books"), "a first row")
        with away(server, warehouse):
            for number in range(55, 70):
                writing.put(second(number))
            wait_for(lambda: is_in_the_spool(spool, 69), "the last second in the spool")
        writing.put(second(70))
    assert spool.stat().st_size == 0
    assert gaps(warehouse) == []
    assert_exact(warehouse)
    assert warehouse.rows("select count(*) from raw.bitso_order_books") == [(142,)]


def test_past_the_bound_the_account_says_what_was_dropped(
    server: Server, warehouse: Warehouse, spool: Path
) -> None:
    with writer(spool, most_bytes=3000) as writing:
        writing.put(second(0))
        wait_for(lambda: runs(warehouse), "a run")
        with away(server, warehouse):
            for number in range(1, 70):
                writing.put(second(number, *["usd_mxn"][: number % 2]))
            wait_for(lambda: is_in_the_spool(spool, 69), "the last second in the spool")
        wait_for(lambda: spool.stat().st_size == 0, "an empty spool")
        writing.put(second(70))
    assert_exact(warehouse)
    dropped = warehouse.rows(
        "select missing_slots, detail from ops.gaps where cause = 'database' and book = 'btc_mxn' "
        "order by gap_from"
    )
    kept = warehouse.rows("select count(*) from raw.bitso_order_books where book = 'btc_mxn'")
    assert sum(seconds for seconds, _ in dropped) == 71 - kept[0][0]
    assert 1 < kept[0][0] < 20
    assert [detail for _, detail in dropped] == [
        f"{seconds} observations dropped: Postgres was away and the spool is full"
        for seconds, _ in dropped
    ]
    # whoever had nothing to drop keeps the cause that it had
    assert ("usd_mxn", 69, 70, "resync") in gaps(warehouse)


def test_what_a_killed_process_left_is_loaded(warehouse: Warehouse, spool: Path) -> None:
    lines = [second(number).encode(id_of(warehouse)) for number in range(4)]
    with ledger() as account:
        account.write([second(0), second(1)])
    spool.write_bytes(b"\n".join([*lines, lines[-1][:20]]))
    with writer(spool) as writing:
        wait_for(lambda: len(runs(warehouse)) == 2, "a second run")
        writing.put(second(7))
    assert spool.stat().st_size == 0
    assert gaps(warehouse) == [
        (book, *gap)
        for book in BOOKS
        # the line that the process died with, its end, and the time until the next one
        for gap in ((4, 5, "database"), (5, 6, "killed"), (6, 7, "not_running"))
    ]
    assert_exact(warehouse)


class Forgetful:
    """A connection on which the news of a commit gets lost, now and then."""

    def __init__(self, connection: Connection, chance: random.Random, tried: list[float]) -> None:
        self._connection = connection
        self._chance = chance
        self._tried = tried

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Commit, and then lose the connection, or the other way round."""
        fate = self._chance.random()
        self._tried.append(fate)
        if fate < 0.1:
            self._connection.close()
        self._connection.commit()
        if fate > 0.9:
            self._connection.close()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")


@pytest.mark.usefixtures("tries_again_at_once")
def test_commits_whose_outcome_is_unknown_are_read_back(warehouse: Warehouse, spool: Path) -> None:
    chance = random.Random(1)
    begun = threading.Event()
    connections = 0
    tried: list[float] = []

    def forgetful() -> Any:
        nonlocal connections
        connections += 1
        connection = connect("loader")
        return Forgetful(connection, chance, tried) if begun.is_set() else connection

    with writer(spool, connect=forgetful) as writing:
        begun.set()
        warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )
        for number in range(80):
            before = len(tried)
            writing.put(second(number, *["usd_mxn"][: number % 3 == 0]))
            # one or two seconds to a commit, however slow the writer is
            if number % 2:
                wait_for(lambda n=before: len(tried) > n, "another commit")  # type: ignore[misc]
        wait_for(lambda: spool.stat().st_size == 0, "an empty spool")
        begun.clear()
    assert_exact(warehouse)
    assert connections > 5
    assert warehouse.rows("select count(*) from raw.bitso_order_books") == [(133,)]


def test_a_second_one_is_refused_by_the_spool_and_by_the_lock(
    warehouse: Warehouse, spool: Path, tmp_path: Path
) -> None:
    with writer(spool) as writing:
        writing.put(second(0))
        wait_for(lambda: runs(warehouse), "a run")
        with pytest.raises(AlreadyRunningError, match="it holds"):
            SpoolWriter(Spool(spool), loader_connection).start()
        with pytest.raises(AlreadyRunningError, match=r"another stream run is at work \(run \d+"):
            SpoolWriter(Spool(tmp_path / "another"), loader_connection).start()
        writing.put(second(1))
    assert runs(warehouse) == [("succeeded", 0, 2, 4)]


def test_no_start_without_postgres(spool: Path) -> None:
    def unreachable() -> NoReturn:
        raise TransientError("cannot connect to nowhere")

    line = second(0).encode("an-id") + b"\n"
    spool.write_bytes(line)
    with pytest.raises(TransientError, match="nowhere"):
        SpoolWriter(Spool(spool), unreachable).start()
    assert spool.read_bytes() == line


# ---------------------------------------------------------------------- daemon


def nowhere() -> NoReturn:
    raise AssertionError("there is nothing to ask")


def test_a_clock_that_jumps_loses_and_doubles_no_second(
    warehouse: Warehouse,
    spool: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loader.stream.daemon.STOP_SECONDS", LAST_RESORT_SECONDS)
    clock = SteppedClock(NOON)
    stream = Stream(
        BOOKS, url="ws://127.0.0.1:9", rest=nowhere, spool=Spool(spool),
        connect=loader_connection, clock=clock, options=Options(check_seconds=1e6),
    )  # fmt: skip
    moments = []

    async def live() -> None:
        running = asyncio.create_task(stream.run())
        await wait_on_loop(lambda: "streaming 2 books" in caplog.text, "the start")
        for jump in (150, -40, 0.4, -0.6):
            await clock.let_pass(6)
            moments.append(clock.now())
            clock.jump(jump)
        while clock.now() < moments[1] + 5 * SECOND:
            await clock.let_pass(1)
        stream.stop()
        await running

    caplog.set_level("INFO")
    asyncio.run(live())
    assert_exact(warehouse)
    [(start, end, seconds)] = warehouse.rows(
        "select min(monitored_from), max(monitored_until), "
        "sum(monitored_until - monitored_from) from ops.monitored"
    )
    # without a hole, too
    assert end - start == seconds
    causes = dict(warehouse.rows(
        "select cause, sum(missing_slots) from ops.gaps where book = 'btc_mxn' group by cause"
    ))  # fmt: skip
    assert causes["not_running"] in range(148, 153)
    assert "the clock went back: nothing is due for another" in caplog.text


# `loader`, but for the time that it gives Postgres at its end: a container's, too little for tests.
PATIENT_LOADER = f"""
from loader.cli.main import main
from loader.stream import daemon
daemon.STOP_SECONDS = {LAST_RESORT_SECONDS}
main()
"""


@contextmanager
def streaming(
    warehouse: Warehouse, spool: Path, *, is_patient: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """`loader stream` with nobody to listen to, from when it has begun."""
    command = [sys.executable, "-c", PATIENT_LOADER] if is_patient else [str(BIN / "loader")]
    process = subprocess.Popen(
        [*command, "stream"],
        env={
            **os.environ,
            "WAREHOUSE_BITSO_STREAM_URL": "ws://127.0.0.1:9",
            "WAREHOUSE_STREAM_SPOOL_DIR": str(spool.parent),
        },
        cwd=warehouse.directory, text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        assert "streaming 2 books" in process.stderr.readline()
        begun = datetime.now(UTC)
        wait_for(
            lambda: warehouse.rows("select 1 from ops.gaps where gap_until > %s", begun),
            "a second of its own",
        )
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_an_absence(warehouse: Warehouse) -> None:
    """Let so much time pass that a second was missed in any case."""
    wait_for(
        lambda: warehouse.rows(
            "select 1 from ops.monitored having max(monitored_until) < now() - interval '1 second'"
        ),
        "a second that was missed",
    )


def test_a_killed_daemon_costs_a_second_and_a_terminated_one_nothing(
    warehouse: Warehouse, spool: Path
) -> None:
    with streaming(warehouse, spool) as process:
        process.kill()
        process.wait()
    wait_for_an_absence(warehouse)
    with streaming(warehouse, spool) as process:
        second_one = warehouse.loader(
            "stream", WAREHOUSE_STREAM_SPOOL_DIR=str(spool.parent / "another")
        )
        assert second_one.returncode == 75
        # A run of the stream is a minute: at its turn, until the next second is written, none is
        # open that could be named.
        assert re.fullmatch(
            r"loader: another stream run is at work( \(run \d+, since [^\n]+ UTC\))?: "
            r"try again later\n",
            second_one.stderr,
        )
        process.send_signal(signal.SIGTERM)
        code, _, errors = end_of(process)
        assert code == 143
        assert errors.endswith("loader: terminated\n")
    assert warehouse.rows("select count(*) from ops.runs where status <> 'succeeded'") == [(0,)]
    wait_for_an_absence(warehouse)
    with streaming(warehouse, spool):
        pass
    assert_exact(warehouse)
    found = warehouse.rows(
        "select cause, missing_slots from ops.gaps where book = 'btc_mxn' order by gap_from"
    )
    causes = [cause for cause, _ in itertools.groupby(cause for cause, _ in found)]
    assert causes.count("killed") == 1
    assert [slots for cause, slots in found if cause == "killed"] == [1]
    after_the_kill = causes[causes.index("killed") + 1 :]
    assert "not_running" in after_the_kill


def test_an_end_while_postgres_is_away_is_written_by_the_next_start(
    server: Server, warehouse: Warehouse, spool: Path
) -> None:
    with streaming(warehouse, spool, is_patient=False) as process:
        with away(server, warehouse):
            wait_for(lambda: _lines(spool.parent, warehouse) > 2, "seconds in the spool")
            process.send_signal(signal.SIGTERM)
            # Postgres is away until after that: its return is not what the end waits for.
            code, _, errors = end_of(process)
        assert code == 143
        assert "Postgres does not answer: what is left is in the spool" in errors
    wait_for_an_absence(warehouse)
    with streaming(warehouse, spool):
        pass
    assert_exact(warehouse)
    assert warehouse.rows("select 1 from ops.gaps where cause = 'killed'") == []
    assert warehouse.rows("select 1 from ops.gaps where cause = 'not_running'")


def _lines(directory: Path, warehouse: Warehouse) -> int:
    return (directory / f"{warehouse.where.db}.jsonl").read_bytes().count(b"\n")
