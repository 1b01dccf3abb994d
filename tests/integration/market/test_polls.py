"""What polls and recordings answer for: each slot of each watched book is seen, or a gap."""

import json
import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loader.market.polls import INTERVAL, account_for
from loader.market.recording import replay
from loader.market.rows import FEEDS, MarketRows
from loader.warehouse.errors import RefusedError
from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.runs import ledger_run
from loader.warehouse.postgres.connection import connect
from tests import market
from tests.conftest import Warehouse
from tests.market_files import NOON, order_book, ticker, tickers
from tests.watch import assert_merged

BOOKS = ("btc_mxn", "eth_mxn", "usd_mxn")
JOBS = {"tickers": "bitso_tickers", "order-books": "bitso_order_books"}


def poll(job: str, at: datetime, wanted: Sequence[str], brought: Iterable[str]) -> None:
    """One poll, as the jobs make it; without anything brought, one that failed."""
    table = JOBS[job]
    bodies = [
        tickers(at, ticker(book)) if job == "tickers" else order_book(at, book) for book in brought
    ]
    with closing(connect("loader")) as connection, ledger_run(connection, job, {}) as run:
        writer = MarketRows(connection, run, FEEDS[table], TimePartitions())
        for body in bodies:
            writer.add(body)
        writer.flush()
        with connection.cursor() as cursor:
            account_for(cursor, run, table, wanted, [body.received_at for body in bodies])


def slots(warehouse: Warehouse, table: str) -> list[tuple[Any, ...]]:
    """Each slot of the account by book, with its cause where it is a gap."""
    return warehouse.rows(
        f"select distinct book, slot, (select cause from ops.gaps where gaps.book = watched "
        f"and gaps.feed = monitored.feed and gap_from <= slot and gap_until > slot) "
        f"from ops.monitored, unnest(books) as watched, lateral (select watched as book) as b, "
        f"generate_series(monitored_from, monitored_until - interval '1 second', interval) as slot "
        f"where feed = '{table}' order by 1, 2"
    )


@pytest.mark.parametrize(("job", "feed"), [("tickers", "ticker"), ("order-books", "order_book")])
def test_each_slot_is_seen_or_a_gap_with_its_cause(
    warehouse: Warehouse, job: str, feed: str
) -> None:
    chance = random.Random(feed)
    expected: dict[tuple[str, datetime], str | None] = {}
    before: datetime | None = None
    known: set[str] = set()
    for n in range(40):
        slot = NOON + n * INTERVAL
        if before is not None and chance.random() < 0.4:
            continue
        wanted = chance.sample(BOOKS, chance.choice((2, 3)))
        brought = chance.sample(wanted, chance.randint(1, len(wanted)))
        poll(job, slot + timedelta(seconds=chance.uniform(0, 599)), wanted, brought)
        for missed in range(n if before is None else (before - NOON) // INTERVAL + 1, n):
            for book in known.intersection(wanted):
                expected[book, NOON + missed * INTERVAL] = "not_running"
        for book in wanted:
            expected[book, slot] = None if book in brought else "failed"
        before, known = slot, set(wanted)
    assert slots(warehouse, feed) == [(*key, cause) for key, cause in sorted(expected.items())]
    assert set(expected.values()) == {None, "failed", "not_running"}
    assert_merged(warehouse)


def test_polls_that_failed_are_the_cause_of_what_they_missed(warehouse: Warehouse) -> None:
    [(now,)] = warehouse.rows("select date_trunc('second', now(), 'UTC')")
    poll("tickers", now - 3 * INTERVAL, BOOKS, BOOKS)
    with (
        pytest.raises(RefusedError),
        closing(connect("loader")) as connection,
        ledger_run(connection, "tickers", {}),
    ):
        raise RefusedError("Bitso is down")
    poll("tickers", now, BOOKS, BOOKS)
    assert {cause for *_, cause in slots(warehouse, "ticker")} == {None, "failed"}


def test_a_poll_does_not_answer_for_the_time_since_a_recording(warehouse: Warehouse) -> None:
    recorded = Watch("ticker", timedelta(seconds=10), BOOKS, NOON, NOON + INTERVAL, True)
    market.watch(warehouse, recorded)
    later = NOON + timedelta(days=300)
    poll("tickers", later, BOOKS, BOOKS)
    assert warehouse.rows(
        "select monitored_from, monitored_until from ops.monitored where not is_recorded"
    ) == [(later, later + INTERVAL)]
    assert warehouse.rows("select count(*) from ops.gaps") == [(0,)]


def test_windows_are_the_account_of_the_polls(warehouse: Warehouse) -> None:
    """Twice in a slot is once; what a second poll brings is no gap any more."""
    poll("tickers", NOON, BOOKS, ["btc_mxn"])
    poll("tickers", NOON + timedelta(minutes=4), BOOKS, ["btc_mxn", "eth_mxn"])
    poll("order-books", NOON + timedelta(minutes=5), BOOKS[:2], BOOKS[:1])
    poll("tickers", NOON + timedelta(minutes=35), BOOKS, BOOKS)
    warehouse.dbt("seed")
    market.build(warehouse)
    found = warehouse.rows(
        "select book, expected, observed, missing, causes from marts.observation_coverage "
        "order by book, window_start"
    )
    absent = [(600, 0, 600, "not_running")] * 2
    assert found == [
        *(("btc_mxn", *row) for row in [(600, 600, 0, None), *absent, (600, 600, 0, None)]),
        *(("eth_mxn", *row) for row in [(600, 600, 0, None), *absent, (600, 600, 0, None)]),
        *(("usd_mxn", *row) for row in [(600, 0, 600, "failed"), *absent, (600, 600, 0, None)]),
    ]
    # Hours are the sums of their windows.
    assert warehouse.rows(
        "select distinct book, round(coverage, 4)::text from marts.spread_hourly order by 1"
    ) == [("btc_mxn", "0.5000"), ("eth_mxn", "0.5000"), ("usd_mxn", "0.2500")]


GOOD: dict[str, Any] = {
    "feed": "ticker", "interval_seconds": 10, "books": ["btc_mxn"],
    "from": "2026-01-05T12:00:03Z", "until": "2026-01-05T12:00:59+00:00",
}  # fmt: skip


def recording(directory: Path, *watches: object) -> Path:
    file = directory / "r.jsonl"
    file.write_text("".join(json.dumps({"watched": watch}) + "\n" for watch in watches))
    return file


def test_a_recording_says_what_it_was_to_hold(warehouse: Warehouse, tmp_path: Path) -> None:
    book = {**GOOD, "feed": "order_book", "books": ["USD_MXN", "usd_mxn"]}
    for _ in range(2):
        [run] = replay(recording(tmp_path, GOOD, book))
        assert (run.rows_read, run.detail["replies"]) == (0, 0)
    since = datetime.fromisoformat("2026-01-05T12:00Z")
    assert warehouse.rows(
        "select feed, interval, books, is_recorded, monitored_from, monitored_until "
        "from ops.monitored_time order by 1"
    ) == [
        (feed, timedelta(seconds=10), books, True, since, since + timedelta(minutes=1))
        for feed, books in (("order_book", ["usd_mxn"]), ("ticker", ["btc_mxn"]))
    ]
    assert_merged(warehouse)


WRONG: list[object] = [None, 7, "x", "", "\x00", [], {}, True, -1, 0, 1.5, "2026-01-05T12:00:00"]


@pytest.mark.parametrize("name", GOOD)
def test_what_it_says_of_itself_may_not_be_wrong(
    warehouse: Warehouse, tmp_path: Path, name: str
) -> None:
    others: dict[str, list[object]] = {
        "interval_seconds": [86401, "10"], "books": [["btc_mxn", 1], [""], ["\x00"]],
        "from": [GOOD["until"], "2999-01-01T00:00Z"], "until": [GOOD["from"], "0001-01-01T00:00Z"],
        "feed": ["stream", "lake", ["ticker"]],
    }  # fmt: skip
    for value in [*WRONG, *others[name]]:
        if name == "interval_seconds" and value == 7:
            continue
        with pytest.raises(RefusedError, match=r"^r\.jsonl:2: \w.* "):
            list(replay(recording(tmp_path, GOOD, {**GOOD, name: value})))
    assert warehouse.rows("select count(*) from ops.monitored") == [(0,)]


def test_it_says_so_once(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"r\.jsonl:2: a line before says already"):
        list(replay(recording(tmp_path, GOOD, {**GOOD, "books": ["eth_mxn"]})))
    assert warehouse.rows("select count(*) from ops.monitored_time") == [(0,)]
