"""Alerts that a test writes itself, and who is told of them: for the tests of what is told."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from loader.alerts.sender import deliver
from loader.warehouse.settings import get_settings
from tests.conftest import Warehouse
from tests.receiver import Received, Receiver
from tests.waiting import LAST_RESORT_SECONDS, read_until

# A fixture sets it anew for each test, for old alerts are told to nobody.
NOW = datetime.now(UTC).replace(microsecond=0)
# As dbt makes them: tests/integration/models/test_market.py proves what they say.
MODELS = """
create table marts.spread_alerts_live (
    book text, threshold_pct numeric(18, 12), opened_at timestamptz, closed_at timestamptz,
    last_observed_at timestamptz, blind_at timestamptz, close_reason text, channels text,
    opening_bid numeric(38, 18), opening_ask numeric(38, 18), opening_spread numeric(56, 12),
    peak_spread numeric(56, 12), observations bigint, breaches bigint
);
create table marts.observation_coverage (
    book text, window_start timestamptz, expected integer, observed integer
);
create table marts.spread_observations (
    orderbook_timestamp timestamptz, book text, bid numeric(38, 18), ask numeric(38, 18),
    spread numeric(56, 12), is_primary boolean
);
create table marts.book_thresholds (
    book text, threshold_pct numeric(18, 12), close_below_pct numeric(18, 12), channels text
);
create table marts.alerts_judged (judged_until timestamptz, fresh_from timestamptz);
insert into marts.alerts_judged values ('infinity', 'infinity');
create table marts.book_states (
    book text, is_blind boolean, last_seen_at timestamptz, blind_since timestamptz, cause text
);
grant select on all tables in schema marts to warehouse_loader
"""


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def put(
    warehouse: Warehouse,
    book: str = "btc_mxn",
    opened: float = 10,
    closed: float | None = None,
    reason: str = "calm",
    channels: str = "default",
    threshold: str = "0.5",
    close_below: str | None = None,
) -> None:
    """One alert, by when it opened and closed, in minutes before now."""
    warehouse.rows(
        "insert into marts.spread_alerts_live values "
        "(%s, %s, %s, %s, %s, %s, %s, %s, 990, 1000, 1, 1.25, 7, 7)",
        book, threshold, minutes_ago(opened), None if closed is None else minutes_ago(closed),
        minutes_ago(opened), NOW + timedelta(hours=1), None if closed is None else reason, channels,
    )  # fmt: skip
    warehouse.rows("delete from marts.book_thresholds where (book, threshold_pct) = (%s, %s)",
                   book, threshold)  # fmt: skip
    warehouse.rows(
        "insert into marts.book_thresholds values (%s, %s, %s, %s)",
        book, threshold, close_below or threshold, channels,
    )  # fmt: skip


def put_back(warehouse: Warehouse) -> None:
    """All alerts are taken away by later rows."""
    warehouse.rows("delete from marts.spread_alerts_live")


def close(warehouse: Warehouse, book: str = "btc_mxn", at: float = 1, reason: str = "calm") -> None:
    warehouse.rows(
        "update marts.spread_alerts_live set closed_at = %s, close_reason = %s where book = %s",
        minutes_ago(at), reason, book,
    )  # fmt: skip


def channels(**addresses: str | list[str]) -> dict[str, str]:
    return {"WAREHOUSE_ALERT_CHANNELS": json.dumps(addresses)}


def tell(hook: Receiver) -> None:
    """From now on, whatever is told is told to one address."""
    os.environ.update(channels(default=hook.address()))
    get_settings.cache_clear()


def send(hook: Receiver, *, fails: int = 0) -> None:
    """As `loader alerts` does, to one address."""
    tell(hook)
    _, tally = deliver()
    assert tally.failed == fails


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select book, episode_event, channel, address, attempt, status, is_repeat "
        "from ops.alert_deliveries order by delivery_id"
    )


def deliveries(warehouse: Warehouse, book: str) -> list[tuple[Any, ...]]:
    """Threshold, event, status and message of each attempt."""
    return warehouse.rows(
        "select threshold_pct, episode_event, status, idempotency_key::text "
        "from ops.alert_deliveries where book = %s order by delivery_id",
        book,
    )


@contextmanager
def follower(
    warehouse: Warehouse, pings: str = "60", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`loader alerts --follow`, from when it watches to the end of the test."""
    process = start_follower(warehouse, pings, **environment)
    try:
        read_until(process.stderr, "watching")
        yield process
    finally:
        process.kill()
        process.communicate()


# `loader`, but for the looks that the follower takes without news: what is told is told for a
# quote, or because its moment has come. The watchdog is told as often as the test says.
WITHOUT_IDLE_LOOKS = f"""
import sys
from loader.alerts import sender, watchdog
from loader.cli.main import main
sender.IDLE_SECONDS = sender.WHOLE_SECONDS = {10 * LAST_RESORT_SECONDS}
watchdog.PING_SECONDS = float(sys.argv.pop(1))
main()
"""


def start_follower(
    warehouse: Warehouse, pings: str = "60", **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_IDLE_LOOKS, pings, "alerts", "--follow"],
        env={**os.environ, **environment}, cwd=warehouse.directory, text=True,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def announce(warehouse: Warehouse) -> None:
    """A quote comes in."""
    warehouse.rows("select raw.ensure_day('bitso_tickers', current_date)")
    warehouse.rows(
        "insert into raw.bitso_tickers values (now(), 'btc_mxn', 1, 2, '{}', 1)", role="loader"
    )


def events(received: list[Received]) -> list[tuple[str, str]]:
    return [(one.body["book"], one.body["event"]) for one in received]
