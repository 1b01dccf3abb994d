"""From the row in raw to the message, while 54 books tick once a second; and the cost of waiting.

The models are dbt's. The rows are of the stream's kind; a wide second comes now and then.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psutil

from loader.warehouse.postgres.connection import connect
from tests import market
from tests.bench.beside import told, transforming
from tests.bench.figures import Table, median
from tests.bench.stage import SCRIPTS, Stage
from tests.conftest import Warehouse
from tests.receiver import Received, Receiver, receiver

BOOKS = [f"b{number:02}_mxn" for number in range(54)]
BACKLOG_SECONDS = 600
ROWS_OF_A_RUN = 60 * len(BOOKS)
INSERT = (
    "insert into raw.bitso_order_books (received_at, book, channel, bid, ask, payload, run_id) "
    "values (%s, %s, 'diff-orders', %s, 10000, '{}', %s)"
)
FINISH = (
    "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = %s, "
    "rows_inserted = %s where run_id = %s"
)


def alerts(stage: Stage, *, seconds: int, idle_seconds: int) -> Iterator[Table]:
    """Latency and CPU."""
    with stage.warehouse() as warehouse:
        warehouse.dbt("seed")
        began = datetime.now(UTC) - timedelta(seconds=BACKLOG_SECONDS)
        market.load(warehouse, calm(began, 1))
        market.build(warehouse)
        # What the follower judges by itself: all since dbt last ran.
        market.load(warehouse, calm(began + timedelta(seconds=1), BACKLOG_SECONDS - 1))
        with receiver() as hook, follower(warehouse, hook) as process:
            idle = _cpu(process, idle_seconds)
            with transforming(warehouse) as codes:
                busy, committed = _while_ticking(warehouse, process, seconds)
            time.sleep(3)
            opened = [
                one for one in hook.received
                if one.body["event"] == "opened" and "0.5 %" in thresholds_of(one)
            ]  # fmt: skip
            keys = [(one.body["book"], one.body["since"]) for one in opened]
            latencies = sorted(
                one.at - committed[key] for one, key in zip(opened, keys, strict=True)
            )
            start = time.perf_counter()
            process.terminate()
            process.wait(60)
            end = time.perf_counter() - start
    yield Table(
        f"Alerts: {len(BOOKS)} books at 1 Hz for {seconds} s, a commit for each row, "
        f"{BACKLOG_SECONDS} s after dbt, transforms beside it",
        [
            ("alerts opened, and told", f"{len(committed)}, {len(latencies)}"),
            ("row committed to message, p50", f"{median(latencies):.3f} s"),
            ("p99", f"{latencies[int(len(latencies) * 0.99)]:.3f} s"),
            ("longest", f"{latencies[-1]:.3f} s"),
            ("told twice", f"{len(keys) - len(set(keys))}"),
            *told(codes),
            ("from SIGTERM to its end", f"{end:.2f} s"),
            ("CPU of the follower meanwhile", f"{busy:.2f} % of a core"),
            (f"CPU of an idle follower over {idle_seconds} s", f"{max(0.0, idle):.3f} % of a core"),
        ],
        {"opened": len(committed), "latencies": latencies, "cpu": busy, "idle_cpu": idle},
    )


def thresholds_of(message: Received) -> list[str]:
    """What a message is about."""
    return str(message.body.get("thresholds", message.body["threshold"])).split(", ")


def _while_ticking(
    warehouse: Warehouse, process: psutil.Process, seconds: int
) -> tuple[float, dict[tuple[str, str], float]]:
    """The follower's CPU while rows come, and when each alert's first row was committed."""
    loads: list[float] = []
    watched = threading.Thread(target=lambda: loads.append(_cpu(process, seconds)))
    watched.start()
    committed = _tick(warehouse, seconds)
    watched.join()
    return loads[0], committed


def calm(since: datetime, seconds: int) -> list[market.Quote]:
    """A second after the other of all books, none of them wide."""
    return [
        market.Quote(
            book, since + timedelta(seconds=second), "stream", Decimal(9999), Decimal(10_000)
        )
        for second in range(seconds)
        for book in BOOKS
    ]


@contextmanager
def follower(warehouse: Warehouse, hook: Receiver) -> Iterator[psutil.Process]:
    """`loader alerts --follow`, which tells the receiver."""
    environment = {"WAREHOUSE_ALERT_CHANNELS": json.dumps({"default": hook.address()})}
    process = subprocess.Popen(
        [SCRIPTS / "loader", "alerts", "--follow"], env={**os.environ, **environment},
        cwd=warehouse.directory, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(3)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _cpu(process: psutil.Process, seconds: int) -> float:
    """Percent of a core."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds * 100


def _tick(warehouse: Warehouse, seconds: int) -> dict[tuple[str, str], float]:
    """A row a book a second, evenly spread; when the first row of each alert was committed.

    A run has the rows of a minute, so that dbt takes them in as it does the stream's.
    """
    committed = {}
    start = time.monotonic()
    run_id = market.open_run(warehouse)
    with closing(connect("loader")) as connection, connection.cursor() as cursor:
        for tick in range(seconds * len(BOOKS)):
            second, number = divmod(tick, len(BOOKS))
            if tick and tick % ROWS_OF_A_RUN == 0:
                warehouse.rows(FINISH, ROWS_OF_A_RUN, ROWS_OF_A_RUN, run_id)
                run_id = market.open_run(warehouse)
            time.sleep(max(0.0, start + tick / len(BOOKS) - time.monotonic()))
            # Every tenth second of a book is wide.
            is_wide = (second + number) % 10 == 5
            now = datetime.now(UTC)
            cursor.execute(INSERT, (now, BOOKS[number], 9920 if is_wide else 9999, run_id))
            connection.commit()
            if is_wide:
                since = now.isoformat().replace("+00:00", "Z")
                committed[BOOKS[number], since] = time.time()
    return committed
