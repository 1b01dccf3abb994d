"""Settings may change: what is new is computed by itself, what goes is closed, and full = added."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from loader.warehouse.postgres.migrate import migrate
from tests import market
from tests.conftest import Warehouse
from tests.market import Quote

TABLES = ("target.quotes", "target.books", "marts.spread_hourly", "marts.spread_alerts")
BOOKS = ("btc_mxn", "eth_mxn", "usd_mxn")
HALF = Decimal("0.5")
ENDS = (
    "select book, opened_at, closed_at, last_observed_at, observations, breaches, peak_spread, "
    "close_reason, channels from marts.{} where threshold_pct = 0.5 order by 1, 2"
)


@pytest.fixture
def seeded(warehouse: Warehouse) -> Warehouse:
    """A warehouse with the seeds: every book is watched for 0.1, 0.5 and 1 %."""
    warehouse.dbt("seed")
    return warehouse


def quote(book: str, at: datetime, pct: str, feed: str = "ticker") -> Quote:
    return Quote(book, at, feed, 1000 - 10 * Decimal(pct), Decimal(1000))


def as_made_anew(warehouse: Warehouse) -> None:
    """What the incremental runs have made is what a full refresh makes."""
    added = market.digests(warehouse, TABLES)
    market.build(warehouse, "--full-refresh")
    assert market.digests(warehouse, TABLES) == added


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("delete from reference.spread_thresholds where threshold_pct = 0.5", ()),
        ("update reference.spread_thresholds set book = 'mxn_eth' where threshold_pct = 0.5",
         ("eth_mxn",)),
        # No threshold at all is left of two books.
        ("update reference.spread_thresholds set book = 'eth_mxn'", ("eth_mxn",)),
    ],
)  # fmt: skip
def test_a_threshold_that_goes_closes_its_open_alerts(
    seeded: Warehouse, change: str, left: tuple[str, ...]
) -> None:
    [(now,)] = seeded.rows("select now()")
    minutes = {n: now - timedelta(minutes=n) for n in (1, 8, 130, 140)}
    # An alert that is over, one that has been open over two whole hours, and one that dbt does not
    # know yet.
    market.load(
        seeded,
        [quote(book, minutes[140], "0.7") for book in BOOKS]
        + [quote(book, minutes[130], "0.01") for book in BOOKS]
        + [quote("btc_mxn", now - timedelta(minutes=n), "0.9") for n in range(8, 128, 10)]
        + [quote("eth_mxn", minutes[8], "0.6")],
    )
    market.build(seeded)
    market.load(seeded, [quote("btc_mxn", minutes[1], "0.8"), quote("usd_mxn", minutes[1], "3")])
    before = {row[:2]: row for row in seeded.rows(ENDS.format("spread_alerts_live"))}
    is_open = {key for key, row in before.items() if row[2] is None}
    assert {book for book, _ in is_open} == set(BOOKS)

    seeded.rows(change)
    moment = timedelta(microseconds=1)
    ended = [
        row if row[0] in left else (*row[:2], row[3] + moment, *row[3:7], "unwatched", row[8])
        for key, row in before.items()
        if key in is_open
    ]
    live = seeded.rows(ENDS.format("spread_alerts_live"))
    assert [row for row in live if row[:2] in is_open] == ended
    market.build(seeded)
    # Of a threshold that holds no more there is no history, as ever.
    history = [row for key, row in before.items() if key not in is_open and row[0] in left]
    expected = sorted([*history, *ended])
    for name in ("spread_alerts", "spread_alerts_live"):
        assert seeded.rows(ENDS.format(name)) == expected
    as_made_anew(seeded)

    # It stays as it has ended, whatever comes.
    market.load(seeded, [quote("btc_mxn", minutes[130] + moment, "2")])
    market.build(seeded)
    stays = [row for row in expected if row[7] == "unwatched"]
    rows = seeded.rows(ENDS.format("spread_alerts"))
    assert [row for row in rows if row[7] == "unwatched"] == stays
    as_made_anew(seeded)


def test_a_threshold_that_comes_back_has_its_history_again(seeded: Warehouse) -> None:
    quotes = market.market(9, hours=1)
    market.load(seeded, quotes)
    market.build(seeded)
    before = market.digests(seeded, TABLES)
    rows = seeded.rows("delete from reference.spread_thresholds where book = '*' returning *")
    seeded.rows("insert into reference.spread_thresholds values ('usd_mxn', 9, 8, 2, 'desk')")
    market.build(seeded)
    assert seeded.rows(
        "select distinct close_reason from marts.spread_alerts where threshold_pct <> 9"
    ) in ([], [("unwatched",)])
    as_made_anew(seeded)
    seeded.rows("delete from reference.spread_thresholds")
    for row in rows:
        seeded.rows("insert into reference.spread_thresholds values (%s, %s, %s, %s, %s)", *row)
    market.build(seeded)
    assert market.digests(seeded, TABLES) == before


def test_what_is_new_is_computed_by_itself(seeded: Warehouse) -> None:
    quotes = market.market(10, hours=2)
    quotes = [each for each in quotes if each.book != "eth_mxn"]
    market.load(seeded, quotes)
    market.build(seeded)
    rows = (
        "select ctid::text, xmin::text, book, threshold_pct from marts.spread_hourly union all "
        "select ctid::text, xmin::text, book, threshold_pct from marts.spread_alerts"
    )

    def made_by(change: str, *values: object) -> set[tuple[str, Decimal]]:
        before = set(seeded.rows(rows))
        if change:
            seeded.rows(change, *values)
        market.build(seeded)
        now = set(seeded.rows(rows))
        gone = {row[2:] for row in before - now}
        made = {row[2:] for row in now - before}
        assert gone <= made
        as_made_anew(seeded)
        return made

    insert = "insert into reference.spread_thresholds values (%s, %s, %s, %s, %s)"
    books = ("btc_mxn", "usd_mxn")
    new = Decimal("0.3")
    # In hours it is counted for every book, as any threshold is.
    assert made_by(insert, "usd_mxn", new, "0.2", 2, "desk") == {(book, new) for book in books}
    # One that holds already, otherwise.
    assert made_by(insert, "btc_mxn", HALF, "0.4", 1, "desk") == {("btc_mxn", HALF)}
    market.load(seeded, [each for each in market.market(10, hours=2) if each.book == "eth_mxn"])
    assert {book for book, _ in made_by("")} == {"eth_mxn"}


def test_settings_that_change_by_and_by_end_as_if_they_had_always_been(
    seeded: Warehouse,
) -> None:
    quotes = market.market(12, hours=2)
    late, in_time = quotes[::7], [each for n, each in enumerate(quotes) if n % 7]
    market.load(seeded, in_time)
    market.build(seeded)
    for change in (
        "insert into reference.spread_thresholds values ('*', 0.2, 0.1, 2, 'desk')",
        "delete from reference.spread_thresholds where threshold_pct = 1",
        "update reference.feeds set interval_seconds = 300 where feed = 'ticker'",
    ):
        seeded.rows(change)
        market.load(seeded, late[::3])
        del late[::3]
        market.build(seeded)
        as_made_anew(seeded)


def test_init_closes_what_the_version_before_left_open(seeded: Warehouse) -> None:
    """Where a book had no threshold left, its alerts were never looked at again."""
    [(now,)] = seeded.rows("select now()")
    at = [now - timedelta(minutes=n) for n in (30, 20, 5)]
    market.load(
        seeded,
        [quote(book, at[n], pct) for book in BOOKS for n, pct in enumerate(("0.7", "0.01", "0.8"))],
    )
    market.build(seeded)
    seeded.rows("update reference.spread_thresholds set book = 'eth_mxn'")
    seeded.rows("delete from staging.stg_pipeline__thresholds_taken_in")
    seeded.rows("delete from ops.migrations where name like '0017%'")
    assert any(name.startswith("0017") for name in migrate())
    ends = (
        "select book, opened_at, closed_at, close_reason from marts.spread_alerts "
        "where threshold_pct = 0.5 order by 1, 2"
    )
    moment = timedelta(microseconds=1)
    expected = [
        ("btc_mxn", at[2], at[2] + moment, "unwatched"),
        ("eth_mxn", at[0], at[1], "calm"),
        ("eth_mxn", at[2], None, None),
        ("usd_mxn", at[2], at[2] + moment, "unwatched"),
    ]
    assert seeded.rows(ends) == expected
    market.build(seeded)
    assert seeded.rows(ends) == expected
    as_made_anew(seeded)
