"""Blindness at the instant of asking: what came in a moment ago counts, modelled or not."""

from datetime import timedelta
from decimal import Decimal

from tests import market
from tests.conftest import Warehouse
from tests.market import Quote

STATES = (
    "select book, feed, is_blind, last_seen_at, blind_since, blind_after_seconds "
    "from marts.book_states order by book"
)


def watch(
    warehouse: Warehouse,
    feed: str,
    seconds: int,
    books: list[str],
    job: str = "tickers",
    ago: timedelta = timedelta(0),
) -> None:
    """A run that has watched some books by a feed, until now."""
    run_id = market.open_run(warehouse, job)
    warehouse.rows(
        "insert into ops.monitored "
        "(run_id, feed, interval, books, monitored_from, monitored_until) select %s, %s, %s, %s, "
        "slot - %s, slot from date_trunc('second', now() - %s, 'UTC') as slot",
        run_id, feed, timedelta(seconds=seconds), books, timedelta(seconds=seconds), ago,
    )  # fmt: skip
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now() where run_id = %s", run_id
    )


def test_a_row_of_a_moment_ago_is_a_sight_before_it_is_modelled(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    [(now,)] = warehouse.rows("select now()")
    watch(warehouse, "stream", 1, ["btc_mxn", "eth_mxn"])
    watch(warehouse, "ticker", 600, ["btc_mxn", "usd_mxn"])
    first = [
        Quote(book, now - timedelta(seconds=1700), "ticker", Decimal(990), Decimal(1000))
        for book in ("btc_mxn", "usd_mxn", "sol_mxn")
    ]
    market.load(warehouse, first)
    market.build(warehouse)
    at = now - timedelta(seconds=1700)
    for role in ("loader", "reader"):
        assert warehouse.rows(STATES, role=role) == [
            ("btc_mxn", "stream", True, at, at + timedelta(seconds=120), 120),
            ("eth_mxn", "stream", False, None, None, 120),
            ("usd_mxn", "ticker", False, at, None, 1800),
        ]
    seen = now - timedelta(seconds=2)
    market.load(warehouse, [Quote("btc_mxn", seen, "stream", Decimal(990), None)])
    assert warehouse.rows(STATES)[0] == ("btc_mxn", "stream", False, seen, None, 120)
    # What raw has forgotten is known from what was modelled of it.
    for table, day in {("bitso_tickers", at.date()), ("bitso_tickers", now.date())}:
        warehouse.rows(f"drop table if exists raw.{table}_{day:%Y%m%d}")
    assert warehouse.rows(STATES)[2][3] == at
    # The newest entry says what is watched now.
    watch(warehouse, "stream", 1, ["eth_mxn"])
    assert [row[:2] for row in warehouse.rows(STATES)] == [
        ("btc_mxn", "ticker"), ("eth_mxn", "stream"), ("usd_mxn", "ticker"),
    ]  # fmt: skip


def test_a_recording_of_before_does_not_say_how_often_a_book_is_seen(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    market.build(warehouse)
    books = ["btc_mxn", "usd_mxn"]
    watch(warehouse, "order_book", 10, books, "replay", timedelta(days=300))
    # By nobody since: that is what was to be seen of it.
    assert [row[:3] for row in warehouse.rows(STATES)] == [
        (book, "order_book", True) for book in books
    ]
    watch(warehouse, "ticker", 600, ["btc_mxn"])
    # A stream that ended is missed all the same: it was to go on.
    watch(warehouse, "stream", 1, ["eth_mxn"], "stream", timedelta(days=1))
    watch(warehouse, "ticker", 600, ["btc_mxn", "eth_mxn"])
    assert [(row[:2], row[5]) for row in warehouse.rows(STATES)] == [
        (("btc_mxn", "ticker"), 1800),
        (("eth_mxn", "stream"), 120),
        (("usd_mxn", "order_book"), 120),
    ]  # fmt: skip
