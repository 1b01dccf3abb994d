"""A muted book is told of by nobody, says so wherever it shows, and is told of afterwards."""

import json
from datetime import timedelta

import pytest

from tests.conftest import Warehouse
from tests.receiver import Receiver
from tests.telling import announce, channels, close, events, follower, minutes_ago, put, rows, send


@pytest.fixture(autouse=True)
def _book_names(alerts: Warehouse) -> None:
    alerts.rows(
        "create table marts.book_names (book_name text, book text);"
        "insert into marts.book_names values ('btc_mxn', 'btc_mxn'), ('xbt_mxn', 'btc_mxn'), "
        "('eth_mxn', 'eth_mxn');"
        "grant select on all tables in schema marts to warehouse_loader"
    )


def mute(alerts: Warehouse, book: str = "btc_mxn", length: str = "2h") -> None:
    done = alerts.call("loader", "alerts", "mute", book, "--for", length)
    assert done.returncode == 0, done.stderr


def end_mutes(alerts: Warehouse, ago: float = 0) -> None:
    """As when their time is over."""
    alerts.rows("update ops.alert_mutes set muted_until = now() - %s", timedelta(minutes=ago))


@pytest.mark.parametrize("book", ["btc_mxn", "all"])
def test_what_is_still_open_when_a_mute_ends_is_told_then(
    alerts: Warehouse, hook: Receiver, book: str
) -> None:
    # However long it lasted.
    put(alerts, opened=200)
    alerts.rows(
        "insert into ops.alert_mutes (book, muted_from, muted_until) values (%s, %s, %s)",
        None if book == "all" else book, minutes_ago(210), minutes_ago(-60),
    )  # fmt: skip
    put(alerts, "eth_mxn")
    for _ in range(2):
        send(hook)
    assert events(hook.received) == ([] if book == "all" else [("eth_mxn", "opened")])
    end_mutes(alerts)
    for _ in range(2):
        send(hook)
    assert sorted(events(hook.received)) == [("btc_mxn", "opened"), ("eth_mxn", "opened")]


def test_what_opens_and_closes_in_a_mute_is_told_to_nobody_and_said_to_be(
    alerts: Warehouse, hook: Receiver
) -> None:
    alerts.rows(
        "insert into ops.alert_mutes (book, muted_from, muted_until) values ('btc_mxn', %s, %s)",
        minutes_ago(30), minutes_ago(2),
    )  # fmt: skip
    put(alerts, opened=20, closed=10)
    send(hook)
    send(hook)
    assert hook.received == []
    assert alerts.rows("select status, error from ops.alert_deliveries") == [
        ("skipped", "its book was muted")
    ]
    assert alerts.rows("select detail ->> 'muted' from ops.runs order by run_id") == [
        ("1",), ("0",),
    ]  # fmt: skip


def test_the_end_of_what_was_told_is_told_after_the_mute(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts, "btc_mxn")
    put(alerts, "eth_mxn")
    send(hook)
    mute(alerts, "all")
    close(alerts, "btc_mxn")
    alerts.rows("delete from marts.spread_alerts_live where book = 'eth_mxn'")
    send(hook)
    assert {event for _, event in events(hook.received)} == {"opened"}
    mute(alerts, "all", "0")
    send(hook)
    send(hook)
    assert sorted(events(hook.received)[2:]) == [("btc_mxn", "closed"), ("eth_mxn", "withdrawn")]


def test_the_follower_tells_when_a_mute_ends_though_nothing_comes_in(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts)
    put(alerts, "eth_mxn")
    mute(alerts, "btc_mxn", "4s")
    [(until,)] = alerts.rows("select muted_until from ops.alert_mutes")
    with follower(alerts, **channels(default=hook.address())):
        announce(alerts)
        told = {one.body["book"]: one for one in hook.wait_for(2)}
    assert set(told) == {"btc_mxn", "eth_mxn"}
    assert told["btc_mxn"].at >= until.timestamp()


def test_mutes_are_listed_shown_and_ended(alerts: Warehouse) -> None:
    mute(alerts, "XBT_mxn", "30m")
    mute(alerts, "all", "7d")
    listed = alerts.call("loader", "alerts", "mutes").stdout.splitlines()
    assert [line.partition(":")[0] for line in listed] == ["all", "btc_mxn"]
    status = alerts.call("loader", "status", "prune").stdout
    assert all(f"muted: {line}, since " in status for line in listed)
    shown = json.loads(alerts.call("loader", "status", "--format", "json", "prune").stdout)
    assert set(shown["facts"]["muted_until"]) == {"all", "btc_mxn"}
    done = alerts.call("loader", "alerts", "mute", "eth_mxn", "--for", "0")
    assert done.stdout == "eth_mxn: 0 mutes ended\n"
    done = alerts.call("loader", "alerts", "mute", "btc_mxn", "--for", "0")
    assert done.stdout == "btc_mxn: 1 mute ended\n"
    done = alerts.call("loader", "alerts", "mute", "all", "--for", "0")
    assert done.stdout == "all: 1 mute ended\n"
    assert alerts.call("loader", "alerts", "mutes").stdout == "nothing is muted\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["btc_mx", "--for", "2h"], "no such book: 'btc_mx': did you mean btc_mxn?"),
        (["\x1b[2J", "--for", "0"], "no such book: '\\x1b[2J'"),
        (["btc_mxn"], "Missing option '--for'."),
        *(
            (
                ["btc_mxn", "--for", length],
                f"{length!r} is not a length of time such as 30m, 2h or 7d",
            )
            for length in (
                "",
                "2",
                "-1h",
                "1.5h",
                "2 h",
                "h",
                "\u0661h",
                "2h\n",
            )
        ),
        *(
            (["btc_mxn", "--for", length], f"{length!r} is longer than 365 days")
            for length in ("366d", "31536001s", "99999d", "9" * 18 + "d")
        ),
    ],
)
def test_what_is_no_mute_is_wrong_usage(alerts: Warehouse, arguments: list[str], said: str) -> None:
    done = alerts.call("loader", "alerts", "mute", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert alerts.rows("select count(*) from ops.alert_mutes") == [(0,)]
    assert rows(alerts) == []
