"""Bitso's WebSocket: the frames of the channel diff-orders, and the snapshots they go on from.

No snapshot comes on subscribing, a quiet book sends nothing, and an error names no book except in
its text. Sequences are counted per book.

Sources: docs.bitso.com/bitso-api/docs (general, diff-orders-channel, history-of-changes); where the
wire differs from them (a cancelled order that has an amount, an answer that names its book),
github.com/nemanull/arbitrage-observatory, docs/profiles/bitso/websocket.md, and the recording in
github.com/aetelierxyz/aetelier-sdk, aetelier-connect/datasets/bitso.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from loader.stream.order_book import BUY, SELL, Diff, Order, OrderBook
from loader.warehouse.text import printable, shortened, squeezed
from loader.warehouse.values import (
    LONGEST_NAME_BYTES,
    BadValueError,
    bad,
    counter,
    name_of,
    number,
    positive,
    zero_or_more,
)
from loader.wire.records import required

CHANNEL = "diff-orders"
# What its bad frames are called in quarantine.
SOURCE = "bitso_stream"

# Of what a bad frame holds so much is kept: enough to see what it was, and none is sent again.
MOST_KEPT_CHARACTERS = 10_000

# A float would lose digits: numbers that are no integers become Decimals, within the limits of any
# field. NaN, Infinity and 1E99999999 are none, wherever in a frame they stand.
_number = partial(number, "a value")
_decode = json.JSONDecoder(parse_float=_number, parse_constant=_number).decode
_SEQUENCES_END = 2**63
_MOST_MILLISECONDS = 253_402_300_799_999
_BOOK = "[a-z0-9]{1,40}_[a-z0-9]{1,40}"
_is_book = re.compile(_BOOK).fullmatch
_names_book = re.compile(rf'"book"\s*:\s*"({_BOOK})"').search


class KeepAlive(NamedTuple):
    """Nothing happened, and somebody is there."""


class Ack(NamedTuple):
    """A book is subscribed to, now or since before."""

    book: str


class Refusal(NamedTuple):
    """A request was not understood; `book` where the text tells it."""

    book: str
    reason: str


class BadFrame(NamedTuple):
    """A frame that cannot be taken. Without a `book` nobody knows whose it was, if anybody's."""

    book: str
    code: str
    reason: str
    raw: str


Frame = Diff | KeepAlive | Ack | Refusal | BadFrame


def subscription(book: str, action: str = "subscribe") -> str:
    """The request for the frames of a book, or for their end."""
    return json.dumps({"action": action, "book": book, "type": CHANNEL})


def read_frame(message: str | bytes) -> Frame:
    """What a message says; never raises."""
    if isinstance(message, bytes):
        return bad_frame(message, "not_text", "a binary message")
    data = None
    try:
        data = _read(message)
        if not isinstance(data, dict):
            bad("unknown_frame", "an object is expected")
        return _diff(data) if data.get("type") == CHANNEL and "payload" in data else _other(data)
    except BadValueError as error:
        return bad_frame(message, error.code, error.reason, _book_of(data))


def bad_frame(message: str | bytes, code: str, reason: str, book: str | None = None) -> BadFrame:
    """A message as one that cannot be taken; of which book its text says, unless it is told."""
    if isinstance(message, bytes):
        message = message[:MOST_KEPT_CHARACTERS].decode(errors="backslashreplace")
    if book is None:
        named = _names_book(message)
        book = named[1] if named else ""
    return BadFrame(book, code, reason, shortened(message, MOST_KEPT_CHARACTERS))


def _read(text: str) -> Any:
    try:
        return _decode(text)
    except BadValueError:
        raise
    except RecursionError:
        bad("not_json", "not JSON: nested too deeply")
    except ValueError as error:
        bad("not_json", f"not JSON: {shortened(str(error), 100)}")


def _book_of(data: Any) -> str | None:
    """The book that a frame names itself; None where it could not be read so far."""
    if data is None:
        return None
    book = data.get("book") if isinstance(data, dict) else None
    return book if isinstance(book, str) and _is_book(book) else ""


def _diff(data: dict[str, Any]) -> Diff:
    book, sequence, entries = data.get("book"), data.get("sequence"), data["payload"]
    if not isinstance(book, str):
        bad("not_a_text", "book is not a text")
    if type(sequence) is not int or not 0 <= sequence < _SEQUENCES_END:
        sequence = counter("sequence", sequence)
    if not isinstance(entries, list):
        bad("not_an_array", "payload is not an array")
    return Diff(book, sequence, tuple(map(_order, entries)), _milliseconds(data.get("sent")))


def _milliseconds(value: Any) -> int:
    """A time, 0 where there is none: nothing depends on it but what is shown."""
    return value if type(value) is int and 0 <= value <= _MOST_MILLISECONDS else 0


def _order(entry: Any) -> Order:
    """Open: set; whatever else: gone, whether it still has an amount or not."""
    if not isinstance(entry, dict):
        bad("not_an_object", "an entry is not an object")
    oid = entry.get("o")
    if not isinstance(oid, str) or not 0 < len(oid) <= LONGEST_NAME_BYTES:
        bad("not_a_text", f"o is not a text of up to {LONGEST_NAME_BYTES} characters")
    status = entry.get("s")
    if status != "open":
        if not isinstance(status, str):
            bad("not_a_text", "s is not a text")
        return Order(oid, BUY, None, None)
    side = entry.get("t")
    if type(side) is not int or side not in (BUY, SELL):
        bad("not_a_side", "t is neither 0 nor 1")
    return Order(oid, side, positive("r", entry.get("r")), _amount("a", entry.get("a")))


def _amount(name: str, value: Any) -> Decimal:
    """An amount; none is left of an order that is gone."""
    amount = zero_or_more(name, value)
    return positive(name, value) if amount else amount


def _other(data: dict[str, Any]) -> KeepAlive | Ack | Refusal:
    if "error" in data:
        return _refusal(data["error"])
    if "response" in data:
        book = data.get("book")
        # "ok", or "Already subscribed to channel: ..."; another action's answer says nothing.
        is_ours = data.get("type") == CHANNEL and data.get("action") == "subscribe"
        return Ack(book) if is_ours and isinstance(book, str) else KeepAlive()
    kind = data.get("type")
    if kind != "ka":
        named = f": {printable(shortened(kind, 40))}" if isinstance(kind, str) else ""
        bad("unknown_frame", f"a frame of an unknown type{named}")
    return KeepAlive()


def _refusal(error: Any) -> Refusal:
    if not isinstance(error, str):
        return Refusal("", "an error that is no text")
    reason = squeezed(error, 200)
    return Refusal(reason.rpartition(" - ")[2] if "book is not supported" in reason else "", reason)


def read_snapshot(book: str, reply: str) -> OrderBook:
    """The book in a reply of REST with `aggregate=false`.

    When it last changed is not in it: its `updated_at` is when the reply was made
    (arbitrage-observatory, docs/profiles/bitso/rest.md).

    Raises BadValueError when it is not what it should be.
    """
    data = _read(reply)
    payload = data.get("payload") if isinstance(data, dict) else None
    if not isinstance(payload, dict):
        bad("wrong_shape", "the snapshot has no payload")
    sequence = counter("sequence", required(payload, "sequence"))
    return OrderBook(
        sequence,
        (
            order
            for side, name in ((BUY, "bids"), (SELL, "asks"))
            for order in _resting(book, side, required(payload, name))
        ),
    )


def _resting(book: str, side: int, entries: Any) -> Iterator[Order]:
    if not isinstance(entries, list):
        bad("not_an_array", "a side is not an array")
    for entry in entries:
        if not isinstance(entry, dict):
            bad("not_an_object", "an order is not an object")
        if entry.get("book", book) != book:
            bad("wrong_book", f"{book} was asked for, an order of another came")
        oid = name_of("oid", required(entry, "oid"))
        price, amount = required(entry, "price"), required(entry, "amount")
        yield Order(oid, side, positive("price", price), _amount("amount", amount))
