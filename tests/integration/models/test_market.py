"""The market models: incremental as good as full, whatever the order that rows come in."""

import random
import shutil
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.postgres.migrate import migrate
from loader.warehouse.settings import PROJECT_ROOT
from tests import market
from tests.conftest import Warehouse
from tests.market import START, Quote, Threshold

WATCHED = [
    Threshold(book, Decimal(pct), Decimal(pct))
    for book in ("btc_mxn", "usd_mxn", "eth_mxn")
    for pct in ("0.1", "0.5", "1")
    if (book, pct) != ("usd_mxn", "0.5")
] + [
    Threshold("eth_mxn", Decimal("0.2"), Decimal("0.1"), 3, "desk,pager"),
    Threshold("usd_mxn", Decimal("0.5"), Decimal("0.45"), 2, "desk"),
]
HOUR = timedelta(hours=1)
FIRST_HOUR = START.replace(minute=0)
# Of a recording: its rows may come before it is known what was to be seen, and after.
WATCHES = [
    Watch("ticker", timedelta(minutes=10), ("btc_mxn", "usd_mxn"), FIRST_HOUR,
          FIRST_HOUR + 3 * HOUR, is_recorded=True),
    Watch("order_book", timedelta(minutes=10), ("usd_mxn",), FIRST_HOUR + HOUR,
          FIRST_HOUR + 2 * HOUR, is_recorded=True),
    Watch("order_book", timedelta(minutes=15), ("btc_mxn", "eth_mxn"), FIRST_HOUR,
          FIRST_HOUR + 2 * HOUR, is_recorded=True),
    Watch("stream", timedelta(seconds=1), ("btc_mxn",), FIRST_HOUR + HOUR,
          FIRST_HOUR + 2 * HOUR, is_recorded=True),
]  # fmt: skip
TABLES = (
    "target.quotes", "target.books", "target.exchanges", "target.assets", "target.markets",
    "marts.spread_observations", "marts.spread_hourly", "marts.spread_alerts",
    "marts.observation_coverage",
    "marts.exchange_volumes", "marts.shared_markets", "marts.similar_exchanges",
)  # fmt: skip
EPISODES = (
    "select book, threshold_pct, opened_at, closed_at, peak_spread, observations, breaches, "
    "close_reason, opening_bid, opening_ask, opening_spread, last_observed_at, blind_at, channels "
    "from marts.{} order by book, threshold_pct, opened_at"
)


@pytest.fixture
def watched(warehouse: Warehouse) -> Warehouse:
    """A warehouse with the seeds, and thresholds with every setting."""
    warehouse.dbt("seed")
    warehouse.rows(
        "insert into reference.spread_thresholds values "
        "('eth_mxn', 0.2, 0.1, 3, 'pager'), ('mxn_eth', 0.2, 0.1, 3, 'desk'), "
        "('mxn_usd', 0.5, 0.45, 2, 'desk')"
    )
    return warehouse


def check(warehouse: Warehouse, quotes: list[Quote], watches: Sequence[Watch] = ()) -> None:
    """The marts say what the oracle says."""
    assert warehouse.rows(EPISODES.format("spread_alerts")) == market.episodes(quotes, WATCHED)
    for pct in ("0.1", "0.2"):
        assert warehouse.rows(
            "select book, hour, observations, breaches, peak_spread, coverage "
            "from marts.spread_hourly where threshold_pct = %s order by book, hour",
            pct,
        ) == market.hours(quotes, Decimal(pct), watches)


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_split_late_and_repeated_rows_make_the_same_marts(
    watched: Warehouse, seed: int
) -> None:
    quotes = market.market(seed)
    chance = random.Random(seed)
    in_time: list[Quote] = []
    late: list[Quote] = []
    for quote in quotes:
        (late if chance.random() < 0.1 else in_time).append(quote)
    in_time.sort(key=lambda quote: quote.at)
    third = len(in_time) // 3
    # one that begins before the others and ends after them
    slow_run = market.open_run(watched)
    batches = [
        in_time[third : 2 * third],
        in_time[: third + 50] + late[:5],
        in_time[2 * third : -20],
        in_time[-20:] + in_time[:10] + late[5:40],
    ]
    have: list[Quote] = []
    for known, batch in enumerate(batches, start=1):
        chance.shuffle(batch)
        market.load(watched, batch)
        market.watch(watched, *WATCHES[known - 1 : known])
        market.build(watched)
        have += batch
        check(watched, have, WATCHES[:known])
    market.load(watched, late, slow_run)
    market.build(watched)
    check(watched, quotes, WATCHES)
    incremental = market.digests(watched, TABLES)
    market.build(watched, "--full-refresh")
    assert market.digests(watched, TABLES) == incremental
    check(watched, quotes, WATCHES)


def test_an_upgrade_heals_what_two_quotes_of_one_instant_have_stopped(watched: Warehouse) -> None:
    quotes = market.market(6)
    market.load(watched, quotes)
    market.build(watched)
    expected = market.digests(watched, TABLES)
    # As the version before left it: all quotes of the best feed are primary, hours have counted
    # them, and the alerts were never made.
    twins = watched.rows(
        "update target.quotes as quotes set is_primary = true from target.quotes as twins "
        "where not quotes.is_primary and twins.is_primary "
        "and (quotes.book, quotes.quoted_at, quotes.feed) "
        "= (twins.book, twins.quoted_at, twins.feed) returning quotes.book"
    )
    assert len(twins) > 10
    watched.rows(
        "update marts.spread_hourly as hours set observations = observations + 1 where exists ("
        "select from target.quotes where book = hours.book and is_primary and quoted_at >= hour "
        "and quoted_at < hour + interval '1 hour' group by quoted_at having count(*) > 1)"
    )
    watched.rows("delete from marts.spread_alerts")
    watched.rows("delete from staging.stg_pipeline__progress where model_name = 'spread_alerts'")
    watched.rows("delete from ops.migrations where name like '0010%'")
    assert market.digests(watched, TABLES) != expected
    assert any(name.startswith("0010") for name in migrate())
    market.build(watched)
    healed = market.digests(watched, TABLES)
    assert healed == expected


def test_what_is_unchanged_is_not_touched(watched: Warehouse) -> None:
    quotes = market.market(3)
    market.load(watched, quotes)
    market.build(watched)
    versions = "select ctid, xmin, book, {} from {} order by 3, 4, 1"
    tables = {
        "target.quotes": "quoted_at",
        "marts.spread_hourly": "hour",
        "marts.spread_alerts": "opened_at",
    }
    before = {name: watched.rows(versions.format(at, name)) for name, at in tables.items()}

    market.load(watched, quotes[::3])  # a replay
    market.build(watched)
    after = {name: watched.rows(versions.format(at, name)) for name, at in tables.items()}
    assert after == before

    late = Quote("btc_mxn", START + timedelta(minutes=40), "stream", Decimal(900), Decimal(1000))
    market.load(watched, [late])
    market.build(watched)
    check(watched, [*quotes, late])
    name = "marts.spread_hourly"
    touched = set(watched.rows(versions.format("hour", name))) - set(before[name])
    assert {row[2:] for row in touched} == {("btc_mxn", late.at.replace(minute=0))}
    name = "marts.spread_alerts"
    touched = set(watched.rows(versions.format("opened_at", name))) - set(before[name])
    assert {row[2] for row in touched} == {"btc_mxn"}


def test_a_change_of_thresholds_holds_for_all_of_history(watched: Warehouse) -> None:
    quotes = market.market(4)
    market.load(watched, quotes)
    market.build(watched)
    watched.rows(
        "update reference.spread_thresholds set threshold_pct = 0.3 where threshold_pct = 0.1"
    )
    market.build(watched)
    incremental = market.digests(watched, TABLES)
    assert watched.rows("select distinct threshold_pct from marts.spread_hourly order by 1") == [
        (Decimal(pct),) for pct in ("0.2", "0.3", "0.5", "1")
    ]
    market.build(watched, "--full-refresh")
    assert market.digests(watched, TABLES) == incremental


def test_the_live_view_is_what_dbt_would_say_next(watched: Warehouse) -> None:
    quotes = sorted(market.market(5), key=lambda quote: quote.at)
    # not in the middle of a second, which has one primary feed
    cut = next(
        place
        for place in range(len(quotes) // 2, len(quotes))
        if quotes[place].at - quotes[place - 1].at > timedelta(seconds=1)
    )
    market.load(watched, quotes[:cut])
    market.build(watched)
    for place in (cut + 7, cut + 60, len(quotes)):
        market.load(watched, quotes[cut:place])
        cut = place
        live = watched.rows(EPISODES.format("spread_alerts_live"), role="loader")
        # By now, all these quotes are long past: what the data leaves open has gone blind.
        expected = [
            (*row[:3], row[12], *row[4:7], "blind", *row[8:]) if row[3] is None else row
            for row in market.episodes(quotes[:place], WATCHED)
        ]
        assert live == expected
    market.build(watched)
    assert watched.rows(EPISODES.format("spread_alerts_live")) == live


def test_while_dbt_runs_no_alert_is_out_of_sight(watched: Warehouse) -> None:
    """Between any two of its models, the live view says what it said before."""
    quotes = sorted(market.market(7), key=lambda quote: quote.at)
    half = len(quotes) // 2
    market.load(watched, quotes[:half])
    market.build(watched)
    market.load(watched, quotes[half:])
    live = watched.rows(EPISODES.format("spread_alerts_live"))
    for model in ("quotes", "spread_hourly", "spread_alerts"):
        watched.dbt("run", "--select", model, "stg_pipeline__finished_runs")
        assert watched.rows(EPISODES.format("spread_alerts_live")) == live


def test_a_warehouse_that_took_no_note_of_it_learns_what_its_alerts_have_seen(
    watched: Warehouse,
) -> None:
    quotes = sorted(market.market(9, hours=0.5), key=lambda quote: quote.at)
    market.load(watched, quotes)
    market.build(watched)
    live = watched.rows(EPISODES.format("spread_alerts_live"))
    watched.rows("alter table staging.stg_pipeline__progress drop column seen_until cascade")
    market.build(watched)
    assert watched.rows(EPISODES.format("spread_alerts_live")) == live
    newest = max(quote.at for quote in quotes if quote.bid and quote.ask)
    assert watched.rows("select fresh_from from marts.alerts_judged") == [
        (newest + timedelta(microseconds=1),)
    ]


def test_alerts_are_judged_up_to_the_first_run_that_is_not_modelled(watched: Warehouse) -> None:
    quotes = sorted(market.market(8, hours=0.5), key=lambda quote: quote.at)
    judged = "select judged_until, fresh_from from marts.alerts_judged"
    market.load(watched, quotes[:-1])
    watched.dbt(
        "build", "--select", "+alerts_judged", "+muted_books", "+spread_alerts",
        "--exclude", "resource_type:unit_test,path:models/target",
    )  # fmt: skip
    newest = max(quote.at for quote in quotes[:-1] if quote.bid and quote.ask)
    [(_, fresh_from)] = watched.rows(judged, role="loader")
    assert fresh_from == newest + timedelta(microseconds=1)
    [(now,)] = watched.rows("select now()")
    assert watched.rows(judged)[0][0] >= now
    run = market.load(watched, quotes[-1:])
    [(began,)] = watched.rows("select started_at from ops.runs where run_id = %s", run)
    assert watched.rows(judged) == [(began, fresh_from)]
    market.build(watched)
    assert watched.rows(judged)[0][0] > began


def test_an_open_alert_is_live_until_its_feed_is_silent(watched: Warehouse) -> None:
    [(now,)] = watched.rows("select now()")
    quote = Quote("btc_mxn", now - timedelta(minutes=50), "ticker", Decimal(990), Decimal(1000))
    market.load(watched, [quote])
    market.build(watched)
    market.load(watched, [quote._replace(at=now - timedelta(minutes=1))])
    state = "select opened_at, closed_at, observations, close_reason from marts.spread_alerts_live "
    state += "where threshold_pct = 0.5"
    assert watched.rows(state) == [
        (now - timedelta(minutes=50), now - timedelta(minutes=20), 1, "blind"),
        (now - timedelta(minutes=1), None, 1, None),
    ]


def test_raw_is_modelled_up_to_the_last_finished_run(watched: Warehouse) -> None:
    quotes = [quote for quote in market.market(6) if quote.feed == "ticker"]
    known = market.load(watched, quotes[:50])
    market.build(watched)
    until = "select modelled_until, run_id from marts.modelled_until where table_name = %s"
    newest = max(quote.at for quote in quotes[:50])
    assert watched.rows(until, "bitso_tickers", role="loader") == [(newest, known)]
    assert watched.rows(until, "coincap_exchanges", role="loader") == [(None, known)]
    open_run = market.open_run(watched)
    market.load(watched, quotes[20:21])
    assert watched.rows(until, "bitso_tickers") == [(quotes[20].at, known)]
    market.build(watched)
    assert watched.rows(until, "bitso_tickers") == [(quotes[20].at, open_run - 1)]
    market.load(watched, quotes[50:], open_run)
    market.build(watched)
    assert watched.rows(until, "bitso_tickers")[0][0] == max(quote.at for quote in quotes)


def test_a_new_model_over_raw_holds_raw_back_until_it_has_read_it(
    watched: Warehouse, tmp_path: Path
) -> None:
    known = market.load(watched, market.market(6, hours=0.2))
    market.build(watched)
    until = "select table_name, run_id from marts.modelled_until order by 1"
    tables = [
        "bitso_books", "bitso_order_books", "bitso_tickers", "coincap_exchanges",
        "coingecko_exchanges", "coingecko_tickers", "spread_observations",
    ]  # fmt: skip
    assert watched.rows(until) == [(table, known) for table in tables]
    for folder in ("dbt_project", "seeds/reference"):
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder)
    # It reads a view that reads a view of raw.bitso_tickers, and of two tables more.
    model = tmp_path / "dbt_project" / "models" / "target" / "bids.sql"
    model.write_text(
        "{{ config(materialized='incremental', contract={'enforced': false}) }}\n"
        "select max(bid) as bid from {{ ref('received_quotes') }}\n"
    )
    done = watched.run(
        "dbt", "run", "--select", "modelled_until", "--project-dir", str(tmp_path / "dbt_project")
    )
    assert done.returncode == 0, done.stdout
    held = {"bitso_order_books", "bitso_tickers", "spread_observations"}
    assert watched.rows(until) == [
        (table, known - 1 if table in held else known) for table in tables
    ]


def test_a_full_refresh_refuses_to_forget(watched: Warehouse) -> None:
    quotes = [quote for quote in market.market(7) if quote.feed == "ticker"]
    market.load(watched, quotes)
    market.build(watched)
    before = market.digests(watched, TABLES)
    watched.rows(f"drop table raw.bitso_tickers_{START:%Y%m%d}")
    market.build(watched)
    for model in ("quotes", "books"):
        failed = watched.dbt("run", "--full-refresh", "--select", model, check=False)
        assert f"{model} knows of ticker from before what raw still holds" in failed.stdout
    assert market.digests(watched, TABLES) == before
    # What markets point at is not forgotten before them.
    watched.rows(
        "with asset as (insert into target.assets values ('EUR') returning asset), "
        "exchange as (insert into target.exchanges (exchange_id, exchange_name, first_seen, "
        "last_seen) values ('a', 'A', %s, %s) returning exchange_id) "
        "insert into target.markets select exchange_id, asset, asset, %s, %s from asset, exchange",
        START, START, START, START,
    )  # fmt: skip
    failed = watched.dbt("run", "--full-refresh", "--select", "assets", check=False)
    assert "assets knows of markets from before what raw still holds" in failed.stdout


def test_market_runs_leave_the_user_tables_alone_and_the_other_way_round(
    watched: Warehouse,
) -> None:
    quotes = market.market(8)
    market.load(watched, quotes)
    watched.dbt("build", "--exclude", "resource_type:unit_test")
    made = (
        "select relname, pg_class.oid, relfilenode from pg_class "
        "where relnamespace in ('target'::regnamespace, 'marts'::regnamespace) "
        "and relkind = 'r' order by 1"
    )
    keys = "select conname, oid from pg_constraint where contype = 'f' order by 1"
    tables, foreign_keys = watched.rows(made), watched.rows(keys)
    assert {"quotes_book_fkey", "markets_exchange_id_fkey"} <= dict(foreign_keys).keys()
    market.load(watched, quotes[:3])
    market.build(watched)
    rebuilt = {"shared_markets", "similar_exchanges"}
    assert [row for row in watched.rows(made) if row[0] not in rebuilt] == [
        row for row in tables if row[0] not in rebuilt
    ]
    assert watched.rows(keys) == foreign_keys
    tables = watched.rows(made)
    watched.dbt("run", "--select", "+marts.activity")
    market_tables = {"quotes", "books", "markets", "exchanges", "assets", "spread_hourly",
                     "spread_alerts", "exchange_volumes", *rebuilt}  # fmt: skip
    assert [row for row in watched.rows(made) if row[0] in market_tables] == [
        row for row in tables if row[0] in market_tables
    ]
