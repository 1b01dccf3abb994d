"""`loader stream` with 54 books: frames a second, memory after an hour's worth, punctuality.

The frames come from another process over a real WebSocket; the daemon is the command that people
run, samples every second and writes to a real Postgres meanwhile.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests import market
from tests.bench.feed import BOOKS, FIRST_SEQUENCE
from tests.bench.figures import Table
from tests.bench.stage import SCRIPTS, Stage
from tests.conftest import Warehouse
from tests.waiting import wait_for

# All that Bitso sends, both channels together.
BITSO_FRAMES_A_SECOND = 1000


def stream(stage: Stage, *, frames: int, seconds: int) -> Iterator[Table]:
    """Throughput, memory and jitter."""
    with stage.warehouse() as warehouse:
        warehouse.dbt("seed")
        market.build(warehouse)
        with pumping() as feed, daemon(warehouse, stage.directory, feed) as process:
            wait_until_in_step(warehouse)
            yield _throughput(process, feed, frames)
            _wait_until_seen(warehouse, frames)
            yield _jitter(warehouse, process, feed, seconds)
            yield _end(process)
        yield _bytes(warehouse)


def _throughput(process: psutil.Process, feed: "FeedProcess", frames: int) -> Table:
    before, memory = _cpu(process), process.memory_info().rss
    took = feed.send(frames)
    cpu = _cpu(process) - before
    after, peak = process.memory_info().rss, _peak(process)
    return Table(
        f"Stream: {frames:,} frames of {len(BOOKS)} books, sampled and committed each second",
        [
            ("frames a second", f"{frames / took:,.0f}"),
            ("frames a second of CPU, sampling and writing included", f"{frames / cpu:,.0f}"),
            (f"times the {BITSO_FRAMES_A_SECOND:,} that all of Bitso sends",
             f"{frames / cpu / BITSO_FRAMES_A_SECOND:.1f}"),
            ("memory before, after, at its highest",
             f"{memory >> 20} MiB, {after >> 20} MiB, {peak >> 20} MiB"),
        ],
    )  # fmt: skip


def _jitter(
    warehouse: Warehouse, process: psutil.Process, feed: "FeedProcess", seconds: int
) -> Table:
    ended = threading.Event()

    def transform() -> None:
        while not ended.is_set():
            market.build(warehouse)
            runs.append(1)

    runs: list[int] = []
    transforming = threading.Thread(target=transform)
    [(since,)] = warehouse.rows("select date_trunc('second', now()) + interval '1 second'")
    before = _cpu(process)
    transforming.start()
    took = feed.send(BITSO_FRAMES_A_SECOND * seconds, BITSO_FRAMES_A_SECOND)
    cpu = _cpu(process) - before
    ended.set()
    transforming.join()
    [(samples, seconds_seen, median, p99, longest)] = warehouse.rows(
        "with late as (select received_at, "
        "abs(extract(epoch from (payload ->> 'sampled_at')::timestamptz - received_at)) * 1000 "
        "as milliseconds from raw.bitso_order_books where received_at between %s and "
        "%s::timestamptz + %s * interval '1 second') "
        "select count(*), count(distinct received_at), "
        "percentile_cont(0.5) within group (order by milliseconds), "
        "percentile_cont(0.99) within group (order by milliseconds), max(milliseconds) from late",
        since, since, seconds - 2,
    )  # fmt: skip
    missing = warehouse.rows(
        "select coalesce(sum(missing_slots), 0) from ops.gaps where gap_from >= %s", since
    )
    return Table(
        f"Stream: punctuality of {len(BOOKS)} books at 1 Hz over {seconds_seen} s, "
        f"{BITSO_FRAMES_A_SECOND:,} frames a second, dbt run beside it {len(runs)} times",
        [
            ("samples, missing ones", f"{samples:,}, {missing[0][0]}"),
            ("late by, p50", f"{median:.2f} ms"),
            ("p99", f"{p99:.2f} ms"),
            ("longest", f"{longest:.2f} ms"),
            ("CPU of the daemon", f"{cpu / took * 100:.1f} % of a core"),
        ],
    )


def _end(process: psutil.Process) -> Table:
    """A container is given ten seconds; the daemon promises to be gone within five."""
    start = time.perf_counter()
    process.terminate()
    process.wait(60)
    took = time.perf_counter() - start
    return Table(
        "Stream: told to end by SIGTERM",
        [("seconds until it was gone", f"{took:.2f} (5)")],
        {"end_seconds": took},
    )


def _bytes(warehouse: Warehouse) -> Table:
    [(size, samples)] = warehouse.rows(
        "select sum(pg_total_relation_size(inhrelid)), "
        "(select count(*) from raw.bitso_order_books) "
        "from pg_inherits where inhparent = 'raw.bitso_order_books'::regclass"
    )
    return Table(
        "Stream: a sample with ten levels a side in raw, its indexes included",
        [("bytes", f"{size / samples:.0f}"), ("samples", f"{samples:,}")],
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak(process: psutil.Process) -> int:
    """The most memory that it ever had; what it has now where nobody knows."""
    status = Path(f"/proc/{process.pid}/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return int(process.memory_info().rss)


class FeedProcess:
    """The other process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout
        self.stream_url, self.rest_url = process.stdout.readline().split()

    def send(self, frames: int, a_second: float = 0) -> float:
        """Have frames sent; returns the seconds that it took."""
        return float(self._told(f"{frames} {a_second} 0")["seconds"])

    def send_wide(self, frames: int, a_second: float, each: float) -> list[tuple[str, float]]:
        """Frames with a wide book each so many seconds: which one, and when it was sent."""
        return [(book, at) for book, at in self._told(f"{frames} {a_second} {each}")["wide"]]

    def _told(self, line: str) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def pumping() -> Iterator[FeedProcess]:
    """The pump of books."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.feed"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield FeedProcess(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def daemon(warehouse: Warehouse, directory: Path, feed: FeedProcess) -> Iterator[psutil.Process]:
    """`loader stream`, which hears the pump."""
    environment = {
        "WAREHOUSE_BITSO_STREAM_URL": feed.stream_url,
        "WAREHOUSE_BITSO_URL": feed.rest_url,
        "WAREHOUSE_BITSO_CALLS_PER_MINUTE": "60",
        "WAREHOUSE_BOOKS": ",".join(BOOKS),
        "WAREHOUSE_STREAM_SPOOL_DIR": str(directory / "spool"),
        # There is no ticker.
        "WAREHOUSE_STREAM_CHECK_SECONDS": "86400",
    }
    process = subprocess.Popen(
        [SCRIPTS / "loader", "stream"], env={**os.environ, **environment},
        cwd=warehouse.directory, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_until_seen(warehouse: Warehouse, frames: int) -> None:
    """Every frame is in the samples: nothing was skipped to be fast."""
    _wait(
        warehouse,
        "select received_at from raw.bitso_order_books group by 1 having sum(sequence) = %s",
        len(BOOKS) * FIRST_SEQUENCE + frames,
    )


def wait_until_in_step(warehouse: Warehouse) -> None:
    """All books are sampled."""
    _wait(
        warehouse,
        "select received_at from raw.bitso_order_books group by 1 having count(*) = %s",
        len(BOOKS),
    )


def _wait(warehouse: Warehouse, query: str, value: int) -> None:
    wait_for(lambda: warehouse.rows(query, value), query)
