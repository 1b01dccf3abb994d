"""What an address was told agrees with what the models say, however late rows change it."""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.conftest import Warehouse
from tests.receiver import Receiver
from tests.telling import close, deliveries, events, minutes_ago, put, put_back, send

PARTS = [(20, 16), (14, 10), (8, 4)]


def told(hook: Receiver) -> list[str]:
    return [one.body["event"] for one in hook.received]


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_an_alert_that_later_rows_take_away_is_withdrawn_once(
    alerts: Warehouse, hook: Receiver, *, is_closed: bool
) -> None:
    put(alerts, closed=5 if is_closed else None)
    send(hook)
    alerts.rows("delete from marts.spread_alerts_live")
    before = told(hook)
    for _ in range(3):
        send(hook)
    assert told(hook) == [*before, "withdrawn"]
    body = hook.received[-1].body
    assert (body["book"], body["threshold"], body["is_repeat"]) == ("btc_mxn", "0.5 %", "false")
    assert body["since"] == f"{minutes_ago(10):%Y-%m-%dT%H:%M:%SZ}"
    assert body["idempotency_key"] not in {one.key for one in hook.received[:-1]}
    # What comes after it is another one, and so is itself if it is open after all.
    put(alerts, opened=9)
    send(hook)
    send(hook)
    assert told(hook)[len(before) + 1 :] == ["opened"]
    close(alerts)
    send(hook)
    assert told(hook)[len(before) + 1 :] == ["opened", "closed"]


def test_what_may_come_back_is_not_withdrawn_and_not_told_again(
    alerts: Warehouse, hook: Receiver
) -> None:
    """Its run is not modelled yet, and the live view does not judge its time by itself."""
    put(alerts)
    send(hook)
    alerts.rows("delete from marts.spread_alerts_live")
    alerts.rows("update marts.alerts_judged set judged_until = %s", minutes_ago(30))
    send(hook)
    # The rest of it looks like another one meanwhile.
    put(alerts, opened=5)
    send(hook)
    assert told(hook) == ["opened"]
    # It is back.
    alerts.rows("update marts.spread_alerts_live set opened_at = %s", minutes_ago(10))
    close(alerts)
    alerts.rows("update marts.alerts_judged set judged_until = 'infinity'")
    send(hook)
    send(hook)
    assert told(hook) == ["opened", "closed"]


def test_where_the_live_view_judges_by_itself_it_is_withdrawn_at_once(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts)
    send(hook)
    alerts.rows("delete from marts.spread_alerts_live")
    alerts.rows(
        "update marts.alerts_judged set judged_until = %s, fresh_from = %s",
        minutes_ago(60), minutes_ago(11),
    )  # fmt: skip
    send(hook)
    assert told(hook) == ["opened", "withdrawn"]


def test_an_opening_that_never_arrived_is_not_taken_back(alerts: Warehouse, hook: Receiver) -> None:
    put(alerts)
    hook.statuses["/hook"] = 503
    send(hook, fails=1)
    hook.statuses.clear()
    alerts.rows("delete from marts.spread_alerts_live")
    alerts.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    send(hook)
    send(hook)
    assert told(hook) == ["opened"]
    assert alerts.rows("select is_open, retry_at from ops.alert_deliveries") == [(False, None)]


def test_a_threshold_that_is_gone_takes_back_nothing_that_was_over(
    alerts: Warehouse, hook: Receiver
) -> None:
    put(alerts, closed=5)
    send(hook)
    alerts.rows("delete from marts.spread_alerts_live")
    alerts.rows("delete from marts.book_thresholds")
    send(hook)
    assert told(hook) == ["opened", "closed"]


# Every way in which three stretches of a book, told as they came, can be one, two or three alerts
# afterwards, open or closed at the end.
SHAPES = [PARTS, [(20, 10), (8, 4)], [(20, 16), (14, 4)], [(20, 4)]]


@pytest.mark.parametrize("stays_open", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize(("first", "then"), list(itertools.product(range(len(SHAPES)), repeat=2)))
def test_after_splits_and_joins_nobody_believes_what_is_not_so(
    alerts: Warehouse, hook: Receiver, first: int, then: int, *, stays_open: bool
) -> None:
    def show(shape: int) -> None:
        alerts.rows("delete from marts.spread_alerts_live")
        for opened, closed in SHAPES[shape]:
            is_last = closed == PARTS[-1][1]
            put(alerts, opened=opened, closed=None if is_last and stays_open else closed)
            if is_last and stays_open:
                alerts.rows(
                    "update marts.spread_alerts_live set last_observed_at = %s "
                    "where closed_at is null",
                    minutes_ago(closed),
                )

    def check() -> None:
        send(hook)
        sofar = told(hook)
        # To who listens it is open or it is not, in turns, and in the end as it is.
        assert sofar == ["opened" if place % 2 == 0 else "closed" for place in range(len(sofar))]
        assert sofar[-1] == ("opened" if stays_open else "closed")

    show(first)
    check()
    show(then)
    check()
    count = len(hook.received)
    send(hook)
    assert len(hook.received) == count
    if stays_open:
        alerts.rows(
            "update marts.spread_alerts_live set closed_at = %s, close_reason = 'calm' "
            "where closed_at is null",
            minutes_ago(3),
        )
        send(hook)
        assert told(hook)[count:] == ["closed"]
    put_back(alerts)
    send(hook)
    assert told(hook)[-1] == "withdrawn"


def test_an_alert_that_goes_on_after_all_is_told_again(alerts: Warehouse, hook: Receiver) -> None:
    """As when the stream brings what it saw while it could not write."""
    put(alerts, closed=5, reason="blind")
    send(hook)
    alerts.rows(
        "update marts.spread_alerts_live set closed_at = null, close_reason = null, "
        "last_observed_at = %s",
        minutes_ago(1),
    )
    for _ in range(3):
        send(hook)
    assert told(hook) == ["opened", "closed", "opened"]
    close(alerts, at=0.5)
    for _ in range(3):
        send(hook)
    assert told(hook) == ["opened", "closed", "opened", "closed"]
    assert alerts.rows("select count(*) from ops.alert_deliveries where is_open") == [(0,)]


def test_how_far_an_alert_reaches_is_noted(alerts: Warehouse, hook: Receiver) -> None:
    """So that a late calm row in the middle of it does not end what still is."""
    put(alerts, opened=10)
    send(hook)
    alerts.rows("update marts.spread_alerts_live set last_observed_at = %s", minutes_ago(2))
    send(hook)
    close(alerts, at=6)
    put(alerts, opened=5.9)
    send(hook)
    assert told(hook) == ["opened"]
    alerts.rows(
        "update marts.spread_alerts_live set closed_at = %s, close_reason = 'calm' "
        "where closed_at is null",
        minutes_ago(1),
    )
    send(hook)
    assert told(hook) == ["opened", "closed"]


def test_thresholds_of_a_book_that_open_together_are_one_message(
    alerts: Warehouse, hook: Receiver
) -> None:
    for pct in ("1", "0.1", "0.5"):
        put(alerts, threshold=pct)
    put(alerts, book="eth_mxn")
    send(hook)
    send(hook)
    assert sorted(events(hook.received)) == [("btc_mxn", "opened"), ("eth_mxn", "opened")]
    opened = next(one.body for one in hook.received if one.body["book"] == "btc_mxn")
    assert (opened["threshold"], opened["thresholds"]) == ("1 %", "0.1 %, 0.5 %, 1 %")
    assert opened["title"] == "btc_mxn: spread is above 1 %"
    # A row of the ledger for each all the same.
    rows = deliveries(alerts, "btc_mxn")
    assert [row[:3] for row in rows] == [
        (Decimal(pct), "opened", "sent") for pct in ("0.1", "0.5", "1")
    ]
    assert {row[3] for row in rows} == {opened["idempotency_key"]}
    # One closes, then the others.
    alerts.rows(
        "update marts.spread_alerts_live set closed_at = %s, close_reason = 'calm' "
        "where book = 'btc_mxn' and threshold_pct = 1",
        minutes_ago(2),
    )
    send(hook)
    close(alerts)
    alerts.rows(
        "update marts.spread_alerts_live set closed_at = %s where threshold_pct = 1", minutes_ago(2)
    )
    send(hook)
    send(hook)
    closed = [one.body for one in hook.received if one.body["event"] == "closed"]
    assert [one["thresholds"] for one in closed] == ["1 %", "0.1 %, 0.5 %"]
    assert closed[1]["title"] == "btc_mxn: spread is no longer above 0.1 %"


def test_a_message_of_several_is_repeated_as_a_whole(alerts: Warehouse, hook: Receiver) -> None:
    for pct in ("0.1", "1"):
        put(alerts, threshold=pct)
    hook.statuses["/hook"] = 500
    send(hook, fails=1)
    hook.statuses.clear()
    # Meanwhile there is another one.
    put(alerts, threshold="2")
    alerts.rows("update ops.alert_deliveries set retry_at = now() where retry_at is not null")
    send(hook)
    first, again, other = (one.body for one in hook.received)
    assert first["idempotency_key"] == again["idempotency_key"] != other["idempotency_key"]
    assert (again["thresholds"], other["thresholds"]) == ("0.1 %, 1 %", "2 %")
    assert again["is_repeat"] == "false"


def test_the_closing_message_agrees_with_itself(alerts: Warehouse, hook: Receiver) -> None:
    """The quote that closed it, modelled or as it came in, and the limit that it fell below."""
    for book, is_modelled in (("btc_mxn", True), ("eth_mxn", False)):
        put(alerts, book, closed=1.5, close_below="0.25")
        quote = (minutes_ago(1.5), book, Decimal(998), Decimal(1000))
        if is_modelled:
            alerts.rows(
                "insert into marts.spread_observations values (%s, %s, %s, %s, 0.2, true)", *quote
            )
        else:
            alerts.rows("select raw.ensure_day('bitso_tickers', %s::date)", quote[0])
            alerts.rows(
                "insert into raw.bitso_tickers values (%s, %s, %s, %s, '{}', 1)", *quote,
                role="loader",
            )  # fmt: skip
    send(hook)
    closed = {one.body["book"]: one.body for one in hook.received if one.body["event"] == "closed"}
    for body in closed.values():
        assert (body["spread"], body["bid"], body["ask"]) == ("0.2 %", "998", "1000")
        assert (body["closes_below"], body["peak"]) == ("0.25 %", "1.25 %")
        assert body["duration"] == str(timedelta(minutes=8.5))
        assert body["reason"] == "calm: the spread is back below"
    assert set(closed) == {"btc_mxn", "eth_mxn"}


@pytest.mark.parametrize("reason", ["blind", "threshold removed", "any other 100% reason"])
def test_any_reason_is_carried(alerts: Warehouse, hook: Receiver, reason: str) -> None:
    put(alerts, closed=1, reason=reason)
    send(hook)
    body = hook.received[-1].body
    assert body["reason"].startswith(reason)
    assert body["spread"] == "not known"
    assert body["type"] == "warning"
    assert body["title"].startswith("btc_mxn: no ")
