"""What people see of alerts: whether they were told in time, and what none of them means."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import market
from tests.conftest import Warehouse
from tests.integration.models.test_book_states import watch
from tests.integration.models.test_market_questions import plain
from tests.market import Quote


class Told(NamedTuple):
    """One try to tell somebody."""

    channel: str
    event: str
    address: int
    attempt: int
    status: str
    late: int


# Three addresses of the desk, one of which hears it twice; a channel that is not watched any more.
TRIES = [
    Told("default", "opened", 1, 1, "failed", 5), Told("default", "opened", 1, 2, "sent", 9),
    Told("default", "opened", 2, 1, "unknown", 3), Told("default", "opened", 2, 2, "sent", 40),
    Told("default", "opened", 3, 1, "failed", 70), Told("default", "closed", 1, 1, "sent", 500),
    Told("default", "closed", 2, 1, "unknown", 7),
    Told("old", "opened", 1, 1, "sent", 2), Told("old", "closed", 0, 0, "skipped", 2),
]  # fmt: skip
SHORTEST = 60
BEFORE = timedelta(days=3)


def ask(warehouse: Warehouse, name: str, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    done = warehouse.call("dashboards", "ask", name, *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def alarmed(module_warehouse: Warehouse) -> tuple[Warehouse, datetime]:
    """A book that was above all its thresholds twice, a calm one, and one that was seen before."""
    warehouse = module_warehouse
    warehouse.dbt("seed")
    [(moment,)] = warehouse.rows("select date_trunc('minute', now()) - interval '10 minutes'")
    watch(warehouse, "ticker", 600, ["btc_mxn", "eth_mxn", "usd_mxn"])
    # The second time that of 0.1 % goes on before and after the others.
    spreads = {0: "2", 60: "0.05", 90: "0.3", 100: "2", 150: "0.3"}
    market.load(
        warehouse,
        [
            *(
                Quote("btc_mxn", moment + timedelta(seconds=after), "ticker",
                      1000 - Decimal(spread) * 10, Decimal(1000))
                for after, spread in spreads.items()
            ),
            Quote("eth_mxn", moment, "ticker", Decimal("999.9"), Decimal(1000)),
            Quote("usd_mxn", moment - BEFORE, "ticker", Decimal("999.9"), Decimal(1000)),
        ],
    )  # fmt: skip
    market.build(warehouse)
    for told in TRIES:
        warehouse.rows(
            "insert into ops.alert_deliveries (book, threshold_pct, opened_at, seen_until, "
            "episode_event, channel, address, attempt, status, idempotency_key, finished_at) "
            "values ('btc_mxn', 1, %s, %s, %s, %s, %s, %s, %s, gen_random_uuid(), %s)",
            moment, moment, told.event, told.channel, told.address, told.attempt, told.status,
            moment + timedelta(seconds=told.late),
        )  # fmt: skip
    return warehouse, moment


def test_alert_delivery(alarmed: tuple[Warehouse, datetime]) -> None:
    warehouse, moment = alarmed
    rows, _ = ask(warehouse, "alert-delivery")
    assert [row["channel"] for row in rows] == ["default", "old"]
    for row in rows:
        messages: dict[tuple[str, int], list[Told]] = {}
        for told in TRIES:
            if told.channel == row["channel"]:
                messages.setdefault((told.event, told.address), []).append(told)
        first = {
            key: min(told.late for told in tries if told.status == "sent")
            for key, tries in messages.items()
            if any(told.status == "sent" for told in tries)
        }
        late = sorted(seconds for (event, _), seconds in first.items() if event == "opened")
        skipped = sum(tries[-1].status == "skipped" for tries in messages.values())
        assert row == {
            "channel": row["channel"],
            "messages": len(messages),
            "delivered": len(first),
            "repeated": sum(
                sum(told.status in ("sent", "unknown") for told in tries) > 1
                for tries in messages.values()
            ),
            "failed": len(messages) - len(first) - skipped,
            "skipped": skipped,
            "median_seconds": plain(Decimal(late[ceil(0.5 * len(late)) - 1])),
            "p99_seconds": plain(Decimal(late[ceil(0.99 * len(late)) - 1])),
            "shortest_alert_seconds": plain(Decimal(SHORTEST)),
        }
    # A channel that nothing was for has a row all the same.
    before = (moment - timedelta(days=2)).date().isoformat()
    rows, _ = ask(warehouse, "alert-delivery", "--from", before, "--to", before)
    assert rows == [
        {
            "channel": "default", "messages": 0, "delivered": 0, "repeated": 0, "failed": 0,
            "skipped": 0, "median_seconds": None, "p99_seconds": None,
            "shortest_alert_seconds": None,
        }
    ]  # fmt: skip


def test_thresholds_that_contain_each_other_are_shown_once(
    alarmed: tuple[Warehouse, datetime],
) -> None:
    warehouse, moment = alarmed
    alerts, _ = ask(warehouse, "spread-alerts", "--book", "btc_mxn")
    days, _ = ask(warehouse, "alerts-by-day")
    # Six alerts, twice three that contain each other.
    assert len(alerts) == 6
    assert sum(day["alerts"] for day in days) == 2
    assert {day["threshold"] for day in days} == {"1 %"}
    [row], _ = ask(warehouse, "open-alerts")
    assert (row["book"], row["threshold_pct"], row["lower_pct"]) == ("btc_mxn", "0.1", None)
    later = moment + timedelta(seconds=170)
    market.load(warehouse, [Quote("btc_mxn", later, "ticker", Decimal(993), Decimal(1000))])
    [row], _ = ask(warehouse, "open-alerts")
    assert (row["book"], row["threshold_pct"], row["lower_pct"]) == ("btc_mxn", "0.5", "0.1")
    assert datetime.fromisoformat(row["opened_at"]) == later
    assert datetime.fromisoformat(row["first_opened_at"]) == moment + timedelta(seconds=90)
    assert row["peak_spread"] == "2"


def minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def test_no_alerts_are_calm_or_unseen(alarmed: tuple[Warehouse, datetime]) -> None:
    warehouse, moment = alarmed
    for question in ("open-alerts", "spread-alerts", "alerts-by-day"):
        rows, said = ask(warehouse, question, "--book", "eth_mxn")
        assert rows == []
        assert said.startswith("no rows: eth_mxn: nothing above 0.1 %, "), question
        assert re.search(r"\b\d+ of \d+ seconds seen\b", said), said
        assert said.endswith(f"data exist from {moment:%Y-%m-%dT%H:%M:%SZ} to "
                             f"{moment:%Y-%m-%dT%H:%M:%SZ}\n")  # fmt: skip
    # Of this moment and of a time in which nobody saw it.
    seen = minute(moment - BEFORE)
    _, said = ask(warehouse, "open-alerts", "--book", "usd_mxn")
    assert said.startswith(f"no rows: usd_mxn: not seen since {seen}; ")
    day = (moment - BEFORE + timedelta(days=1)).date().isoformat()
    _, said = ask(warehouse, "spread-alerts", "--from", day, "--to", day)
    assert f"usd_mxn: not seen since {seen}; " in said
    assert "eth_mxn: not seen by then" in said
    assert "nothing above" not in said
    # The threshold that is asked about.
    _, said = ask(warehouse, "spread-alerts", "--book", "eth_mxn", "--threshold", "0.5")
    assert "eth_mxn: nothing above 0.5 %" in said
    warehouse.rows("delete from reference.spread_thresholds")
    _, said = ask(warehouse, "open-alerts", "--book", "eth_mxn")
    assert "eth_mxn: no threshold is watched, seen at " in said
    # No alert can open: that none has is no calm.
    rows, _ = ask(warehouse, "spread-now")
    assert {row["book"]: row["state"] for row in rows} == {
        "btc_mxn": "unwatched", "eth_mxn": "unwatched", "usd_mxn": "blind",
    }  # fmt: skip


def test_from_after_the_latest_alert_on_the_data_go_on(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    first = datetime(2026, 1, 5, 12, tzinfo=UTC)
    days = [first, first + timedelta(seconds=1), first + timedelta(days=1)]
    market.load(
        warehouse,
        [
            Quote("btc_mxn", at, "stream", Decimal(bid), Decimal(1000))
            for at, bid in zip(days, (990, 1000, 1000), strict=True)
        ],
    )
    market.build(warehouse)
    assert len(ask(warehouse, "spread-alerts")[0]) > 0
    for typed in (days[-1].date().isoformat(), days[-1].isoformat()):
        rows, said = ask(warehouse, "spread-alerts", "--from", typed)
        assert (rows, "btc_mxn: nothing above 0.1 %" in said) == ([], True), said


def test_a_tile_without_alerts_says_what_that_means(sampled: Warehouse, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert sampled.call("dashboards", "preview", "--out", str(page)).returncode == 0
    tiles = re.findall(r'<p class="empty">(No alert is open[^<]*)<', page.read_text())
    assert len(tiles) == 2
    for tile in tiles:
        assert re.fullmatch(r"No alert is open\. (\w+: not seen since [^;]* UTC(; )?)+", tile), tile
