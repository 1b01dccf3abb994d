"""The market at a moment: calm, above or blind, against a second reading in plain Python."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

import pytest

from tests import market
from tests.conftest import Warehouse
from tests.integration.models.test_book_states import watch
from tests.market import Quote

HALF_A_STEP = Decimal("0.0005")


def now(warehouse: Warehouse, *arguments: str) -> dict[str, dict[str, Any]]:
    done = warehouse.call("dashboards", "ask", "spread-now", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return {row["book"]: row for row in json.loads(done.stdout)}


def test_over_old_data_every_book_is_blind(sampled: Warehouse) -> None:
    states = now(sampled)
    assert states
    assert {row["state"] for row in states.values()} == {"blind"}


@pytest.mark.parametrize("minutes_before_the_end", [-5, -1, 0, 1, 43.8, 47, 60 * 5])
def test_at_another_moment(sampled: Warehouse, minutes_before_the_end: float) -> None:
    [(end,)] = sampled.rows("select max(last_observed_at) from marts.observed_books")
    at = end - timedelta(minutes=minutes_before_the_end)
    states = now(sampled, "--as-of", at.isoformat())
    seen: dict[str, tuple[datetime, Decimal]] = {}
    usual: dict[str, list[Decimal]] = {}
    hour = at.replace(minute=0, second=0, microsecond=0)
    for book, observed_at, spread in sampled.rows(
        "select book, orderbook_timestamp, spread from marts.spread_observations "
        "where is_primary and orderbook_timestamp <= %s order by orderbook_timestamp", at
    ):  # fmt: skip
        seen[book] = (observed_at, spread)
        if hour - timedelta(hours=24) <= observed_at < hour:
            usual.setdefault(book, []).append(spread)
    open_alerts = dict(
        sampled.rows(
            "select book, max(threshold_pct) from marts.spread_alerts where opened_at <= %s "
            "and coalesce(closed_at, 'infinity') > %s group by book", at, at
        )
    )  # fmt: skip
    assert states.keys() == seen.keys()
    day = now(sampled, "--as-of", f"{at:%Y-%m-%d}")
    assert day.keys() >= states.keys()
    assert minutes_before_the_end > 0 or {row["state"] for row in day.values()} == {"blind"}
    for book, row in states.items():
        observed_at, spread = seen[book]
        assert datetime.fromisoformat(row["observed_at"]) == observed_at
        assert (Decimal(row["spread"]), row["age_seconds"]) == (
            spread, int((at - observed_at).total_seconds()),
        )  # fmt: skip
        above = open_alerts.get(book)
        assert (None if row["above_pct"] is None else Decimal(row["above_pct"])) == above
        # The sample's recording looked every ten seconds: two minutes are the least there is.
        is_blind = spread < 0 or at - observed_at > timedelta(minutes=2)
        assert (row["state"] == "blind") == is_blind
        if not is_blind:
            assert row["state"] == ("calm" if above is None else "above")
        for name, share in (("median_24h", 0.5), ("p95_24h", 0.95), ("p99_24h", 0.99)):
            if book not in usual:
                assert row[name] is None
                continue
            exact = sorted(usual[book])[ceil(share * len(usual[book])) - 1]
            assert abs(Decimal(row[name]) - exact) <= HALF_A_STEP, (book, name)


def test_a_book_goes_from_calm_to_above_to_blind(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    watch(warehouse, "stream", 1, ["btc_mxn", "eth_mxn", "usd_mxn"])

    def load(book: str, seconds_ago: float, bid: int) -> datetime:
        moment: datetime
        [(moment,)] = warehouse.rows("select now() - %s * interval '1 s'", seconds_ago)
        market.load(warehouse, [Quote(book, moment, "stream", Decimal(bid), Decimal(1000))])
        return moment

    for book, seconds_ago in (("btc_mxn", 700), ("eth_mxn", 600), ("usd_mxn", 700)):
        load(book, seconds_ago, 999)
    market.build(warehouse)
    # Not modelled yet, and known all the same.
    load("btc_mxn", 3, 999)
    # The alert has ended, as blind, before the book is.
    load("usd_mxn", 90, 900)
    states = now(warehouse)
    assert {book: row["state"] for book, row in states.items()} == {
        "btc_mxn": "calm", "eth_mxn": "blind", "usd_mxn": "blind",
    }  # fmt: skip
    assert list(states) == ["eth_mxn", "usd_mxn", "btc_mxn"]
    said = dict(warehouse.rows("select book, said from marts.calm_or_unseen_now(null)"))
    assert "not seen since" in said["usd_mxn"]
    assert "nothing above" in said["btc_mxn"]
    moment = load("btc_mxn", 1, 900)
    row = now(warehouse, "--book", "BTC_MXN")["btc_mxn"]
    assert (row["state"], row["bid"], row["spread"], row["above_pct"]) == (
        "above", "900", "10", "1",
    )  # fmt: skip
    assert datetime.fromisoformat(row["open_since"]) == moment
    assert (row["last_told_at"], row["muted_until"]) == (None, None)
    assert warehouse.call("loader", "alerts", "mute", "all", "--for", "2h").returncode == 0
    warehouse.rows(
        "insert into ops.alert_deliveries (book, threshold_pct, opened_at, seen_until, "
        "episode_event, channel, address, attempt, status, idempotency_key, finished_at) "
        "values ('btc_mxn', 1, %s, %s, 'opened', 'desk', 1, 1, 'sent', gen_random_uuid(), %s)",
        moment, moment, moment,
    )  # fmt: skip
    row = now(warehouse)["btc_mxn"]
    assert datetime.fromisoformat(row["last_told_at"]) == moment
    assert datetime.fromisoformat(row["muted_until"]) > moment + timedelta(hours=1)
    # Crossed, it is seen and nothing to rely on: not calm, though no alert is open any more.
    load("btc_mxn", 0.5, 1010)
    row = now(warehouse)["btc_mxn"]
    assert (row["state"], row["spread"], row["above_pct"]) == ("blind", "-1", None)
    load("btc_mxn", 0, 1000)
    assert now(warehouse)["btc_mxn"]["state"] == "calm"
    # Of what is to come nothing is known: it is as now, what is not modelled included.
    [(later,)] = warehouse.rows("select now() + interval '3 minutes'")
    for typed in (later.isoformat(), f"{later:%Y-%m-%d}", "9999-12-31", "today"):
        assert now(warehouse, "--as-of", typed)["btc_mxn"]["state"] == "calm"
