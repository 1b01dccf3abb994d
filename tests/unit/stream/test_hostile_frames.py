"""Whatever a frame holds costs that frame or its book's step, in bounded time and memory."""

import json
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.stream.frames import MOST_KEPT_CHARACTERS, BadFrame, Frame, read_frame
from loader.stream.order_book import BUY, MOST_ORDERS, Diff, Order, OrderBook
from loader.stream.socket import LONGEST_FRAME_BYTES
from loader.stream.tracked_book import MOST_OLDER, MOST_WAITING_ORDERS, TrackedBook
from loader.warehouse.values import MAX_DIGITS, TOO_LARGE, BadValueError

ENTRY = {"o": "a", "t": 0, "r": "1", "a": "1", "s": "open"}
FRAME = {"type": "diff-orders", "book": "btc_mxn", "sequence": 1, "payload": [ENTRY], "sent": 1}
# No frame may take as long, on a machine however slow, nor so much memory.
MOST_CPU_SECONDS = 5.0
MOST_MEMORY = 40 * LONGEST_FRAME_BYTES

HERE = "@here@"
# As JSON.
NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1E99999999", "-1E99999999", "1E-99999999", "1e1000000",
    "1E999", "1E-999", "9" * 4000, "9" * 5000, "-0.0", "1E9999999999999999999999999",
    "1." + "7" * MAX_DIGITS,
)  # fmt: skip
VALUES = (
    "null", "true", "[]", "{}", '""', r'"\u0000"', r'"\ud800"', '"x"', "-1", "1.5",
    "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900,
    *NUMBERS, *(f'"{number}"' for number in NUMBERS),
)  # fmt: skip
# As long as a frame can be.
LONG_VALUES = (
    "1." + "7" * (1 << 20), "7" * (1 << 20), '"' + "x" * (1 << 20) + '"', "[" * (1 << 20),
)  # fmt: skip
PLACES = (
    *({**FRAME, name: HERE} for name in (*FRAME, "surprise")),
    *({**FRAME, "payload": [{**ENTRY, name: HERE}]} for name in (*ENTRY, "z")),
    {"error": HERE}, {"response": "ok", "action": "subscribe", "type": "diff-orders", "book": HERE},
    {"response": HERE}, {"type": HERE},
)  # fmt: skip


def in_step() -> TrackedBook:
    tracked = TrackedBook("btc_mxn", 1000)
    tracked.seed(OrderBook(0, [Order("z", BUY, Decimal("0.5"), Decimal(1))]))
    return tracked


def after(message: str, tracked: TrackedBook | None = None) -> Frame:
    """What a message says; a book in step that has it can be sampled, if it still is in step."""
    tracked = tracked or in_step()
    frame = read_frame(message)
    if isinstance(frame, Diff):
        tracked.take(frame)
    if tracked.book:
        sample = tracked.sample("2026-11-24T00:00:00+00:00")
        payload = json.loads(sample.payload)
        for price, amount in [*payload["bids"], *payload["asks"]]:
            assert 0 < Decimal(price) < TOO_LARGE
            assert Decimal(amount) > 0
        assert len(sample.payload) < 10 * MAX_DIGITS
    return frame


@pytest.mark.parametrize("place", PLACES, ids=json.dumps)
def test_any_value_in_any_place_is_taken_or_told(place: dict[str, Any]) -> None:
    for value in VALUES:
        taken_or_told(place, value)


@pytest.mark.parametrize("place", [PLACES[5], PLACES[8], PLACES[12]], ids=json.dumps)
def test_a_long_value_is_taken_or_told(place: dict[str, Any]) -> None:
    for value in LONG_VALUES:
        taken_or_told(place, value)


def taken_or_told(place: dict[str, Any], value: str) -> None:
    message = json.dumps(place).replace(f'"{HERE}"', value)
    begun = time.process_time()
    frame = after(message)
    assert time.process_time() - begun < MOST_CPU_SECONDS
    if isinstance(frame, BadFrame):
        assert frame.reason.isprintable()
        assert len(frame.reason) < 200
        assert len(frame.raw) <= MOST_KEPT_CHARACTERS


def test_a_huge_exponent_takes_no_longer_than_one() -> None:
    def seconds(number: str) -> float:
        message = json.dumps(FRAME).replace('"r": "1"', f'"r": {number}')
        assert message.count(number)
        begun = time.process_time()
        for _ in range(300):
            after(message)
        return time.process_time() - begun

    # The least of several: whatever else the machine does only adds to it.
    usual, huge = (min(seconds(number) for _ in range(5)) for number in ("1.5", "1E99999999"))
    assert huge < 5 * usual


@pytest.mark.parametrize(
    "fill",
    [lambda n: "[" + "{}," * (n // 3) + "{}]",
     lambda n: "[" + "0.1," * (n // 4) + "1]",
     lambda n: "{" + ",".join(f'"{i}":1' for i in range(n // 10)) + "}"],
    ids=["objects", "numbers", "names"],
)  # fmt: skip
def test_the_longest_frame_takes_bounded_memory(fill: Callable[[int], str]) -> None:
    message = fill(LONGEST_FRAME_BYTES - 10)
    tracemalloc.start()
    read_frame(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_MEMORY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["open", "1", "1e3", "0", "a", "ka", "btc_mxn", 0, 1, 2]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*FRAME, *ENTRY, "error", "response"]), inner),
    max_leaves=12,
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*FRAME, "error"], JSON)), st.data())
def test_no_frame_that_is_json_is_too_strange(frame: dict[str, Any], data: st.DataObject) -> None:
    changed = {key: data.draw(JSON) for key in data.draw(st.sets(st.sampled_from([*ENTRY])))}
    after(json.dumps({**FRAME, **frame}))
    after(json.dumps({**FRAME, "payload": [{**ENTRY, **changed}]}))


def test_the_sum_of_the_longest_amounts_is_exact() -> None:
    amounts = ["9" * 19 + "." + "9" * (MAX_DIGITS - 20), "0." + "1" * (MAX_DIGITS - 2)]
    entries = [{**ENTRY, "o": str(n), "a": amount} for n, amount in enumerate(amounts)]
    tracked = in_step()
    after(json.dumps({**FRAME, "payload": entries}), tracked)
    assert tracked.book
    [(_, total), _] = tracked.book.bids(9)
    assert Fraction(total) == sum(map(Fraction, amounts))


def test_a_frame_names_the_book_that_it_is_of_and_none_that_it_only_mentions() -> None:
    nested = {**FRAME, "payload": [{"book": "eth_mxn"}]}
    read = [
        read_frame(json.dumps({"x": {"book": "eth_mxn"}, **nested})),
        read_frame(json.dumps({**nested, "book": "B" * 400})),
        read_frame(json.dumps({**FRAME, "book": "btc_mxn"})[:-5]),
    ]
    assert [frame.book for frame in read if isinstance(frame, BadFrame)] == [
        "btc_mxn", "", "btc_mxn",
    ]  # fmt: skip


def test_a_frame_from_far_ahead_keeps_a_book_out_only_until_snapshots_deny_it() -> None:
    tracked = in_step()
    after(json.dumps({**FRAME, "sequence": 2**62}), tracked)
    assert tracked.book is None
    for sequence in range(1, 99):
        tracked.take(Diff("btc_mxn", sequence, (), 0))
        if tracked.seed(OrderBook(sequence)) is None:
            break
    assert sequence <= 2 * MOST_OLDER
    assert tracked.book


def test_neither_a_book_nor_what_waits_for_one_grows_without_end() -> None:
    def diff(sequence: int, count: int) -> Diff:
        orders = (
            Order(f"{sequence}.{n}", BUY, Decimal(1), Decimal(1)) for n in range(count)
        )  # fmt: skip
        return Diff("btc_mxn", sequence, tuple(orders), 0)

    size = MOST_ORDERS // 4
    book = OrderBook(0)
    for sequence in range(1, 5):
        book.apply(diff(sequence, size))
    with pytest.raises(BadValueError, match="orders in a book"):
        book.apply(diff(5, 1))
    waiting = TrackedBook("btc_mxn", 10)
    for sequence in range(1, 9):
        waiting.take(diff(sequence, size))
    # The first that still waits is the fifth.
    assert waiting.seed(OrderBook(3)) is not None
    assert waiting.seed(OrderBook(4)) is None
    assert size * 4 <= MOST_WAITING_ORDERS
