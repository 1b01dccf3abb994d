"""`make soak`: the daemon, all books, a real clock; ten minutes without a fault, ten with many.

No part of `make ci`. The exchange is the simulator, in this process; its rate limit is Bitso's.
SOAK_SECONDS=30 tries whether all of it works.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import market
from tests.conftest import BIN, Warehouse
from tests.exchange.hostile import NAMELESS_FRAMES, hostile_frames
from tests.exchange.market import BOOKS
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS, wait_for
from tests.watch import assert_equal_to_the_simulators, assert_exact

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
FRAMES_PER_SECOND = 250
DEPTH = 10
TESTS = ("every_expected_second_is_observed_or_missing", "no_second_is_observed_twice")
# What may befall a book, and what a connection, with how often it comes: 54 snapshots take more
# than a minute, and somebody should be in step now and then.
# Frames that nobody should send, and a Postgres that takes nothing until somebody mends it.
HOSTILE, REFUSAL = "hostile", "refusal"
FAULTS: list[tuple[int, dict[str, Any]]] = [
    (60, {"name": "gap"}),
    (30, {"name": "duplicate"}),
    (30, {"name": "reordered_keys"}),
    (30, {"name": "unreadable"}),
    (60, {"name": HOSTILE}),
    (8, {"name": REFUSAL}),
    (20, {"name": "cancel_side", "argument": "bids"}),
    (20, {"name": "old_snapshot", "path": "order_book", "argument": 40}),
    (8, {"name": "slow", "path": "order_book", "argument": 3}),
    (8, {"name": "status", "path": "order_book", "argument": 500}),
    (1, {"name": "status", "path": "order_book", "argument": 420}),
    (8, {"name": "dead_data", "times": 40}),
    (1, {"name": "slow_first_frame", "path": "", "argument": 2}),
    (1, {"name": "cut_frame", "path": ""}),
    (1, {"name": "stall", "path": ""}),
    (1, {"name": "disconnect", "path": ""}),
    (1, {"name": "close", "path": ""}),
    (1, {"name": "refuse", "path": "", "argument": 429}),
]
REFUSALS = (
    (
        "revoke insert on raw.bitso_order_books from warehouse_loader",
        "grant insert on raw.bitso_order_books to warehouse_loader",
    ),
    ("alter table ops.gaps rename to gone", "alter table ops.gone rename to gaps"),
)

pytestmark = pytest.mark.timeout(3 * SECONDS + 1800)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(frames_per_second=FRAMES_PER_SECOND) as simulator:
        yield simulator


@contextmanager
def streaming(
    warehouse: Warehouse, simulator: Simulator, *, is_killed: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """`loader stream` over all books, to its end."""
    process = subprocess.Popen(
        [BIN / "loader", "stream"],
        env={
            **os.environ,
            **simulator.environment,
            "WAREHOUSE_BOOKS": ",".join(BOOKS),
            "WAREHOUSE_STREAM_DEPTH": str(DEPTH),
            "WAREHOUSE_STREAM_SPOOL_DIR": str(warehouse.directory / "spool"),
        },
        cwd=warehouse.directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
        assert process.wait(LAST_RESORT_SECONDS) == (-signal.SIGKILL if is_killed else 143)
    finally:
        process.kill()
        process.wait()


def torment(
    warehouse: Warehouse, simulator: Simulator, chance: random.Random, seconds: float
) -> None:
    """A fault every three seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        [(_, fault)] = chance.choices(FAULTS, [often for often, _ in FAULTS])
        book = chance.choice(list(BOOKS))
        if fault["name"] == REFUSAL:
            refuse(warehouse, chance)
        elif fault["name"] == HOSTILE:
            frame = chance.choice(hostile_frames(book) + NAMELESS_FRAMES)
            simulator.faults.add("unreadable", book, times=1, argument=frame)
        else:
            simulator.faults.add(**{"path": book, "times": 1, **fault})
        time.sleep(3)


def refuse(warehouse: Warehouse, chance: random.Random) -> None:
    """Have Postgres refuse all for a while."""
    begin, end = chance.choice(REFUSALS)
    warehouse.rows(begin)
    time.sleep(chance.uniform(2, 15))
    warehouse.rows(end)


def damage(spool: Path, chance: random.Random) -> None:
    """What a lost power leaves at the end of a file, and what was never a line."""
    left = spool.read_bytes()
    whatever = chance.choice((b"\0" * 4096, b"{}\n", chance.randbytes(999) + b"\n", left[:500]))
    spool.write_bytes(left[: chance.choice((None, -100))] + whatever)


def until_in_step(warehouse: Warehouse) -> datetime:
    """Wait until there is a second with all books; more than 50 snapshots a minute are not had."""
    query = (
        "select received_at from raw.bitso_order_books "
        "where received_at > now() - interval '5 seconds' "
        "group by 1 having count(*) = %s order by 1 desc limit 1"
    )
    [(at,)] = wait_for(lambda: warehouse.rows(query, len(BOOKS)), "a second with all books")
    assert isinstance(at, datetime)
    return at


def assert_the_models_agree(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    market.build(warehouse)
    done = warehouse.dbt("test", "--select", *TESTS)
    assert all(f"PASS {name}" in done.stdout for name in TESTS)


def tell(*lines: str) -> None:
    sys.stdout.write("\n".join(["", *lines, ""]))


def test_without_a_fault_every_second_of_every_book_is_there(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    with streaming(warehouse, simulator):
        since = until_in_step(warehouse)
        time.sleep(SECONDS + 3)
    ten_minutes = "received_at >= %s and received_at < %s::timestamptz + %s * interval '1 second'"
    counts = warehouse.rows(
        "select book, count(*), count(distinct received_at) from raw.bitso_order_books "
        f"where {ten_minutes} group by 1 order by 1",
        since, since, SECONDS,
    )  # fmt: skip
    assert counts == [(book, SECONDS, SECONDS) for book in sorted(BOOKS)]
    assert_exact(warehouse)
    oldest = assert_equal_to_the_simulators(warehouse, simulator, DEPTH)
    assert_the_models_agree(warehouse)
    tell(
        f"{len(counts)} books: {SECONDS} of {SECONDS} each, none missing, none twice",
        f"every book as the simulator's; a change reached a sample within {oldest}",
    )


def test_with_a_fault_every_few_seconds_every_second_is_accounted_for(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    chance = random.Random(4)
    end = time.monotonic() + SECONDS
    lives = 0
    while (left := end - time.monotonic()) > 0:
        lives += 1
        life = min(left, chance.uniform(SECONDS / 10, SECONDS / 2.5))
        with streaming(warehouse, simulator, is_killed=life < left) as process:
            torment(warehouse, simulator, chance, life)
            assert process.poll() is None
        if life < left:
            damage(warehouse.directory / "spool" / f"{warehouse.where.db}.jsonl", chance)
        time.sleep(chance.uniform(0, 5))
    assert_exact(warehouse)
    assert_equal_to_the_simulators(warehouse, simulator, DEPTH)
    assert_the_models_agree(warehouse)
    causes = warehouse.rows("select cause, sum(missing_slots) from ops.gaps group by 1 order by 1")
    [(rows,)] = warehouse.rows("select count(*) from raw.bitso_order_books")
    tell(
        f"{lives} lives; {rows} observations, {dict(causes)} missing: every second is accounted for"
    )
