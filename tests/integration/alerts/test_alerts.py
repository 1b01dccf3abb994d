"""Alerts reach each address once: over kills, refusals, replays and a Postgres that goes away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psutil
import pytest

from loader.alerts.sender import deliver
from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.embedded import Embedded
from loader.warehouse.postgres.migrate import migrate
from loader.warehouse.settings import get_settings
from tests import market
from tests.conftest import BIN, Server, Warehouse
from tests.receiver import Received, Receiver, receiver
from tests.waiting import LAST_RESORT_SECONDS, end_of, read_until, wait_for

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
grant select on all tables in schema marts to warehouse_loader
"""


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as hook:
        yield hook


@pytest.fixture(autouse=True)
def _no_channels_afterwards() -> Iterator[None]:
    yield
    os.environ.pop("WAREHOUSE_ALERT_CHANNELS", None)
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module may have been imported long ago, and old alerts are told to nobody."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def alerts(warehouse: Warehouse) -> Warehouse:
    """A warehouse whose alerts are rows that the test writes."""
    warehouse.rows(MODELS)
    return warehouse


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def put(
    warehouse: Warehouse,
    book: str = "btc_mxn",
    opened: float = 10,
    closed: float | None = None,
    reason: str = "calm",
    channels: str = "default",
) -> None:
    """One alert, by when it opened and closed, in minutes before now."""
    warehouse.rows(
        "insert into marts.spread_alerts_live values "
        "(%s, 0.5, %s, %s, %s, %s, %s, %s, 990, 1000, 1, 1.25, 7, 7)",
        book, minutes_ago(opened), None if closed is None else minutes_ago(closed),
        minutes_ago(opened), NOW + timedelta(hours=1), None if closed is None else reason, channels,
    )  # fmt: skip


def close(warehouse: Warehouse, book: str = "btc_mxn", at: float = 1, reason: str = "calm") -> None:
    warehouse.rows(
        "update marts.spread_alerts_live set closed_at = %s, close_reason = %s where book = %s",
        minutes_ago(at), reason, book,
    )  # fmt: skip


def channels(**addresses: str | list[str]) -> dict[str, str]:
    return {"WAREHOUSE_ALERT_CHANNELS": json.dumps(addresses)}


def send(hook: Receiver, *, fails: int = 0) -> None:
    """As `loader alerts` does, to one address."""
    os.environ.update(channels(default=hook.address()))
    get_settings.cache_clear()
    _, tally = deliver()
    assert tally.failed == fails


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select book, episode_event, channel, address, attempt, status, is_repeat "
        "from ops.alert_deliveries order by delivery_id"
    )


@contextmanager
def follower(warehouse: Warehouse, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`loader alerts --follow`, from when it watches to the end of the test."""
    process = start_follower(warehouse, **environment)
    try:
        read_until(process.stderr, "watching")
        yield process
    finally:
        process.kill()
        process.communicate()


# `loader`, but for the looks that the follower takes without news: what is told is told for a
# quote, or because its moment has come.
WITHOUT_IDLE_LOOKS = f"""
from loader.alerts import sender
from loader.cli.main import main
sender.IDLE_SECONDS = sender.WHOLE_SECONDS = {10 * LAST_RESORT_SECONDS}
main()
"""


def start_follower(warehouse: Warehouse, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_IDLE_LOOKS, "alerts", "--follow"],
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


def test_a_book_has_the_coverage_of_the_last_ten_minutes_that_it_was_watched(
    alerts: Warehouse, hook: Receiver
) -> None:
    for book, ago in (("btc_mxn", 20), ("usd_mxn", 70)):
        alerts.rows(
            "insert into marts.observation_coverage values (%s, %s, 9, 3), (%s, %s, 9999, 9998)",
            book, minutes_ago(ago + 10), book, minutes_ago(ago),
        )  # fmt: skip
        put(alerts, book)
    put(alerts, "eth_mxn")
    send(hook)
    lines = {
        one.body["book"]: one.body["message"].splitlines()[-1].replace("Z", "")
        for one in hook.received
    }
    assert lines == {
        # It is not all of it.
        "btc_mxn": f"coverage: 99.9 % of the 10 minutes from {minutes_ago(20):%Y-%m-%dT%H:%M:%S}",
        "usd_mxn": f"coverage: 99.9 % of the 10 minutes from {minutes_ago(70):%Y-%m-%dT%H:%M:%S}",
        # As of an imported lake: nobody knows what was to be seen.
        "eth_mxn": "coverage: not known",
    }


def test_opened_and_closed_are_delivered_once(alerts: Warehouse, hook: Receiver) -> None:
    alerts.rows(
        "insert into marts.observation_coverage values ('btc_mxn', %s, 600, 585)",
        minutes_ago(60),
    )
    put(alerts)
    send(hook)
    send(hook)
    [opened] = hook.received
    assert opened.body["title"] == "btc_mxn: spread is above 0.5 %"
    for line in (
        "book: btc_mxn", "threshold: 0.5 %", "spread: 1 %", "bid: 990", "ask: 1000",
        f"since: {minutes_ago(10):%Y-%m-%dT%H:%M:%SZ}",
        f"coverage: 97.5 % of the 10 minutes from {minutes_ago(60):%Y-%m-%dT%H:%M:%SZ}",
    ):  # fmt: skip
        assert line in opened.body["message"].splitlines()
    close(alerts)
    send(hook)
    send(hook)
    [_, closed] = hook.received
    assert closed.body["title"] == "btc_mxn: spread is no longer above 0.5 %"
    assert f"until: {minutes_ago(1):%Y-%m-%dT%H:%M:%SZ}" in closed.body["message"]
    assert "peak: 1.25 %" in closed.body["message"]
    assert "reason: calm" in closed.body["message"]
    assert opened.key != closed.key
    assert (
        alerts.rows(
            "select status, rows_read, rows_inserted, detail ->> 'sent' from ops.runs "
            "order by run_id"
        )
        == [("succeeded", 1, 1, "1"), ("succeeded", 0, 0, "0")] * 2
    )


def test_a_book_that_falls_silent_is_said_to_be_unknown(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, opened=10, closed=2, reason="blind")
    send(hook)
    assert events(hook.received) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]
    assert "no quotes" in hook.received[1].body["title"]
    assert hook.received[1].body["type"] == "warning"


def test_a_kill_between_sending_and_writing_down_costs_one_marked_repeat(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts)
    hook.held.add("/hook")
    process = subprocess.Popen(
        [BIN / "loader", "alerts"], env={**os.environ, **channels(default=hook.address())},
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    hook.wait_for(1)
    process.kill()
    process.wait()
    assert rows(alerts) == [("btc_mxn", "opened", "default", 1, 1, "sending", False)]
    hook.held.clear()
    for _ in range(3):
        send(hook)
    first, again = hook.received
    assert again.key == first.key
    assert first.body["is_repeat"] == "false"
    assert again.body["is_repeat"] == "true"
    assert again.body["title"].startswith("Repeat: ")
    assert "may have reached you already" in again.body["message"]
    assert rows(alerts) == [
        ("btc_mxn", "opened", "default", 1, 1, "unknown", False),
        ("btc_mxn", "opened", "default", 1, 2, "sent", True),
    ]


def test_a_channel_that_fails_is_retried_and_the_others_go_on(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts, closed=1, channels="desk,nobody,pager")
    hook.statuses["/down"] = 503
    where = channels(desk=[hook.address("/a"), hook.address("/down")], pager=hook.address("/b"))
    done = alerts.loader("alerts", **where)
    assert done.returncode == 75
    assert "no address for the channel" in done.stderr
    assert "answered with status 503" in done.stderr
    assert sorted(one.what for one in hook.received) == [
        ("/a", "btc_mxn", "closed"), ("/a", "btc_mxn", "opened"),
        ("/b", "btc_mxn", "closed"), ("/b", "btc_mxn", "opened"), ("/down", "btc_mxn", "opened"),
    ]  # fmt: skip
    # Too soon.
    alerts.rows(
        "update ops.alert_deliveries set retry_at = now() + interval '1 hour'"
        " where retry_at is not null"
    )
    assert alerts.loader("alerts", **where).returncode == 0
    assert len(hook.received) == 5
    hook.statuses.clear()
    alerts.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    assert alerts.loader("alerts", **where).returncode == 0
    assert alerts.loader("alerts", **where).returncode == 0
    assert events(hook.received[5:]) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]
    assert {one.path for one in hook.received[5:]} == {"/down"}
    assert {one.body["is_repeat"] for one in hook.received} == {"false"}
    assert alerts.rows(
        "select channel, episode_event, error from ops.alert_deliveries where status = 'failed' "
        "order by 1, 2"
    ) == [
        ("desk", "opened", "answered with status 503"),
        ("nobody", "closed", "no address for the channel"),
        ("nobody", "opened", "no address for the channel"),
    ]


def test_a_channel_is_given_up_after_a_while(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts)
    hook.statuses["/hook"] = 500
    send(hook, fails=1)
    alerts.rows(
        "update ops.alert_deliveries set started_at = now() - interval '24 hours', retry_at = now()"
    )
    send(hook, fails=1)
    send(hook)
    assert len(hook.received) == 2
    assert alerts.rows("select count(*) from ops.alert_deliveries where retry_at is not null") == [
        (0,)
    ]


def test_a_late_row_that_moves_an_opening_sends_nothing_twice(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts, opened=10)
    send(hook)
    alerts.rows("update marts.spread_alerts_live set opened_at = %s", minutes_ago(15))
    send(hook)
    close(alerts, at=2)
    send(hook)
    # Split by a late calm row.
    alerts.rows("update marts.spread_alerts_live set closed_at = %s", minutes_ago(9))
    put(alerts, opened=8, closed=2)
    send(hook)
    assert events(hook.received) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]
    # What follows is news, and so are others.
    put(alerts, opened=1.5)
    put(alerts, book="eth_mxn", opened=10)
    send(hook)
    assert events(hook.received[2:]) == [("eth_mxn", "opened"), ("btc_mxn", "opened")]
    # Both become one: its end is told once.
    alerts.rows("delete from marts.spread_alerts_live where book = 'btc_mxn'")
    put(alerts, opened=15, closed=0.5)
    send(hook)
    send(hook)
    assert events(hook.received[4:]) == [("btc_mxn", "closed")]


def test_old_alerts_are_passed_over_and_said_to_be(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, book="eth_mxn", opened=90_000, closed=80_000)
    put(alerts, book="usd_mxn", opened=61, closed=1)
    put(alerts, book="btc_mxn", opened=61)
    send(hook)
    close(alerts)
    send(hook)
    assert hook.received == []
    assert sorted(rows(alerts)) == [
        (book, "opened", "default", 0, 1, "skipped", False)
        for book in ("btc_mxn", "eth_mxn", "usd_mxn")
    ]


def test_an_alert_that_was_told_of_is_closed_however_long_it_was(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts, opened=10)
    send(hook)
    # Two days pass, and nobody watched.
    alerts.rows(
        "update ops.alert_deliveries set opened_at = opened_at - interval '2 days', "
        "seen_until = seen_until - interval '2 days'"
    )
    alerts.rows(
        "update marts.spread_alerts_live set opened_at = opened_at - interval '2 days', "
        "closed_at = opened_at - interval '1 day', close_reason = 'calm'"
    )
    send(hook)
    assert events(hook.received) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]


def test_the_follower_tells_at_once_and_ends_when_asked(alerts: Warehouse, hook: Receiver) -> None:
    with follower(alerts, **channels(default=hook.address())) as process:
        for count, book in enumerate(("btc_mxn", "eth_mxn", "usd_mxn"), start=1):
            put(alerts, book=book, opened=1)
            announce(alerts)
            # for the quote's sake: it does not look by itself
            assert hook.wait_for(count)[-1].body["book"] == book
        process.send_signal(signal.SIGTERM)
        assert end_of(process)[0] == 143
    assert {row[5] for row in rows(alerts)} == {"sent"}


def test_a_receiver_that_hangs_does_not_hold_up_the_end(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, opened=1)
    hook.held.add("/hook")
    with follower(alerts, **channels(default=hook.address())) as process:
        hook.wait_for(1)
        process.send_signal(signal.SIGTERM)
        # which is still held
        assert end_of(process)[0] == 143
    assert {row[5] for row in rows(alerts)} == {"sending"}


def test_silence_is_told_when_it_is_due(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, opened=0.5)
    [(blind_at,)] = alerts.rows("select clock_timestamp() + interval '2 seconds'")
    alerts.rows("update marts.spread_alerts_live set blind_at = %s", blind_at)
    with follower(alerts, **channels(default=hook.address())):
        hook.wait_for(1)
        alerts.rows(
            "update marts.spread_alerts_live set closed_at = blind_at, close_reason = 'blind'"
        )
        assert events(hook.wait_for(2)) == [("btc_mxn", "opened"), ("btc_mxn", "closed")]
    assert hook.received[1].at >= blind_at.timestamp()


def test_a_follower_leaves_a_run_for_who_asks_whether_it_lives(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts, opened=120)
    with follower(alerts, **channels(default=hook.address())):
        put(alerts, book="eth_mxn", opened=1)
        announce(alerts)
        hook.wait_for(1)
    runs = alerts.rows("select job, status, detail->>'skipped' from ops.runs")
    assert runs == [("alerts", "succeeded", "1")]


def test_an_idle_follower_rests(alerts: Warehouse, hook: Receiver) -> None:
    with follower(alerts, **channels(default=hook.address())) as process:
        watched = psutil.Process(process.pid)

        def used_in(seconds: float) -> float:
            before = watched.cpu_times()
            time.sleep(seconds)
            after = watched.cpu_times()
            return after.user + after.system - before.user - before.system

        wait_for(lambda: alerts.rows("select 1 from ops.runs where finished_at notnull"), "a look")
        wait_for(lambda: used_in(0.2) < 0.005, "rest")
        # of its own time, which is not that of the machine
        assert used_in(2) < 0.02


def test_of_two_followers_one_sends_and_the_other_takes_over(
    alerts: Warehouse, hook: Receiver
) -> None:
    where = channels(default=hook.address())
    with follower(alerts, **where) as first:
        second = start_follower(alerts, **where)
        try:
            read_until(second.stderr, "standing by")
            assert alerts.loader("alerts", **where).returncode == 75
            put(alerts, opened=1)
            announce(alerts)
            read_until(first.stderr, ": sent")
            first.kill()
            read_until(second.stderr, "watching")
            put(alerts, book="eth_mxn", opened=1)
            announce(alerts)
            hook.wait_for(2)
        finally:
            # asked, not killed: what it did can be counted then
            second.terminate()
            second.communicate()
    hook.drain()
    assert events(hook.received) == [("btc_mxn", "opened"), ("eth_mxn", "opened")]
    assert {one.body["is_repeat"] for one in hook.received} == {"false"}


def test_the_follower_outlives_a_restart_of_postgres(tmp_path: Any, hook: Receiver) -> None:
    embedded = Embedded(tmp_path / "home")
    server = Server(embedded, embedded.start(), tmp_path)
    try:
        warehouse = server.database("restarted")
        migrate()
        privileges.apply(connect())
        warehouse.rows(MODELS)
        with follower(warehouse, **channels(default=hook.address())) as process:
            embedded.stop()
            read_until(process.stderr, "trying again")
            assert embedded.start(server.port) == server.port
            read_until(process.stderr, "watching")
            put(warehouse, opened=1)
            announce(warehouse)
            hook.wait_for(1)
    finally:
        embedded.stop()
    assert events(hook.received) == [("btc_mxn", "opened")]


def test_addresses_stay_secret(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, channels="default,gone")
    hook.statuses["/s3cret"] = 500
    where = channels(
        default=hook.address("/s3cret?+X-Key=s3cret"), gone="json://u:s3cret@127.0.0.1:9/s3cret"
    )
    done = alerts.loader("alerts", **where)
    assert done.returncode == 75
    wrong = [
        alerts.loader("alerts", WAREHOUSE_ALERT_CHANNELS=value)
        for value in (
            '{"default": ["nosuch://s3cret"]}', '{"default": "json://s3cret', '["s3cret"]',
            '{"default": {"s3cret": 1}}', '{"default": [["s3cret"]]}',
        )
    ]  # fmt: skip
    assert [one.returncode for one in wrong] == [2] * len(wrong)
    for one in (done, *wrong):
        assert "s3cret" not in one.stdout + one.stderr
        assert one.returncode == 75 or one.stderr.startswith("loader: WAREHOUSE_ALERT_CHANNELS: ")
    for table in ("ops.alert_deliveries", "ops.runs"):
        assert alerts.rows(f"select count(*) from {table} as t where t::text ~ 's3cret'") == [(0,)]


def test_from_the_row_in_raw_to_the_message_without_dbt(
    warehouse: Warehouse, hook: Receiver
) -> None:
    """All of it: what dbt defined, rows as the loader writes them, the follower, a webhook."""
    calm, wide = Decimal(9999), Decimal(9920)
    book = "btc_mxn"

    def quote(bid: Decimal, ago: float = 0) -> market.Quote:
        at = datetime.now(UTC) - timedelta(seconds=ago)
        return market.Quote(book, at, "ticker", bid, Decimal(10_000))

    market.load(warehouse, [quote(wide, 7200), quote(calm, 7100), quote(calm, 30)])
    warehouse.dbt(
        "build", "--select", *market.SELECTION,
        "--exclude", "resource_type:test", "resource_type:unit_test",
    )  # fmt: skip
    with follower(warehouse, **channels(default=hook.address())) as process:
        market.load(warehouse, [quote(wide)])
        # 0.8 % is above 0.1 and 0.5, not above 1.
        opened = hook.wait_for(2)
        assert {one.body["threshold"] for one in opened} == {"0.1 %", "0.5 %"}
        assert {one.body["event"] for one in opened} == {"opened"}
        market.load(warehouse, [quote(calm)])
        assert {one.body["event"] for one in hook.wait_for(4)[2:]} == {"closed"}
        for _ in range(4):
            read_until(process.stderr, ": sent")
    send(hook)
    assert len(hook.received) == 4
    assert warehouse.rows(
        "select status, count(*) from ops.alert_deliveries group by status order by status"
    ) == [("sent", 4), ("skipped", 2)]
