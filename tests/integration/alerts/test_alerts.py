"""Alerts reach each address once: over kills, refusals, replays and a Postgres that goes away."""

import errno
import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psutil
import pytest

from loader.alerts import outbox
from loader.alerts.channels import Channels, Message
from loader.alerts.courier import Courier
from loader.alerts.message import message
from loader.alerts.notices import Notice
from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.embedded import Embedded
from loader.warehouse.postgres.migrate import migrate
from tests import market
from tests.conftest import BIN, Server, Warehouse
from tests.receiver import Receiver
from tests.telling import (
    MODELS,
    announce,
    channels,
    close,
    events,
    follower,
    minutes_ago,
    put,
    rows,
    send,
    start_follower,
)
from tests.waiting import end_of, read_until, wait_for


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
    done = alerts.call("loader", "alerts", **where)
    assert (done.returncode, done.stdout.split(" (")[0]) == (
        75, "alerts: 0 sent, 0 failed, 0 too old",
    )  # fmt: skip
    assert done.stderr == ("loader: 1 message to be tried again: answered with status 503\n")
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


def test_a_channel_that_no_threshold_names_is_told(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, channels="desk,pager")
    where = channels(desk=hook.address(), pagr=hook.address(), report=hook.address())
    said = "WAREHOUSE_ALERT_CHANNELS: no threshold names the channel 'pagr': did you mean pager?"
    done = alerts.call("loader", "alerts", **where)
    assert [line for line in done.stderr.splitlines() if "ALERT_CHANNELS: " in line] == [said]
    assert said in alerts.call("loader", "alerts", "mutes", **where).stderr
    with start_follower(alerts, **where) as process:
        read_until(process.stderr, said)
        process.kill()


def said_of_alerts(warehouse: Warehouse, **where: str) -> str | None:
    """What `loader status` says of messages that did not arrive."""
    done = warehouse.call("loader", "status", "--format", "json", "alerts", **where)
    said = [
        problem["what"]
        for problem in json.loads(done.stdout)["problems"]
        if problem["check"] in ("waiting", "given_up")
    ]
    return "; ".join(said) or None


def test_a_channel_is_given_up_after_a_while(
    alerts: Warehouse, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
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
    said = [record.getMessage() for record in caplog.records if "attempt" in record.getMessage()]
    assert [message.endswith("(attempt 2): given up") for message in said] == [False, True]
    where = channels(default=hook.address())
    assert (said_of_alerts(alerts, **where) or "").startswith(
        "1 message of the last 24 hours given up: "
    )
    told = alerts.call("loader", "status", "alerts", **where).stdout
    assert "look into the receiver" in told
    assert "`dashboards ask alert-delivery`" in told
    assert "nothing is wrong" not in told
    alerts.rows("update ops.alert_deliveries set started_at = now() - interval '25 hours'")
    assert said_of_alerts(alerts, **where) is None
    told = alerts.call("loader", "status", "alerts", **where).stdout
    assert "look into the receiver" not in told
    assert told.endswith("nothing is wrong: 1 of 1 jobs fresh\n")


def test_a_doubtful_delivery_is_repeated_at_most_once_and_says_so(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts)
    hook.held.add("/hook")
    where = channels(default=hook.address()) | {"WAREHOUSE_ALERT_TIMEOUT_SECONDS": "1"}
    said = []
    for code in (75, 75, 0):
        done = alerts.call("loader", "alerts", **where)
        assert done.returncode == code
        said.append([line for line in done.stderr.splitlines() if "given up" in line])
        alerts.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    assert [one.body["is_repeat"] for one in hook.received] == ["false", "true"]
    assert len({one.key for one in hook.received}) == 1
    assert rows(alerts) == [
        ("btc_mxn", "opened", "default", 1, 1, "unknown", False),
        ("btc_mxn", "opened", "default", 1, 2, "unknown", True),
    ]
    assert list(map(len, said)) == [0, 1, 0]
    assert said[1][0].endswith(
        "no answer within 1 s (attempt 2): given up, for it may have arrived"
    )
    assert said_of_alerts(alerts, **where) == (
        "1 message of the last 24 hours given up: no answer within 1 s"
    )
    # Its end is news all the same.
    hook.held.clear()
    close(alerts)
    send(hook)
    assert events(hook.received)[2:] == [("btc_mxn", "closed")]


def test_a_receiver_that_hangs_holds_up_no_other(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, channels="desk,pager")
    hook.held.add("/held")
    where = channels(desk=[hook.address("/held"), hook.address("/a")], pager=hook.address("/b"))
    with follower(alerts, WAREHOUSE_ALERT_TIMEOUT_SECONDS="600", **where):
        hook.wait_for(3)
        close(alerts)
        announce(alerts)
        received = hook.wait_for(5)
        # It still hangs.
        assert [one.what for one in received if one.path == "/held"] == [
            ("/held", "btc_mxn", "opened")
        ]


@pytest.mark.parametrize("fault", ["message", "courier"])
def test_an_exception_in_a_sender_is_a_failed_delivery(
    alerts: Warehouse, hook: Receiver, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    put(alerts, "btc_mxn")
    put(alerts, "eth_mxn")
    begin, write = Channels.begin, message

    def begins(self: Channels, channel: str, number: int, text: Message) -> Courier:
        if fault == "courier" and text.facts["book"] == "btc_mxn":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return begin(self, channel, number, text)

    def writes(notice: Notice, *known: Any) -> Message:
        if fault == "message" and notice.first.book == "btc_mxn":
            raise KeyError("what nobody thought of")
        return write(notice, *known)

    monkeypatch.setattr(Channels, "begin", begins)
    monkeypatch.setattr(outbox, "message", writes)
    pauses = []
    for _ in range(3):
        send(hook, fails=1)
        pauses += alerts.rows(
            "select retry_at - finished_at from ops.alert_deliveries where retry_at is not null"
        )
        alerts.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    assert events(hook.received) == [("eth_mxn", "opened")]
    assert [pause for (pause,) in pauses] == sorted(pause for (pause,) in pauses)
    assert pauses[0] < pauses[-1]
    where = channels(default=hook.address())
    error = {
        "message": "the message could not be written: KeyError",
        "courier": "nothing can be sent: Too many open files",
    }[fault]
    assert said_of_alerts(alerts, **where) == f"1 message not delivered yet: {error}"
    monkeypatch.undo()
    send(hook)
    assert events(hook.received)[1:] == [("btc_mxn", "opened")]


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
        # The receiver has it before its answer is written down.
        wait_for(lambda: {row[5] for row in rows(alerts)} == {"sent"}, lambda: rows(alerts))
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
        [opened] = hook.wait_for(1)
        assert (opened.body["event"], opened.body["thresholds"]) == ("opened", "0.1 %, 0.5 %")
        market.load(warehouse, [quote(calm)])
        closed = hook.wait_for(2)[1].body
        assert (closed["event"], closed["thresholds"]) == ("closed", "0.1 %, 0.5 %")
        assert (closed["spread"], closed["closes_below"]) == ("0.01 %", "0.5 %")
        for _ in range(2):
            read_until(process.stderr, ": sent")
    send(hook)
    assert len(hook.received) == 2
    assert warehouse.rows(
        "select status, count(*) from ops.alert_deliveries group by status order by status"
    ) == [("sent", 4), ("skipped", 2)]
