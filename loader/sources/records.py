"""What every market source makes of the wire: bodies, and the good and bad records in them."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from loader.sources.json_text import MAX_DIGITS, ShapeError, Value

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?").fullmatch
# What nearly all of them are: an order book has two hundred. No need of a closer look then.
PLAIN_POSITIVE = re.compile(r"(?=[0.]*[1-9])[0-9]{1,400}(?:\.[0-9]{1,400})?").fullmatch
_BIGINT = range(2**63)


class Body(NamedTuple):
    """One reply as received: what a recording keeps and a replay sends in again.

    `source` is the raw table that it is for, `key` what was asked for: a book, an exchange, a
    coin, or "" for all there are.
    """

    source: str
    key: str
    received_at: datetime
    text: str


class Record(NamedTuple):
    """One row for raw: `payload` is the record's JSON text, cut out of the body unchanged.

    `bid` and `ask` are None where a side is empty, and in sources that have none.
    """

    received_at: datetime
    key: str
    payload: str
    bid: Decimal | None = None
    ask: Decimal | None = None
    sequence: int | None = None


class BadRecord(NamedTuple):
    """One row for quarantine: `code` is one word for counting, `reason` a sentence."""

    key: str
    code: str
    reason: str
    raw: str


Parsed = Iterator[Record | BadRecord]


class BadValueError(Exception):
    """A record cannot be taken."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def bad(code: str, reason: str) -> NoReturn:
    """Refuse the record at hand."""
    raise BadValueError(code, reason)


def read_all(
    body: Body, find: Callable[[Body], list[Value]], read: Callable[[Body, Value], Record]
) -> Parsed:
    """A record for each value found in a body, good or bad; a body that is none is one bad one."""
    try:
        values = find(body)
    except ShapeError as error:
        yield BadRecord(body.key, "wrong_shape", str(error), body.text)
        return
    for value in values:
        try:
            yield read(body, value)
        except BadValueError as error:
            yield BadRecord(_name(body, value), error.code, str(error), value.text)


def _name(body: Body, value: Value) -> str:
    """What to call a bad record: what was asked for, or else what it calls itself."""
    if body.key or not isinstance(value.data, dict):
        return body.key
    names = (value.data.get(key) for key in ("book", "exchangeId", "id"))
    return next((name for name in names if isinstance(name, str)), "")


def fields_of(value: Value) -> dict[str, Any]:
    """The members of a record that is an object and can be stored."""
    if value.flaw:
        bad("not_storable", value.flaw)
    if not isinstance(value.data, dict):
        bad("not_an_object", f"an object is expected, not {type(value.data).__name__}")
    return value.data


def required(fields: dict[str, Any], name: str) -> Any:
    """A member that must be there; it may be null."""
    if name not in fields:
        bad("missing_key", f"there is no {name}")
    return fields[name]


def text(fields: dict[str, Any], name: str) -> str:
    """A member that must be a text with something in it."""
    value = required(fields, name)
    if not isinstance(value, str) or not value.strip():
        bad("not_a_text", f"{name} is not a text")
    return value


def number(name: str, value: Any) -> Decimal:
    """A finite number, exact, from a JSON number or a text that is one."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= MAX_DIGITS and _PLAIN_NUMBER(value):
        parsed = Decimal(value)
        if not parsed or abs(parsed.adjusted()) <= MAX_DIGITS:
            return parsed
    bad("not_a_number", f"{name} is not a number: {_shown(value)}")


def positive(name: str, value: Any) -> Decimal:
    """A number above zero."""
    if isinstance(value, str) and PLAIN_POSITIVE(value):
        return Decimal(value)
    parsed = number(name, value)
    if parsed <= 0:
        bad("not_positive", f"{name} is not above zero: {_shown(value)}")
    return parsed


def optional_amount(fields: dict[str, Any], name: str) -> None:
    """Check a member that, where it is there and not null, must be a number of zero or more."""
    value = fields.get(name)
    if value is not None and number(name, value) < 0:
        bad("negative", f"{name} is below zero: {_shown(value)}")


def instant(fields: dict[str, Any], name: str) -> datetime:
    """A time that says its zone."""
    value = text(fields, name)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        bad("not_a_time", f"{name} is not a time: {_shown(value)}")
    if moment.tzinfo is None:
        # Reading it as UTC would be a guess, wrong by hours and silent if it were local time.
        bad("no_time_zone", f"{name} does not say its time zone: {_shown(value)}")
    return moment


def counter(name: str, value: Any) -> int:
    """A sequence number: digits, or a JSON integer."""
    digits = str(value)
    if isinstance(value, str | int) and digits.isascii() and digits.isdecimal():
        parsed = int(digits) if len(digits) < 20 else -1
        if parsed in _BIGINT:
            return parsed
    bad("not_a_sequence", f"{name} is not a sequence number: {_shown(value)}")


def _shown(value: Any) -> str:
    shown = str(value)
    return shown if len(shown) <= 40 else shown[:39] + "…"
