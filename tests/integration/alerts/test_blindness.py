"""A book that is not seen is told of like an alert: once with its cause, and once when it is seen.

What blindness is, is the mart's business: here it is what the test says.
"""

import pytest

from tests.conftest import Warehouse
from tests.receiver import Receiver
from tests.telling import channels, events, follower, minutes_ago, rows, send

BOOKS = ("btc_mxn", "eth_mxn", "usd_mxn")


@pytest.fixture
def books(alerts: Warehouse) -> Warehouse:
    """Three watched books that are seen."""
    for book in BOOKS:
        alerts.rows(
            "insert into marts.book_states values (%s, false, %s, null, null)", book, minutes_ago(0)
        )
        alerts.rows("insert into marts.book_thresholds values (%s, 0.5, 0.5, 'default')", book)
    return alerts


def go_blind(
    warehouse: Warehouse, *books: str, ago: float = 3, cause: str = "the stream was killed"
) -> None:
    warehouse.rows(
        "update marts.book_states set is_blind = true, blind_since = %s, cause = %s "
        "where book = any(%s)",
        minutes_ago(ago), cause, list(books),
    )  # fmt: skip


def see(warehouse: Warehouse, *books: str) -> None:
    warehouse.rows(
        "update marts.book_states set is_blind = false, blind_since = null, cause = null "
        "where book = any(%s)",
        list(books),
    )


def test_a_book_is_told_blind_once_and_seen_once(books: Warehouse, hook: Receiver) -> None:
    send(hook)
    assert hook.received == []
    # However long ago: it is so now.
    go_blind(books, "btc_mxn", ago=5000)
    send(hook)
    send(hook)
    [blind] = hook.received
    assert blind.body["title"] == "btc_mxn: not seen: the stream was killed"
    assert blind.body["type"] == "warning"
    facts = {
        "event": "blind", "book": "btc_mxn", "cause": "the stream was killed",
        "since": f"{minutes_ago(5000):%Y-%m-%dT%H:%M:%SZ}", "is_repeat": "false",
    }  # fmt: skip
    assert {name: blind.body[name] for name in facts} == facts
    assert blind.body["idempotency_key"] == blind.key
    # A late row, and another cause: still the same silence.
    go_blind(books, "btc_mxn", ago=4000, cause="nobody watches")
    send(hook)
    see(books, "btc_mxn")
    send(hook)
    send(hook)
    assert events(hook.received) == [("btc_mxn", "blind"), ("btc_mxn", "seen")]
    assert hook.received[1].body["title"] == "btc_mxn: seen again"
    assert hook.received[1].body["type"] == "success"
    go_blind(books, "btc_mxn", ago=1)
    send(hook)
    assert events(hook.received)[2:] == [("btc_mxn", "blind")]
    assert books.rows("select count(*) from ops.alert_deliveries where is_open") == [(1,)]


def test_books_that_go_at_once_are_one_message_a_cause(books: Warehouse, hook: Receiver) -> None:
    go_blind(books, "btc_mxn", ago=3)
    go_blind(books, "usd_mxn", ago=2.9)
    go_blind(books, "eth_mxn", cause="no poll since noon")
    send(hook)
    assert sorted(events(hook.received)) == [("btc_mxn, usd_mxn", "blind"), ("eth_mxn", "blind")]
    assert len(rows(books)) == 3
    see(books, *BOOKS)
    send(hook)
    send(hook)
    assert events(hook.received)[2:] == [("btc_mxn, eth_mxn, usd_mxn", "seen")]


def test_a_blindness_that_did_not_go_through_is_tried_again(
    books: Warehouse, hook: Receiver
) -> None:
    go_blind(books, "btc_mxn")
    hook.statuses["/hook"] = 503
    send(hook, fails=1)
    send(hook)
    assert len(hook.received) == 1
    hook.statuses.clear()
    books.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    send(hook)
    assert events(hook.received) == [("btc_mxn", "blind")] * 2
    assert hook.received[0].key == hook.received[1].key
    # One that nobody heard of is not told to be over.
    go_blind(books, "eth_mxn")
    hook.statuses["/hook"] = 503
    send(hook, fails=1)
    hook.statuses.clear()
    see(books, "eth_mxn")
    send(hook)
    assert len(hook.received) == 3


def test_who_is_told_is_who_hears_of_its_alerts(books: Warehouse, hook: Receiver) -> None:
    books.rows("update marts.book_thresholds set channels = 'desk' where book = 'btc_mxn'")
    # Nobody has a threshold for it yet.
    books.rows("delete from marts.book_thresholds where book = 'eth_mxn'")
    go_blind(books, "btc_mxn")
    go_blind(books, "eth_mxn", cause="another")
    where = channels(desk=hook.address("/desk"), default=hook.address("/default"))
    assert books.call("loader", "alerts", **where).returncode == 0
    assert sorted(one.what for one in hook.received) == [
        ("/default", "eth_mxn", "blind"), ("/desk", "btc_mxn", "blind"),
        ("/desk", "eth_mxn", "blind"),
    ]  # fmt: skip


def test_a_book_that_nobody_watches_any_more_is_forgotten(books: Warehouse, hook: Receiver) -> None:
    go_blind(books, "btc_mxn")
    send(hook)
    books.rows("delete from marts.book_states where book = 'btc_mxn'")
    send(hook)
    assert events(hook.received) == [("btc_mxn", "blind")]
    assert books.rows("select count(*) from ops.alert_deliveries where is_open") == [(0,)]


def test_a_muted_book_may_be_blind(books: Warehouse, hook: Receiver) -> None:
    books.rows(
        "insert into ops.alert_mutes (book, muted_from, muted_until) values ('btc_mxn', %s, %s)",
        minutes_ago(10), minutes_ago(-10),
    )  # fmt: skip
    go_blind(books, "btc_mxn")
    send(hook)
    assert hook.received == []
    books.rows("update ops.alert_mutes set muted_until = now()")
    send(hook)
    assert events(hook.received) == [("btc_mxn", "blind")]


def test_without_the_marts_alerts_go_on(books: Warehouse, hook: Receiver) -> None:
    """As after an upgrade, until dbt has run."""
    books.rows("drop table marts.book_states, marts.alerts_judged")
    send(hook)
    assert hook.received == []


def test_what_a_cause_quotes_is_bounded_and_acts_on_nobody(
    books: Warehouse, hook: Receiver
) -> None:
    go_blind(books, "btc_mxn", cause="\x1b[2J\n" + "x" * 100_000)
    send(hook)
    body = hook.received[0].body
    assert len(body["cause"]) == 500
    assert "\x1b" not in body["cause"] + body["title"]
    assert "\n" not in body["title"]


def test_the_follower_tells_by_itself(books: Warehouse, hook: Receiver) -> None:
    go_blind(books, "btc_mxn", "usd_mxn")
    with follower(books, **channels(default=hook.address())):
        assert events(hook.wait_for(1)) == [("btc_mxn, usd_mxn", "blind")]
