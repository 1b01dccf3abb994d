"""A book is what a naive reading of its frames says it is, whatever the frames."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.stream.frames import (
    Ack,
    BadFrame,
    KeepAlive,
    Refusal,
    read_frame,
    read_snapshot,
    subscription,
)
from loader.stream.order_book import BUY, SELL, Diff, Level, Order, OrderBook, OutOfStepError
from loader.stream.tracked_book import MOST_OLDER, TrackedBook
from loader.warehouse.text import plain
from loader.warehouse.values import BadValueError

OIDS = st.sampled_from("abcdefgh")
# Few prices, so that levels are shared, and each written in several ways.
PRICES = st.sampled_from(["1", "1.0", "1.00000000", "2", "2.5", "02.50", "3e0", "10", "9.99999999"])
AMOUNTS = st.sampled_from(["1", "0.1", "0.00000001", "9999999999999999999.5", "0"])
ENTRIES = st.builds(
    lambda o, t, r, a, s: {"o": o, "t": t, "r": r, "s": s} | ({"a": a} if s == "open" else {}),
    OIDS, st.sampled_from([BUY, SELL]), PRICES, AMOUNTS,
    st.sampled_from(["open", "open", "open", "cancelled", "completed"]),
)  # fmt: skip


class NaiveBook:
    """A dictionary, and loops."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[int, Decimal, Decimal]] = {}

    def take(self, entry: dict[str, Any]) -> None:
        """Take an entry of a frame."""
        self.orders.pop(entry["o"], None)
        if entry["s"] == "open" and Decimal(entry["a"]):
            self.orders[entry["o"]] = (entry["t"], Decimal(entry["r"]), Decimal(entry["a"]))

    def levels(self, wanted: int) -> list[tuple[Fraction, Fraction]]:
        """The levels of a side, best first."""
        sums: dict[Fraction, Fraction] = {}
        for side, price, amount in self.orders.values():
            if side == wanted:
                sums[Fraction(price)] = sums.get(Fraction(price), Fraction()) + Fraction(amount)
        return sorted(sums.items(), reverse=wanted == BUY)


def fractions(levels: list[Level]) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(price), Fraction(amount)) for price, amount in levels]


def frame(book: str, sequence: int, payload: list[dict[str, Any]], sent: int = 7) -> str:
    return json.dumps({"type": "diff-orders", "book": book, "sequence": sequence,
                       "payload": payload, "sent": sent})  # fmt: skip


def diff(sequence: int, *payload: dict[str, Any]) -> Diff:
    read = read_frame(frame("btc_mxn", sequence, list(payload)))
    assert isinstance(read, Diff)
    return read


def opened(oid: str, side: int, price: str, amount: str = "1") -> dict[str, Any]:
    return {"o": oid, "t": side, "r": price, "a": amount, "s": "open"}


@given(st.lists(st.lists(ENTRIES, max_size=11)), st.integers(1, 4))
def test_a_book_equals_the_naive_one_under_any_frames(
    frames: list[list[dict[str, Any]]], depth: int
) -> None:
    book, naive = OrderBook(0), NaiveBook()
    for sequence, payload in enumerate(frames, start=1):
        assert book.apply(diff(sequence, *payload))
        for entry in payload:
            naive.take(entry)
        bids, asks = naive.levels(BUY), naive.levels(SELL)
        assert (fractions(book.bids(100)), fractions(book.asks(100))) == (bids, asks)
        assert fractions(book.bids(depth)) == bids[:depth]
        assert fractions(book.asks(depth)) == asks[:depth]
        assert book.best_bid == (bids[0][0] if bids else None)
        assert book.best_ask == (asks[0][0] if asks else None)


@given(st.lists(st.lists(ENTRIES, max_size=3), min_size=1, max_size=12), st.data())
def test_frames_that_wait_for_a_snapshot_lead_to_the_same_book(
    frames: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    diffs = [diff(number, *payload) for number, payload in enumerate(frames, start=1)]
    whole = OrderBook(0)
    first = data.draw(st.integers(0, len(diffs)), label="subscribed after")
    made = data.draw(st.integers(first, len(diffs)), label="snapshot after")
    arrived = data.draw(st.integers(made, len(diffs)), label="snapshot arrives after")
    snapshot = OrderBook(0)
    tracked = TrackedBook("btc_mxn", 10)
    for number, one in enumerate(diffs, start=1):
        whole.apply(one)
        if number <= made:
            snapshot.apply(one)
    tracked.is_subscribed = True
    for number in range(first, arrived):
        tracked.take(diffs[number])
    assert tracked.seed(snapshot) is None
    for number in range(arrived, len(diffs)):
        assert tracked.take(diffs[number])
    assert tracked.book is not None
    assert tracked.book.sequence == whole.sequence
    assert (tracked.book.bids(9), tracked.book.asks(9)) == (whole.bids(9), whole.asks(9))


def test_what_is_known_is_discarded_and_what_is_missing_is_told() -> None:
    book = OrderBook(5)
    assert not book.apply(diff(5, opened("a", BUY, "1")))
    assert book.best_bid is None
    with pytest.raises(OutOfStepError, match="7 came after 5"):
        book.apply(diff(7))
    assert book.apply(diff(6, opened("a", BUY, "1")))
    assert (book.sequence, book.changed) == (6, 7)


def test_a_gap_costs_this_book_its_step_until_a_newer_snapshot() -> None:
    tracked = TrackedBook("btc_mxn", 10)
    tracked.is_subscribed = True
    assert tracked.seed(OrderBook(5)) is None
    assert not tracked.take(diff(8, opened("a", BUY, "1")))
    assert (tracked.book, tracked.cause, tracked.wants_snapshot) == (None, "resync", True)
    assert tracked.take(diff(9))
    assert tracked.seed(OrderBook(6)) == "the snapshot (6) is older than the frames (8)"
    assert tracked.seed(OrderBook(7)) is None
    assert tracked.book is not None
    assert (tracked.book.sequence, tracked.book.best_bid) == (9, Decimal(1))


def test_a_hole_among_frames_that_wait_needs_a_snapshot_from_behind_it() -> None:
    tracked = TrackedBook("btc_mxn", 10)
    for sequence in (3, 4, 4, 7, 8):
        tracked.take(diff(sequence))
    assert tracked.seed(OrderBook(4)) is not None
    assert tracked.seed(OrderBook(6)) is None


def test_a_snapshot_from_before_what_was_seen_is_not_believed_until_it_stays_so() -> None:
    tracked = TrackedBook("btc_mxn", 10)
    tracked.is_subscribed = True
    tracked.seed(OrderBook(100))
    tracked.disconnect()
    for _ in range(MOST_OLDER):
        assert tracked.seed(OrderBook(99)) == (
            "the snapshot (99) is older than what was seen (100)"
        )
    assert tracked.seed(OrderBook(99)) is None


def test_falling_out_again_keeps_the_first_cause_and_makes_snapshots_useless() -> None:
    tracked = TrackedBook("btc_mxn", 10)
    tracked.disconnect()
    assert tracked.cause == "starting"
    tracked.seed(OrderBook(1))
    before = tracked.generation
    tracked.lose("stale")
    tracked.disconnect()
    assert (tracked.cause, tracked.is_subscribed) == ("stale", False)
    assert tracked.generation == before + 2


def test_a_sample_is_what_the_row_holds() -> None:
    tracked = TrackedBook("btc_mxn", 2)
    tracked.seed(OrderBook(5))
    tracked.take(diff(6, opened("a", BUY, "1.50000000"), opened("b", BUY, "1.5", "0.25")))
    tracked.take(diff(7, opened("c", BUY, "1000.00000000"), opened("d", BUY, "0.00000001")))
    sample = tracked.sample("2026-11-24T00:00:00.001+00:00")
    assert sample[:4] == ("btc_mxn", 7, "1000", None)
    assert json.loads(sample.payload) == {
        "sampled_at": "2026-11-24T00:00:00.001+00:00",
        "bids": [["1000", "1"], ["1.5", "1.25"]],
        "asks": [],
        "changed_at": "1970-01-01T00:00:00.007000+00:00",
    }
    tracked.take(diff(8, {"o": "c", "s": "completed"}))
    assert tracked.sample("x").bid == "1.5"


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_numbers_are_the_same_numbers(number: Decimal) -> None:
    text = plain(number)
    assert Decimal(text) == number
    assert "e" not in text.lower()


# ------------------------------------------------------------------- frames

ALREADY = (
    '{"action":"subscribe","response":"Already subscribed to channel: diff-orders:btc_usd",'
    '"time":1790127053553,"type":"diff-orders","book":"btc_usd"}'
)
UNKNOWN = (
    '{"action":"subscribe","type":"diff-orders",'
    '"error":"This book is not supported - nope_usd","time":1790127035180}'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"ka"}', KeepAlive()),
        ('{"action":"subscribe","response":"ok","type":"diff-orders","book":"btc_usd"}',
         Ack("btc_usd")),
        (ALREADY, Ack("btc_usd")),
        # an answer to what we did not ask
        ('{"action":"subscribe","response":"ok","type":"orders","book":"btc_usd"}', KeepAlive()),
        ('{"action":"unsubscribe","response":"ok","type":"diff-orders","book":"btc_usd"}',
         KeepAlive()),
        (UNKNOWN,
         Refusal("nope_usd", "This book is not supported - nope_usd")),
        ('{"error":"invalid message","time":1}', Refusal("", "invalid message")),
    ],
)  # fmt: skip
def test_what_is_no_diff(text: str, expected: object) -> None:
    assert read_frame(text) == expected


def test_a_diff_is_read_in_any_order_of_keys_and_without_a_float() -> None:
    text = (
        '{"sent":1784133074040,"book":"btc_mxn","payload":[{"z":0,"s":"open","v":"0.1","r":'
        '"1129790.000000000000000001","a":"0.1","d":1784133074027,"o":"2Sp","t":0},'
        '{"o":"9sX","d":1,"r":"1","t":1,"s":"completed","z":1},'
        '{"o":"8sX","d":1,"r":"1","t":1,"s":"cancelled","a":"3","v":"3","z":1}],'
        '"sequence":4387138265,"type":"diff-orders","surprise":0.1}'
    )
    assert read_frame(text) == Diff(
        "btc_mxn", 4387138265,
        (
            Order("2Sp", BUY, Decimal("1129790.000000000000000001"), Decimal("0.1")),
            Order("9sX", BUY, None, None),
            Order("8sX", BUY, None, None),
        ),
        1784133074040,
    )  # fmt: skip


GOOD = {"type": "diff-orders", "book": "btc_mxn", "sequence": 1, "payload": [], "sent": 1}


@pytest.mark.parametrize(
    ("message", "code", "book"),
    [
        (b"\x00\xff", "not_text", ""),
        ("", "not_json", ""),
        ('{"type":"diff-orders","book":"btc_mxn","sequ', "not_json", "btc_mxn"),
        ("[" * 100_000, "not_json", ""),
        ('{"sequence":' + "7" * 5000 + "}", "not_json", ""),
        ("[]", "unknown_frame", ""),
        ('{"type":"surprise"}', "unknown_frame", ""),
        ("{}", "unknown_frame", ""),
        (json.dumps({**GOOD, "book": None}), "not_a_text", ""),
        (json.dumps({**GOOD, "sequence": -1}), "not_a_sequence", "btc_mxn"),
        (json.dumps({**GOOD, "sequence": True}), "not_a_sequence", "btc_mxn"),
        (json.dumps({**GOOD, "sequence": 2**63}), "not_a_sequence", "btc_mxn"),
        (json.dumps({**GOOD, "sequence": 1.5}), "not_a_sequence", "btc_mxn"),
        (json.dumps({**GOOD, "payload": {}}), "not_an_array", "btc_mxn"),
        (json.dumps({**GOOD, "payload": ["x"]}), "not_an_object", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [{"s": "open"}]}), "not_a_text", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [{"o": "a"}]}), "not_a_text", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [opened("a", 2, "1")]}), "not_a_side", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [opened("a", True, "1")]}), "not_a_side", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [opened("a", BUY, "0")]}), "not_positive", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [opened("a", BUY, "NaN")]}), "not_a_number", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [opened("a", BUY, "1", "-1")]}), "negative", "btc_mxn"),
        (json.dumps({**GOOD, "payload": [{"o": "a", "s": "open", "t": 0, "r": "1"}]}),
         "not_a_number", "btc_mxn"),
    ],
)  # fmt: skip
def test_a_bad_frame_says_why_and_whose(message: str | bytes, code: str, book: str) -> None:
    bad = read_frame(message)
    assert isinstance(bad, BadFrame)
    assert (bad.code, bad.book) == (code, book)
    assert bad.reason


@given(st.one_of(st.text(), st.binary(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["type", "book", "sequence", "payload", "sent", "error", "o", "s"]), inner),
).map(json.dumps)))  # fmt: skip
def test_no_message_is_too_strange(message: str | bytes) -> None:
    read_frame(message)


def test_a_subscription_is_one_book_and_one_channel() -> None:
    assert json.loads(subscription("btc_mxn")) == {
        "action": "subscribe", "book": "btc_mxn", "type": "diff-orders",
    }  # fmt: skip


# ---------------------------------------------------------------- snapshots


def reply(**changes: Any) -> str:
    payload = {
        "updated_at": "2026-09-23T01:18:16+00:00",
        "sequence": "4520986709",
        "bids": [{"book": "btc_mxn", "price": "1.5", "amount": "0.02", "oid": "a"}],
        "asks": [{"book": "btc_mxn", "price": "2", "amount": "1", "oid": "b"}],
    }
    return json.dumps({"success": True, "payload": {**payload, **changes}})


def test_a_snapshot_is_a_book() -> None:
    book = read_snapshot("btc_mxn", reply())
    assert (book.sequence, book.best_bid, book.best_ask) == (4520986709, Decimal("1.5"), Decimal(2))


def test_an_order_of_a_snapshot_is_cancelled_by_its_id() -> None:
    book = read_snapshot("btc_mxn", reply())
    book.apply(diff(4520986710, {"o": "a", "s": "cancelled", "r": "99", "t": 1}))
    assert (book.best_bid, book.best_ask) == (None, Decimal(2))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<html>", "not_json"),
        ("[]", "wrong_shape"),
        ('{"success":true}', "wrong_shape"),
        (reply(bids=None), "not_an_array"),
        (reply(sequence="x"), "not_a_sequence"),
        (reply(asks=[{"book": "eth_mxn", "price": "1", "amount": "1", "oid": "c"}]), "wrong_book"),
        (reply(asks=[{"price": "1", "amount": "1"}]), "missing_key"),
        (reply(asks=[{"price": "0", "amount": "1", "oid": "c"}]), "not_positive"),
    ],
)
def test_a_bad_snapshot_is_refused(text: str, code: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read_snapshot("btc_mxn", text)
    assert caught.value.code == code
