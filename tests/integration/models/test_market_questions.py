"""The questions on the market, against an oracle that reads the same rows in plain Python."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from dashboards import answers
from dashboards.questions import load_questions
from loader.warehouse.ledger.monitored import Watch
from tests import market
from tests.conftest import Warehouse
from tests.market import START, Quote, Threshold

THRESHOLDS = [
    Threshold(book, Decimal(pct), Decimal(pct))
    for book in ("btc_mxn", "usd_mxn", "eth_mxn")
    for pct in ("0.1", "0.5", "1")
]
# A second evening far from the first: by default only the last seven days are asked about.
LATER = timedelta(days=9)
QUOTES = [
    *market.market(11, hours=2),
    *(quote._replace(at=quote.at + LATER) for quote in market.market(12, hours=3)),
]
# Of the second evening it is known how often one book was to be seen.
EVENING = (START + LATER).replace(minute=0)
WATCH = Watch(
    "ticker", timedelta(minutes=10), ("btc_mxn",), EVENING, EVENING + timedelta(hours=3),
    is_recorded=True,
)  # fmt: skip
LAST_DAY = (START + LATER + timedelta(hours=3)).date()
Given = dict[str, str]
COINS = [("BTC", "MXN"), ("ETH", "MXN"), ("USDT", "MXN")]


@pytest.fixture(scope="module")
def asked(module_warehouse: Warehouse) -> Warehouse:
    """A warehouse with two evenings of the market, and a crawl of exchanges."""
    module_warehouse.dbt("seed")
    market.load(module_warehouse, QUOTES)
    market.watch(module_warehouse, WATCH)
    run_id = market.open_run(module_warehouse, "exchanges")
    for table in ("coingecko_exchanges", "coingecko_tickers", "coincap_exchanges"):
        module_warehouse.rows("select raw.ensure_day(%s, %s)", table, START.date())
    listed = [("bitso", 8, 20), ("alpha", 9, 2), ("beta", None, None), ("lonely", 10, 1)]
    tickers = [
        *(("bitso", *coin) for coin in COINS),
        *(("alpha", *coin) for coin in COINS),
        ("alpha", "btc", "mxn"),
        ("alpha", "DOGE", "MXN"),
        ("beta", "ETH", "MXN"),
        ("unlisted", "USDT", "MXN"),
        ("lonely", "MXN", "BTC"),
    ]
    for exchange, score, rank in listed:
        payload = {"id": exchange, "name": exchange.title(), "trust_score": score,
                   "trust_score_rank": rank}  # fmt: skip
        insert(module_warehouse, "coingecko_exchanges", START, exchange, payload, run_id)
    for exchange, base, target in tickers:
        ticker = {"base": base, "target": target,
                   "market": {"identifier": exchange, "name": exchange.title()}}  # fmt: skip
        insert(module_warehouse, "coingecko_tickers", START, exchange, ticker, run_id)
    for minutes, volume in ((0, "12922627042.5051045546071451"), (60, None)):
        volumes = {
            "exchangeId": "binance", "name": "Binance", "rank": "1", "socket": True,
            "percentTotalVolume": "33.529974643034889964000000000000000000",
            "volumeUsd": volume, "tradingPairs": "927",
            "exchangeUrl": "https://www.binance.com/", "updated": 1750493976995,
        }  # fmt: skip
        at = START + timedelta(minutes=minutes)
        insert(module_warehouse, "coincap_exchanges", at, "binance", volumes, run_id)
    module_warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = 20, "
        "rows_inserted = 20 where run_id = %s",
        run_id,
    )
    module_warehouse.dbt("run", "--select", *market.SELECTION, "reporting_settings")
    return module_warehouse


def insert(
    warehouse: Warehouse, table: str, at: datetime, exchange: str, payload: object, run_id: int
) -> None:
    warehouse.rows(
        f"insert into raw.{table} (received_at, exchange_id, payload, run_id) "
        "values (%s, %s, %s, %s)",
        at, exchange, json.dumps(payload), run_id,
    )  # fmt: skip


def ask(name: str, given: Given) -> answers.Answer:
    question = load_questions()[name]
    with answers.reading() as connection:
        return answers.ask(connection, question, question.bind(given))


def plain(number: Decimal) -> str:
    """Digits without an exponent and without padding zeros."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def iso(at: datetime | None) -> str | None:
    if at is None:
        return None
    fraction = f".{at.microsecond:06}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"


def period(given: Given) -> tuple[datetime, datetime]:
    """First and last instant asked about, both included."""
    moment = timedelta(microseconds=1)
    last = day_or_instant(given.get("to", LAST_DAY.isoformat()))
    if len(given.get("to", "day")) <= 10:
        last += timedelta(days=1) - moment
    week = (last - timedelta(days=6)).date().isoformat()
    return day_or_instant(given.get("from", week)), last


def day_or_instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


PERIODS: list[Given] = [
    {},
    {"from": "2026-11-01"},
    {"from": "2026-11-01", "to": "2026-11-01"},
    {"from": "2026-11-01T23:10:00Z", "to": "2026-11-01T18:00:00-06:00"},
    {"to": "2026-11-02"},
    {"from": "2030-01-01", "to": "2030-01-02"},
]


@pytest.mark.parametrize("given", PERIODS)
@pytest.mark.parametrize(
    ("name", "book"),
    [("btc_mxn", "btc_mxn"), ("MXN_ETH", "eth_mxn"), ("mxn_usd", "usd_mxn"), ("nobody", "nobody")],
)
@pytest.mark.usefixtures("asked")
def test_spread_observations(given: Given, name: str, book: str) -> None:
    answer = ask("spread-observations", {**given, "book": name})
    assert answer.columns == ("orderbook_timestamp", "book", "bid", "ask", "spread")
    assert answer.rows == observations(book, given)


def observations(book: str, given: Given) -> list[tuple[Any, ...]]:
    # By default the last days with this book.
    first, last = period(given)
    return [
        (iso(quote.at), book, *map(plain, prices(quote)))
        for quote in market.primary(QUOTES).get(book, [])
        if first <= quote.at <= last
    ]


def prices(quote: Quote) -> tuple[Decimal, Decimal, Decimal]:
    assert quote.bid is not None
    assert quote.ask is not None
    return quote.bid, quote.ask, quote.spread


@pytest.mark.parametrize("given", PERIODS)
@pytest.mark.parametrize(
    "which", [{}, {"book": "mxn_usd"}, {"threshold": "0.50"}, {"book": "none", "threshold": "1"}]
)
@pytest.mark.usefixtures("asked")
def test_spread_alerts(given: Given, which: Given) -> None:
    answer = ask("spread-alerts", {**given, **which})
    assert answer.columns == (
        "book", "threshold_pct", "opened_at", "closed_at", "peak_spread", "observations",
        "close_reason",
    )  # fmt: skip
    first, last = period(given)
    book = {"mxn_usd": "usd_mxn"}.get(which.get("book", ""), which.get("book"))
    expected = [
        (each[0], plain(each[1]), iso(each[2]), iso(each[3]), plain(each[4]), each[5], each[7])
        for each in market.episodes(QUOTES, THRESHOLDS)
        if each[2] <= last and (each[3] is None or each[3] >= first)
        if book in (None, each[0])
        if "threshold" not in which or Decimal(which["threshold"]) == each[1]
    ]
    assert answer.rows == sorted(expected, key=lambda row: (row[2], row[0], Decimal(row[1])))


@pytest.mark.parametrize("given", PERIODS)
@pytest.mark.parametrize("threshold", ["0.1", "0.10", "0.123456789", "0", "5"])
@pytest.mark.parametrize("which", [{}, {"book": "MXN_BTC"}])
@pytest.mark.usefixtures("asked")
def test_spread_breaches(given: Given, threshold: str, which: Given) -> None:
    answer = ask("spread-breaches", {**given, **which, "threshold": threshold})
    assert answer.columns == (
        "hour", "book", "threshold_pct", "observations", "breaches", "coverage",
    )  # fmt: skip
    first, last = period(given)
    hour = timedelta(hours=1)
    observed = {
        (row[1], row[0]): (row[2], row[3])
        for row in market.hours(QUOTES, Decimal(threshold))
        if first - hour < row[1] <= last and (not which or row[0] == "btc_mxn")
    }
    watched = [WATCH.since + n * hour for n in range((WATCH.until - WATCH.since) // hour)]
    known = {*observed, *((start, "btc_mxn") for start in watched if first - hour < start <= last)}
    starts = sorted({start for start, _ in known})
    expected = []
    while starts and starts[0] <= max(start for start, _ in known):
        for book in sorted({book for _, book in known}):
            counted = observed.get((starts[0], book), (0, 0))
            of_book = [quote for quote in QUOTES if quote.book == book]
            share = market.coverage(of_book, [WATCH], starts[0])
            expected.append((
                iso(starts[0]), book, plain(Decimal(threshold)), *counted,
                None if share is None else plain(share),
            ))  # fmt: skip
        starts[0] += hour
    assert answer.rows == expected


@pytest.mark.usefixtures("asked")
def test_breaches_by_default_are_those_of_a_tenth_of_a_percent() -> None:
    rows = ask("spread-breaches", {}).rows
    assert rows == ask("spread-breaches", {"threshold": "0.1"}).rows
    assert {row[2] for row in rows} == {"0.1"}


@pytest.mark.usefixtures("asked")
def test_exchanges() -> None:
    similar = ask("similar-exchanges", {})
    assert similar.columns == (
        "exchange_id", "exchange_name", "trust_score", "trust_score_rank", "shared_markets",
    )  # fmt: skip
    assert similar.rows == [
        ("alpha", "Alpha", 9, 2, 3),
        ("beta", "Beta", None, None, 1),
        ("unlisted", "Unlisted", None, None, 1),
    ]
    shared = ask("shared-markets", {})
    assert shared.columns == ("exchange_id", "base", "target")
    assert shared.rows == [
        *(("alpha", *coin) for coin in COINS),
        ("beta", "ETH", "MXN"),
        ("unlisted", "USDT", "MXN"),
    ]
    assert ask("shared-markets", {"exchange_id": "beta"}).rows == [("beta", "ETH", "MXN")]


@pytest.mark.usefixtures("asked")
def test_exchange_volumes_keep_every_look() -> None:
    answer = ask("exchange-volumes", {})
    assert answer.columns == (
        "exchange_id", "name", "rank", "volume_usd", "percent_total_volume", "trading_pairs",
        "socket", "exchange_url", "updated_at",
    )  # fmt: skip
    first = (
        "binance", "Binance", 1, "12922627042.5051045546071451", "33.529974643034889964", 927,
        True, "https://www.binance.com/", "2025-06-21T08:19:36.995+00:00",
    )  # fmt: skip
    assert answer.rows == [first, (*first[:3], None, *first[4:])]
    later = (START + timedelta(minutes=1)).isoformat()
    assert len(ask("exchange-volumes", {"from": later}).rows) == 1


def test_pipeline_runs(asked: Warehouse) -> None:
    answer = ask("pipeline-runs", {})
    assert answer.columns == (
        "job", "started_at", "finished_at", "status", "rows_read", "rows_inserted",
        "rows_duplicate", "rows_quarantined",
    )  # fmt: skip
    assert [row[0] for row in answer.rows] == ["tickers", "replay", "exchanges"]
    assert ask("pipeline-runs", {"job": "exchanges"}).rows == answer.rows[2:]
    assert ask("pipeline-runs", {"to": "2020-01-01"}).rows == []
    done = asked.run("dashboards", "ask", "pipeline-runs", "--format", "csv")
    assert done.stdout.splitlines()[1].split(",")[3] == "succeeded"


def test_a_line_is_broken_where_seconds_of_the_stream_are_missing(warehouse: Warehouse) -> None:
    """Polls are joined; with a second of the stream only its neighbour is."""
    warehouse.dbt("seed")
    seen = [
        (0, "ticker"), (10, "ticker"), (95, "stream"), (96, "stream"), (97.5, "stream"),
        (100, "stream"), (101, "ticker"), (103, "ticker"), (110, "stream"),
    ]  # fmt: skip
    market.load(
        warehouse,
        [
            Quote("btc_mxn", START + timedelta(seconds=after), feed, Decimal(999), Decimal(1000))
            for after, feed in seen
        ],
    )
    market.build(warehouse)
    points = {
        datetime.fromisoformat(str(second)): spread
        for second, spread, *_ in ask("spread-by-second", {}).rows
    }
    broken = {
        START + timedelta(seconds=int(before + 1))
        for (before, feed), (after, next_feed) in pairwise(seen)
        if "stream" in (feed, next_feed) and after - before >= 2
    }
    assert broken
    assert {at for at, spread in points.items() if spread is None} == broken
    assert len(points) == len(seen) + len(broken)
