"""How wide spreads were, and what other thresholds would have told, against plain loops."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboards.questions import load_questions
from loader.warehouse.errors import UsageError
from loader.warehouse.ledger.monitored import Watch
from tests import market
from tests.conftest import Warehouse
from tests.integration.models.test_market_questions import Given, ask, iso, plain
from tests.market import INTERVALS, START, Quote, Threshold

ZONE = ZoneInfo("America/Mexico_City")
HALF_A_STEP = Decimal("0.0005")
LATER = timedelta(days=9)
HOUR = timedelta(hours=1)
QUOTES = [
    *market.market(21, hours=2),
    *(quote._replace(at=quote.at + LATER) for quote in market.market(22, hours=3)),
]
EVENING = (START + LATER).replace(minute=0)
WATCH = Watch(
    "ticker", timedelta(minutes=10), ("btc_mxn",), EVENING, EVENING + 4 * HOUR, is_recorded=True
)
# Faster than the feed is by itself, as recordings are.
MINUTES = Watch(
    "ticker", timedelta(minutes=1), ("eth_mxn", "usd_mxn"), START.replace(minute=0),
    START.replace(minute=0) + 2 * HOUR, is_recorded=True,
)  # fmt: skip
PERIODS: list[Given] = [
    {},
    {"from": "2026-11-01"},
    {"from": "2026-11-01", "to": "2026-11-01"},
    {"from": "2026-11-10T23:10:00Z", "to": "2026-11-10T23:50:00Z"},
    {"from": "2026-11-02T00:00:01Z", "to": "2026-11-11T00:30:00Z"},
    {"from": "2030-01-01", "to": "2030-01-02"},
]


@pytest.fixture(scope="module")
def asked(module_warehouse: Warehouse) -> Warehouse:
    """Two evenings of a market with gaps, crossed books and blind stretches, in another zone."""
    module_warehouse.dbt("seed")
    module_warehouse.rows(
        "insert into reference.spread_thresholds (book, threshold_pct, close_below_pct, "
        "min_observations, channel) values ('eth_mxn', 0.2, 0.12, 3, 'desk'), "
        "('usd_mxn', 0.5, 0.3, 1, 'default'), ('usd_mxn', 1.1, null, 2, 'default')"
    )
    market.load(module_warehouse, QUOTES)
    market.watch(module_warehouse, WATCH, MINUTES)
    module_warehouse.dbt(
        "run", "--select", *market.SELECTION, "reporting_settings",
        "--vars", json.dumps({"reporting_timezone": ZONE.key}),
    )  # fmt: skip
    return module_warehouse


def period_of(quotes: Iterable[Quote], given: Given) -> tuple[datetime, datetime]:
    """First and last instant asked about, days cut in the reporting zone."""
    latest = max(quote.at for quote in quotes).astimezone(ZONE).date().isoformat()
    last = moment(given.get("to", latest))
    if len(given.get("to", "day")) <= 10:
        last += timedelta(days=1) - timedelta(microseconds=1)
    first = given.get("from", (last.astimezone(ZONE) - timedelta(days=6)).date().isoformat())
    return moment(first), last


def moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=ZONE)).astimezone(UTC)


# --- threshold-backtest -----------------------------------------------------------------------

ANY = [
    Threshold("btc_mxn", Decimal("0.07"), Decimal("0.07")),
    Threshold("btc_mxn", Decimal("0.123456789012345"), Decimal("0.1"), 2),
    Threshold("eth_mxn", Decimal("0.1"), Decimal("0.02"), 4),
    Threshold("usd_mxn", Decimal(0), Decimal(0)),
    Threshold("usd_mxn", Decimal(9999999), Decimal(1)),
]


@pytest.mark.parametrize("given", PERIODS)
def test_a_backtest_of_a_threshold_of_today_is_what_there_is(
    asked: Warehouse, given: Given
) -> None:
    thresholds = asked.rows(
        "select book, threshold_pct, close_below_pct, min_observations from marts.book_thresholds"
    )
    assert len(thresholds) > 9
    for book, pct, close, least in thresholds:
        arguments = (book, pct, close, least, given.get("from"), given.get("to"))
        first, last = period_of([each for each in QUOTES if each.book == book], given)
        assert asked.rows(
            "select * from marts.backtested_alerts(%s, %s, %s, %s, %s, %s) order by opened_at",
            *arguments, role="reader",
        ) == asked.rows(
            "select opened_at, closed_at, last_observed_at, peak_spread, observations, "
            "close_reason from marts.spread_alerts where book = %s and threshold_pct = %s "
            "and opened_at <= %s and coalesce(closed_at, 'infinity') >= %s order by opened_at",
            book, pct, last, first,
        ), (book, pct)  # fmt: skip
    reasons = asked.rows("select distinct close_reason from marts.spread_alerts")
    assert {"calm", "blind"} <= {reason for (reason,) in reasons}


@pytest.mark.parametrize("given", PERIODS)
@pytest.mark.parametrize("tested", ANY)
@pytest.mark.usefixtures("asked")
def test_a_backtest_of_any_threshold(tested: Threshold, given: Given) -> None:
    answer = ask(
        "threshold-backtest",
        {
            **given, "book": tested.book.upper(), "threshold": f"{tested.pct:f}",
            "min_observations": str(tested.least),
            **({} if tested.close == tested.pct else {"close_below": str(tested.close)}),
        },
    )  # fmt: skip
    assert answer.columns == (
        "day", "alerts", "seconds_above", "longest_seconds", "largest_spread",
    )  # fmt: skip
    own = [quote for quote in QUOTES if quote.book == tested.book]
    first, last = period_of(own, given)
    days: dict[str, list[tuple[Decimal, Decimal]]] = {
        day_of(quote.at): []
        for quote in market.primary(QUOTES)[tested.book]
        if first <= quote.at <= last
    }
    for episode in market.episodes(QUOTES, [tested]):
        if first <= episode[2] <= last:
            ended = episode[3] or episode[11]
            days[day_of(episode[2])].append((seconds_of(ended - episode[2]), episode[4]))
    assert answer.rows == [
        (
            day, len(found), plain(sum((each for each, _ in found), Decimal(0))),
            plain(max((each for each, _ in found), default=Decimal(0))),
            plain(max(peak for _, peak in found)) if found else None,
        )
        for day, found in sorted(days.items())
    ]  # fmt: skip


def test_an_alert_may_not_end_above_its_threshold() -> None:
    question = load_questions()["threshold-backtest"]
    for given in ({"close_below": "0.2"}, {"threshold": "2", "close_below": "10"}):
        with pytest.raises(UsageError, match="close_below must not be above threshold"):
            question.bind(given)
    assert question.bind({"threshold": "10", "close_below": "2"})["close_below"] == "2"


def day_of(at: datetime) -> str:
    return at.astimezone(ZONE).date().isoformat()


def seconds_of(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(microseconds=1)) / 1_000_000


# --- spread-quality ---------------------------------------------------------------------------


def held(quotes: list[Quote]) -> Iterator[tuple[datetime, Quote, Decimal]]:
    """Each part of an hour with the quote that held in it, and its seconds."""
    for quote, following in zip(quotes, [*quotes[1:], None], strict=True):
        is_watched = (quote.feed, quote.book) in {(MINUTES.feed, book) for book in MINUTES.books}
        if is_watched and MINUTES.since <= quote.at < MINUTES.until:
            until = quote.at + MINUTES.interval
        else:
            until = quote.at + timedelta(seconds=INTERVALS[quote.feed])
        if following:
            until = min(until, following.at)
        at = quote.at
        while at < until:
            hour = at.replace(minute=0, second=0, microsecond=0)
            end = min(until, hour + HOUR)
            yield hour, quote, seconds_of(end - at)
            at = end


def label(hour: datetime, by: str) -> str:
    local = hour.astimezone(ZONE)
    return {"hour": str(iso(hour)), "day": f"{local:%Y-%m-%d}", "hour_of_day": f"{local:%H}"}[by]


@pytest.mark.parametrize("given", PERIODS)
@pytest.mark.parametrize("by", ["hour", "day", "hour_of_day"])
@pytest.mark.parametrize("book", [None, "MXN_ETH"])
def test_spread_quality(asked: Warehouse, given: Given, by: str, book: str | None) -> None:
    answer = ask("spread-quality", {**given, "by": by, **({"book": book} if book else {})})
    assert answer.columns == (
        "period", "book", "coverage", "average_spread", "median", "p95", "p99", "largest",
        "seconds_above_1", "seconds_above_2", "seconds_above_3",
    )  # fmt: skip
    assert answer.rows == sorted(answer.rows)
    found = {(row[0], row[1]): row[2:] for row in answer.rows}
    assert len(found) == len(answer.rows)
    assert by != "hour" or ask("spread-quality", {**given, **({"book": book} if book else {})}) == (
        answer
    )
    # The latest there is of is an hour that begins: its minutes do not matter to its day.
    first, last = period_of([*QUOTES, Quote("", WATCH.until - HOUR, "", None, None)], given)
    first = first.replace(minute=0, second=0, microsecond=0)
    last = last.replace(minute=0, second=0, microsecond=0)
    levels: dict[str, list[Decimal]] = defaultdict(list)
    for name, pct in asked.rows("select book, threshold_pct from marts.book_thresholds order by 2"):
        levels[name].append(pct)
    periods: set[tuple[str, str]] = set()
    for name, quotes in market.primary(QUOTES).items():
        if book and name != "eth_mxn":
            continue
        parts, seen = by_period(quotes, by, first, last)
        covered = shares_covered(name, by, first, last)
        for period in {*seen, *covered}:
            periods.add((period, name))
            check(found[period, name], parts[period], seen[period], covered[period], levels[name])
    assert found.keys() == periods


def by_period(
    quotes: list[Quote], by: str, first: datetime, last: datetime
) -> tuple[dict[str, list[tuple[Quote, Decimal]]], dict[str, list[Quote]]]:
    """The quotes of each period that held in it, with their seconds, and that came in it."""
    parts: dict[str, list[tuple[Quote, Decimal]]] = defaultdict(list)
    seen: dict[str, list[Quote]] = defaultdict(list)
    for hour, quote, seconds in held(quotes):
        if first <= hour <= last:
            parts[label(hour, by)].append((quote, seconds))
    for quote in quotes:
        hour = quote.at.replace(minute=0, second=0, microsecond=0)
        if first <= hour <= last:
            seen[label(hour, by)].append(quote)
    return parts, seen


def shares_covered(book: str, by: str, first: datetime, last: datetime) -> dict[str, list[Decimal]]:
    """Of each period the shares of its hours that were observed."""
    covered: dict[str, list[Decimal]] = defaultdict(list)
    own = [quote for quote in QUOTES if quote.book == book]
    hour = max(first, MINUTES.since)
    while hour <= min(last, WATCH.until - HOUR):
        share = market.coverage(own, [WATCH, MINUTES], hour)
        if share is not None:
            covered[label(hour, by)].append(share)
        hour += HOUR
    return covered


def check(
    row: tuple[Any, ...],
    parts: list[tuple[Quote, Decimal]],
    seen: list[Quote],
    covered: list[Decimal],
    levels: list[Decimal],
) -> None:
    coverage, average, *quantiles, largest, above_1, above_2, above_3 = row
    if covered:
        assert abs(Decimal(coverage) - sum(covered, Decimal(0)) / len(covered)) < Decimal(
            "0.000002"
        )
    else:
        assert coverage is None
    spreads = sorted(quote.spread for quote in seen)
    for value, share in zip(quantiles, (0.5, 0.95, 0.99), strict=True):
        if spreads:
            exact = spreads[ceil(share * len(spreads)) - 1]
            assert abs(Decimal(value) - exact) <= HALF_A_STEP
        else:
            assert value is None
    assert largest == (plain(spreads[-1]) if spreads else None)
    if not parts:
        assert (average, above_1, above_2, above_3) == (None,) * 4
        return
    total = sum((seconds for _, seconds in parts), Decimal(0))
    weighted = sum((quote.spread * each for quote, each in parts), Decimal(0)) / total
    assert abs(Decimal(average) - weighted) <= Decimal("0.0000005")
    for value, level in zip((above_1, above_2, above_3), levels[:3], strict=True):
        above = sum((each for quote, each in parts if quote.above(level)), Decimal(0))
        assert Decimal(value) == above


def test_no_spread_is_held_past_what_was_watched(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    begin = START.replace(minute=0, second=0)
    end = begin + timedelta(minutes=10)
    seen = Quote("btc_mxn", end - timedelta(seconds=14), "ticker", Decimal(900), Decimal(1000))
    market.load(warehouse, [seen])
    market.watch(
        warehouse,
        Watch("ticker", timedelta(minutes=10), ("btc_mxn",), begin, end, is_recorded=True),
    )
    market.build(warehouse)
    answer = ask("spread-quality", {"by": "hour"})
    [row] = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    assert Decimal(str(row["seconds_above_1"])) == 14
