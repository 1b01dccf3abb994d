"""A small market for the tests of the models: raw rows as the loader leaves them, and an oracle.

The oracle reads the same rows with plain loops; it shares nothing with the SQL.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import groupby
from typing import Any, NamedTuple

from loader.warehouse.ledger import monitored
from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.postgres.connection import connect, transaction
from tests.conftest import Warehouse

START = datetime(2026, 11, 1, 22, 30, tzinfo=UTC)
RANKS = ("stream", "order_book", "ticker")
INTERVALS = {"stream": 1, "order_book": 600, "ticker": 600}
# Not all of marts.pipeline: the count of unreadable rows would take new snapshots into use.
SELECTION = [
    "resource_type:seed", "+marts.spread", "+marts.exchanges", "+pipeline_runs", "+modelled_until",
    "+stg_pipeline__unreadable",
]  # fmt: skip

# The run that brought a row, the cut that it changed in: another history has others.
BOOKKEEPING = {"run_id", "changed_in"}


class Quote(NamedTuple):
    """One raw row of a ticker or an order book."""

    book: str
    at: datetime
    feed: str
    bid: Decimal | None
    ask: Decimal | None

    @property
    def spread(self) -> Decimal:
        """As shown: 12 decimals, halves away from zero."""
        assert self.bid is not None
        assert self.ask is not None
        with localcontext(prec=100):
            exact = (self.ask - self.bid) * 100 / self.ask
            return exact.quantize(Decimal("1e-12"), ROUND_HALF_UP)

    def above(self, limit: Decimal) -> bool:
        """The verdict."""
        assert self.bid is not None
        assert self.ask is not None
        return (self.ask - self.bid) * 100 > limit * self.ask


class Threshold(NamedTuple):
    """What one book is watched for."""

    book: str
    pct: Decimal
    close: Decimal
    least: int = 1
    channels: str = "default"


def market(seed: int, hours: float = 3) -> list[Quote]:
    """Quotes of three books: long alerts and short ones, silence, faults, feeds that overlap."""
    chance = random.Random(seed)
    quotes = []
    for book, usual in (("btc_mxn", "0.08"), ("usd_mxn", "0.6"), ("eth_mxn", "0.15")):
        spread = Decimal(usual)
        at = START
        while at < START + timedelta(hours=hours):
            at += timedelta(seconds=chance.choice((1, 20, 60, 60, 60, 60.25, 240, 2500)))
            if chance.random() < 0.3:
                spread = Decimal(usual) * chance.choice((Decimal("0.5"), 1, 1, 2, Decimal(9)))
            for feed in chance.sample(RANKS, chance.choice((1, 1, 2, 3))):
                pct = spread + Decimal(chance.randint(-40, 40)) / 1000
                if chance.random() < 0.1:  # on the threshold, not above it
                    pct = Decimal(chance.choice(("0.1", "0.2", "0.5", "1")))
                if chance.random() < 0.03:  # crossed
                    pct = -pct
                ask = Decimal(1000)
                bid = ask - ask * pct / 100
                shift = timedelta(microseconds=chance.choice((0, 0, 0, 400_000)))
                quotes.append(Quote(book, at + shift, feed, bid, ask))
                while chance.random() < 0.08:  # seen again in the same instant
                    other = Decimal(chance.choice(("0.05", "0.15", "0.6", "3", "-1")))
                    quotes.append(Quote(book, at + shift, feed, ask - ask * other / 100, ask))
                if chance.random() < 0.02:  # nobody sells
                    quotes.append(Quote(book, at + shift, feed, bid, None))
    return quotes


def load(warehouse: Warehouse, quotes: Iterable[Quote], run_id: int | None = None) -> int:
    """Bring rows into raw as one finished run."""
    run_id = run_id or open_run(warehouse)
    rows = [
        (
            "bitso_tickers" if quote.feed == "ticker" else "bitso_order_books",
            quote.at, quote.book, "diff-orders" if quote.feed == "stream" else "order_book",
            quote.bid, quote.ask,
        )
        for quote in quotes
    ]  # fmt: skip
    for table, day in {(row[0], row[1].date()) for row in rows}:
        warehouse.rows("select raw.ensure_day(%s, %s)", table, day)
    values = [list(column) for column in zip(*rows, strict=True)]
    casts = "%s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::numeric[], %s::numeric[]"
    warehouse.rows(
        f"with received (name, received_at, book, channel, bid, ask) as ("
        f"select * from unnest({casts})), "
        "tickers as (insert into raw.bitso_tickers (received_at, book, bid, ask, payload, run_id) "
        "select received_at, book, bid, ask, '{}', %s from received where name = 'bitso_tickers'), "
        "books as (insert into raw.bitso_order_books "
        "(received_at, book, channel, bid, ask, payload, run_id) "
        "select received_at, book, channel, bid, ask, '{}', %s from received "
        "where name = 'bitso_order_books') "
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = %s, "
        "rows_inserted = %s where run_id = %s",
        *values, run_id, run_id, len(rows), len(rows), run_id,
    )  # fmt: skip
    return run_id


def watch(warehouse: Warehouse, *watches: Watch) -> None:
    """Say in one finished run what was watched."""
    run_id = open_run(warehouse, "replay")
    with closing(connect("loader")) as connection, transaction(connection) as cursor:
        for each in watches:
            monitored.note_watch(cursor, run_id, each)
        cursor.execute(
            "update ops.runs set status = 'succeeded', finished_at = now() where run_id = %s",
            (run_id,),
        )


def open_run(warehouse: Warehouse, job: str = "tickers") -> int:
    """A run that has begun and brought nothing yet."""
    [(run_id,)] = warehouse.rows("insert into ops.runs (job) values (%s) returning run_id", job)
    return int(run_id)


def build(warehouse: Warehouse, *options: str) -> None:
    """Run the models over the market, as the schedule does: views stay as they are."""
    stands = warehouse.rows("select from pg_views where viewname = 'spread_observations'")
    views = ("--exclude", "config.materialized:view") if stands and not options else ()
    warehouse.dbt("run", "--select", *SELECTION, *views, *options)


def digests(warehouse: Warehouse, tables: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Rows, and the checksum of all of them, of each table."""
    columns = warehouse.rows(
        "select table_schema || '.' || table_name, string_agg(column_name, ', ' "
        "order by column_name) from information_schema.columns "
        "where table_schema || '.' || table_name = any(%s) and column_name <> all(%s) group by 1",
        list(tables), list(BOOKKEEPING),
    )  # fmt: skip
    each = (
        f"select '{table}', count(*), md5(coalesce(string_agg(md5({row}), '' order by {row}), '')) "
        f"from {table}"
        for table, names in columns
        for row in [f"cast(row({names}) as text)"]
    )
    found = warehouse.rows(" union all ".join(each))
    return {table: (rows, checksum) for table, rows, checksum in found}


# --- the oracle -------------------------------------------------------------------------------


def primary(quotes: Iterable[Quote]) -> dict[str, list[Quote]]:
    """By book in order of time: of each second's best feed, the widest quote of each instant."""
    seconds: dict[tuple[str, datetime], list[Quote]] = defaultdict(list)
    for quote in set(quotes):
        if quote.bid is not None and quote.ask is not None:
            seconds[quote.book, quote.at.replace(microsecond=0)].append(quote)
    best: dict[str, list[Quote]] = defaultdict(list)
    for (book, _), rivals in seconds.items():
        feed = min((each.feed for each in rivals), key=RANKS.index)
        best[book] += [each for each in rivals if each.feed == feed]
    return {book: _one_an_instant(chosen) for book, chosen in best.items()}


def _one_an_instant(quotes: list[Quote]) -> list[Quote]:
    in_order = sorted(quotes, key=lambda quote: (quote.at, -quote.spread, quote.bid, quote.ask))
    return [next(group) for _, group in groupby(in_order, lambda quote: quote.at)]


def episodes(quotes: list[Quote], thresholds: Iterable[Threshold]) -> list[tuple[Any, ...]]:
    """The alerts: book, threshold, opened, closed, peak, observations, breaches, reason, ..."""
    seen_until = max(
        quote.at for quote in quotes if quote.bid is not None and quote.ask is not None
    )
    books = primary(quotes)
    return sorted(
        episode
        for threshold in thresholds
        for episode in _watch(books.get(threshold.book, []), threshold, seen_until)
    )


def _watch(quotes: list[Quote], threshold: Threshold, end: datetime) -> Iterator[tuple[Any, ...]]:
    waiting: list[Quote] = []
    opened: list[Quote] = []
    last: Quote | None = None
    for quote in quotes:
        if last and quote.at > blind_at(last):
            if opened:
                yield _episode(threshold, opened, blind_at(last), "blind")
            opened, waiting = [], []
        last = quote
        if opened:
            if quote.above(threshold.close):
                opened.append(quote)
            else:
                yield _episode(threshold, opened, quote.at, "calm")
                opened, waiting = [], []
        elif quote.above(threshold.pct):
            waiting.append(quote)
            if len(waiting) == threshold.least:
                opened, waiting = waiting, []
        else:
            waiting = []
    if opened:
        assert last
        is_blind = end > blind_at(last)
        yield _episode(
            threshold, opened, blind_at(last) if is_blind else None, "blind" if is_blind else None
        )


def blind_at(quote: Quote) -> datetime:
    """When the silence after a quote is too long."""
    return quote.at + timedelta(seconds=max(60, 3 * INTERVALS[quote.feed]))


def _episode(
    threshold: Threshold, quotes: list[Quote], closed: datetime | None, reason: str | None
) -> tuple[Any, ...]:
    return (
        threshold.book, threshold.pct, quotes[0].at, closed, max(each.spread for each in quotes),
        len(quotes), sum(each.above(threshold.pct) for each in quotes), reason,
        quotes[0].bid, quotes[0].ask, quotes[0].spread, quotes[-1].at, blind_at(quotes[-1]),
        threshold.channels,
    )  # fmt: skip


def hours(
    quotes: list[Quote], pct: Decimal, watches: Sequence[Watch] = ()
) -> list[tuple[Any, ...]]:
    """By book and hour: observations, breaches, peak and coverage."""
    found = []
    for book, chosen in primary(quotes).items():
        of_book = [quote for quote in quotes if quote.book == book]
        for hour, group in groupby(
            chosen, lambda q: q.at.replace(minute=0, second=0, microsecond=0)
        ):
            members = list(group)
            found.append((
                book, hour, len(members), sum(each.above(pct) for each in members),
                max(each.spread for each in members), coverage(of_book, watches, hour),
            ))  # fmt: skip
    return sorted(found)


def coverage(quotes: list[Quote], watches: Sequence[Watch], hour: datetime) -> Decimal | None:
    """Of the seconds of an hour that a book was watched in, those in a slot that was seen.

    Each second is of the fastest watch; watches begin and end with whole hours.
    """
    books = {quote.book for quote in quotes}
    of_hour = [
        watch
        for watch in watches
        if books.intersection(watch.books) and watch.since <= hour < watch.until
    ]
    if not of_hour:
        return None
    pace = min(watch.interval for watch in of_hour).total_seconds()
    feeds = {watch.feed for watch in of_hour if watch.interval.total_seconds() == pace}
    seen = {quote.at.timestamp() // pace for quote in quotes if quote.feed in feeds}
    first = hour.timestamp()
    observed = sum((first + second) // pace in seen for second in range(3600))
    return (Decimal(observed) / 3600).quantize(Decimal("1e-6"), ROUND_HALF_UP)
