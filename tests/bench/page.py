"""Viewers of the live page, each another book and hour, refreshed at a pace; rows come beside them.

A viewer asks what a browser does: the market, and each tile of the spread monitor, six at a time.
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlencode

import psutil
import requests

from dashboards.definitions import load_dashboards
from tests.bench.figures import Table
from tests.bench.market import BOOKS, START, extend
from tests.bench.stage import SCRIPTS, Stage, psql
from tests.conftest import Warehouse
from tests.market import open_run

DASHBOARD = "spread-monitor"
# As many connections as a browser has to one server.
CONNECTIONS = 6
PACE_SECONDS = 10.0
# What the stream does beside them: a second's rows of all books.
TICK = (
    "insert into raw.bitso_tickers (received_at, book, bid, ask, payload, run_id) "
    "select now(), unnest(%s), 999.2, 1000, '{}', %s"
)


@dataclass
class Seen:
    """What the viewers met, all of them together."""

    seconds: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)


def page(stage: Stage, *, quotes: int, viewers: int, seconds: int) -> Iterator[Table]:
    """How long a tile takes, and whether what writes beside it is late."""
    with stage.warehouse() as warehouse:
        _fill(warehouse, quotes)
        with _serving(warehouse) as (address, process):
            alone = _ticking(warehouse, 10)
            began = process.cpu_times()
            with _ticks(warehouse, seconds) as beside:
                seen = _viewed(address, viewers, quotes, seconds)
            ended = process.cpu_times()
            memory = process.memory_info().rss / 2**20
    times = sorted(seen.seconds)
    cpu = ended.user + ended.system - began.user - began.system
    failed = sum(code != 200 for code in seen.codes)
    rows = [
        ("figure", ""),
        ("answers", f"{len(times):,}, of them not 200: {failed}"),
        *((f"p{share}", f"{_quantile(times, share) * 1000:,.0f} ms") for share in (50, 95, 99)),
        ("CPU of the page", f"{cpu / seconds:.2f} cores"),
        ("memory of the page", f"{memory:,.0f} MiB"),
        ("a second's rows, alone (p95)", f"{_quantile(sorted(alone), 95) * 1000:,.1f} ms"),
        ("a second's rows, beside (p95)", f"{_quantile(sorted(beside), 95) * 1000:,.1f} ms"),
    ]
    title = f"{viewers} viewers, refreshed every {PACE_SECONDS:.0f} s, over {quotes:,} quotes"
    yield Table(title, rows, {"milliseconds": [value * 1000 for value in times]})


def _fill(warehouse: Warehouse, quotes: int) -> None:
    warehouse.dbt("seed")
    extend(warehouse, 0, quotes)
    psql(warehouse, "vacuum analyze")
    warehouse.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    psql(warehouse, "vacuum analyze")
    warehouse.rows("select raw.ensure_day('bitso_tickers', current_date)")


@contextmanager
def _serving(warehouse: Warehouse) -> Iterator[tuple[str, psutil.Process]]:
    page = subprocess.Popen(
        [SCRIPTS / "dashboards", "serve", "--port", "0"], cwd=warehouse.directory,
        env=os.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert page.stdout
        yield page.stdout.readline().split()[0], psutil.Process(page.pid)
    finally:
        page.terminate()
        page.communicate()


def _viewed(address: str, viewers: int, quotes: int, seconds: int) -> Seen:
    seen = Seen()
    hours = max(1, quotes // len(BOOKS) // 60)
    ends_at = time.monotonic() + seconds

    def view(number: int) -> None:
        first = START + timedelta(hours=number * 7 % hours)
        chosen = {
            "book": BOOKS[number % len(BOOKS)],
            "from": f"{first:%Y-%m-%dT%H:%M:%SZ}",
            "to": f"{first + timedelta(minutes=59, seconds=59):%Y-%m-%dT%H:%M:%SZ}",
        }
        tiles = [tile.question for tile in load_dashboards()[DASHBOARD].tiles if tile.question]
        paths = [f"/dashboards/{DASHBOARD}/tiles/{name}?{urlencode(chosen)}" for name in tiles]
        with requests.Session() as session, ThreadPoolExecutor(CONNECTIONS) as connections:

            def ask(path: str) -> None:
                start = time.perf_counter()
                reply = session.get(f"{address}{path}", timeout=60)
                seen.seconds.append(time.perf_counter() - start)
                seen.codes.append(reply.status_code)

            # Nobody opens the page at the same moment as all others.
            time.sleep(number / viewers * min(PACE_SECONDS, seconds / 2))
            while (start := time.monotonic()) < ends_at:
                list(connections.map(ask, ["/market", *paths]))
                time.sleep(max(0.0, min(start + PACE_SECONDS, ends_at) - time.monotonic()))

    threads = [threading.Thread(target=view, args=(number,)) for number in range(viewers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


@contextmanager
def _ticks(warehouse: Warehouse, seconds: int) -> Iterator[list[float]]:
    """What the stream does meanwhile: every second the rows of all books."""
    taken: list[float] = []
    thread = threading.Thread(target=lambda: taken.extend(_ticking(warehouse, seconds)))
    thread.start()
    try:
        yield taken
    finally:
        thread.join()


def _ticking(warehouse: Warehouse, seconds: int) -> list[float]:
    taken: list[float] = []
    run = open_run(warehouse)
    for _ in range(seconds):
        start = time.perf_counter()
        warehouse.rows(TICK, BOOKS, run)
        taken.append(time.perf_counter() - start)
        time.sleep(max(0.0, 1 - taken[-1]))
    return taken


def _quantile(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]
