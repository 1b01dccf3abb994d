"""The stream's account, for tests: what is wrong with one, and one of which all is known."""

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from loader.stream.account import JOB, StreamAccount
from loader.stream.seconds import Sample, Second, Stop, Why
from loader.warehouse.clock import SECOND
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse
from tests.exchange.server import Simulator

START = datetime(2026, 11, 1, 23, 55, tzinfo=UTC)
BOOKS = ("btc_mxn", "eth_mxn", "usd_mxn")
CAUSES = ("starting", "resync", "disconnected", "stale", "throttled")

# By book and second: None where it was observed, else the cause.
Seen = dict[tuple[str, datetime], str | None]


class Watch:
    """A stream that begins, goes on, is killed and stops; and what it should have left."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._causes: dict[str, str | None] = dict.fromkeys(BOOKS)
        self.at = START
        self.seen: Seen = {}

    def run(self, seconds: int, books: tuple[str, ...] = BOOKS, *, stops: bool = False) -> None:
        """One process, from its first second to its end."""
        with (
            closing(connect("loader")) as connection,
            single_flight(connection, JOB, keeps_rows=True),
        ):
            ledger = StreamAccount(connection)
            lines: list[Second | Stop] = [self._second(books) for _ in range(seconds)]
            ledger.write([*lines, Stop(self.at)] if stops else lines)

    def sleep(self, seconds: int, books: tuple[str, ...] = BOOKS, *, killed: bool) -> None:
        """Nobody runs; the next one finds out."""
        for n in range(seconds):
            for book in books:
                cause = "killed" if killed and n == 0 else "not_running"
                self.seen[book, self.at + n * SECOND] = cause
        self.at += seconds * SECOND

    def _second(self, books: tuple[str, ...]) -> Second:
        for book in books:
            if self._chance.random() < 0.02:
                is_back = self._causes[book] is not None
                self._causes[book] = None if is_back else self._chance.choice(CAUSES)
            self.seen[book, self.at] = self._causes[book]
        missing: dict[str, Any] = {b: cause for b in books if (cause := self._causes[b])}
        second = Second(
            self.at,
            self.at + SECOND,
            books,
            {book: Why(cause) for book, cause in missing.items()},
            # An empty side makes no quote, and is an observation all the same.
            tuple(Sample(book, 1, "1", "2" if self._chance.random() < 0.9 else None, "{}")
                  for book in books if book not in missing),
        )  # fmt: skip
        self.at += SECOND
        return second

    def windows(self) -> list[tuple[Any, ...]]:
        """Book, window, expected, observed, missing, longest gap, causes.

        Up to the end of the last whole minute: its run is the last that has ended.
        """
        end = self.at.replace(second=0)
        found: dict[tuple[str, datetime], list[tuple[datetime, str | None]]] = {}
        for (book, at), cause in sorted(self.seen.items()):
            if at >= end:
                continue
            start = at.replace(minute=at.minute // 10 * 10, second=0)
            found.setdefault((book, start), []).append((at, cause))
        return [
            (book, start, len(slots), sum(cause is None for _, cause in slots),
             sum(cause is not None for _, cause in slots), _longest(slots),
             ", ".join(sorted({cause for _, cause in slots if cause})) or None)
            for (book, start), slots in sorted(found.items())
        ]  # fmt: skip


def _longest(slots: list[tuple[datetime, str | None]]) -> int:
    missing = [at for at, cause in slots if cause]
    runs = groupby(enumerate(missing), key=lambda pair: pair[1] - pair[0] * SECOND)
    return max((len(list(members)) for _, members in runs), default=0)


def assert_exact(warehouse: Warehouse) -> None:
    """Each expected second of each book is an observation or in a gap, and in one only."""
    wrong = warehouse.rows(
        """
        with expected as (
            select run_id, book, slot
            from ops.monitored, unnest(books) as book,
                generate_series(monitored_from, monitored_until - interval '1 second', '1 second')
                as slot
        ),
        found as (
            select run_id, book, received_at as slot from raw.bitso_order_books
            where channel = 'diff-orders'
            union all
            select run_id, book, slot
            from ops.gaps,
                generate_series(gap_from, gap_until - interval '1 second', '1 second') as slot
        )
        (select 'lost', * from (select * from expected except all select * from found) as a)
        union all
        (select 'too many', * from (select * from found except all select * from expected) as b)
        union all
        (select 'twice', min(run_id), book, slot from expected group by book, slot
            having count(*) > 1)
        """
    )
    assert wrong == []
    assert warehouse.rows(
        "select run_id from ops.runs inner join ops.monitored using (run_id) where rows_inserted "
        "<> (select count(*) from raw.bitso_order_books as raw where raw.run_id = runs.run_id)"
    ) == []  # fmt: skip
    assert_merged(warehouse)


def assert_merged(warehouse: Warehouse) -> None:
    """What ended runs have watched is also there with adjoining time in one row."""
    merged = warehouse.rows(
        """
        select feed, interval, books, is_recorded, lower(stretch), upper(stretch)
        from (
            select feed, interval, books, is_recorded,
                unnest(range_agg(tstzrange(monitored_from, monitored_until))) as stretch
            from ops.monitored inner join ops.runs using (run_id)
            where status <> 'running'
            group by feed, interval, books, is_recorded
        ) as merged
        order by 1, 2, 3, 4, 5
        """
    )
    assert warehouse.rows("select * from ops.monitored_time order by 1, 2, 3, 4, 5") == merged


def assert_equal_to_the_simulators(
    warehouse: Warehouse, simulator: Simulator, depth: int
) -> timedelta:
    """Each sample is the simulator's own book after the same frame; returns how old they were."""
    live = simulator.live
    assert live
    rows = warehouse.rows(
        "select book, sequence, bid, ask, payload from raw.bitso_order_books "
        "where channel = 'diff-orders'"
    )
    assert rows
    oldest = timedelta(0)
    for book, sequence, bid, ask, payload in rows:
        history = live.books[book].history
        state = history[sequence]
        for name, best, levels in (("bids", bid, state.bids), ("asks", ask, state.asks)):
            assert _numbers(payload[name]) == [(one.price, one.amount) for one in levels][:depth]
            assert best == (levels[0].price if levels else None)
        if following := history.get(sequence + 1):
            sampled_at = datetime.fromisoformat(payload["sampled_at"])
            oldest = max(oldest, sampled_at - following.at)
    return oldest


def _numbers(levels: list[list[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(amount)) for price, amount in levels]
