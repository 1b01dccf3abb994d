"""Decimals, counters and times as others write them: read exactly, or refused with a reason."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from loader.warehouse.text import shortened

# Far beyond any price or volume, far below what Postgres's numeric can hold.
MAX_DIGITS = 1000
# Before the first price of a bitcoin nothing was observed.
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
# How far the clock of who recorded something may be ahead of ours.
CLOCK_SKEW = timedelta(hours=1)

# What the models can hold of prices and amounts: rounded to their 18 decimals, a price must still
# be above zero. dbt_project/macros/readable.sql has the same limits for what is in raw already.
TOO_LARGE = Decimal(10**19)
TOO_SMALL = Decimal("5e-19")
# Each market has three names as its key, two of which may grow in upper case: an index of Postgres
# takes 2,704 bytes.
LONGEST_NAME_BYTES = 300
INT4 = range(-(2**31), 2**31)
# 1970 to 2099, in milliseconds.
EPOCH_MILLISECONDS = range(4_102_444_800_000)

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?").fullmatch
_BLANKS = " \t\n\r\f\v"
# What nearly all of them are: an order book has two hundred. No need of a closer look then.
PLAIN_POSITIVE = re.compile(r"(?=[0.]*[1-9])[0-9]{1,19}(?:\.[0-9]{1,18})?").fullmatch
_BIGINT = range(2**63)


class BadValueError(ValueError):
    """A value that cannot be taken: `code` is one word for counting, `reason` says why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def bad(code: str, reason: str) -> NoReturn:
    """Refuse what is at hand."""
    raise BadValueError(code, reason)


def number(name: str, value: Any) -> Decimal:
    """A finite number, exact, from a JSON number or a text that is one."""
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= MAX_DIGITS and _PLAIN_NUMBER(value):
        return Decimal(value)
    bad("not_a_number", f"{name} is not a number: {_quoted(value)}")


def positive(name: str, value: Any) -> Decimal:
    """A number above zero that the models can hold, to 18 decimals: a price, an amount."""
    if isinstance(value, str) and PLAIN_POSITIVE(value):
        return Decimal(value)
    parsed = number(name, value)
    if parsed <= 0:
        bad("not_positive", f"{name} is not above zero: {_quoted(value)}")
    if parsed < TOO_SMALL:
        bad("too_small", f"{name} is less than the models can hold: {_quoted(value)}")
    return zero_or_more(name, parsed)


def zero_or_more(name: str, value: Any) -> Decimal:
    """A number that is not below zero and that the models can hold."""
    if isinstance(value, str) and PLAIN_POSITIVE(value):
        return Decimal(value)
    parsed = number(name, value)
    if parsed < 0:
        bad("negative", f"{name} is below zero: {_quoted(value)}")
    if parsed >= TOO_LARGE:
        bad("too_large", f"{name} has over 19 digits before the point: {_quoted(value)}")
    return parsed


def whole_number(name: str, value: Any, limits: range = INT4) -> int:
    """A number without a fraction, however it is written (`1`, `"1"`, `1.0`)."""
    parsed = number(name, value)
    if not limits.start <= parsed < limits.stop or parsed != parsed.to_integral_value():
        bad("not_a_whole_number", f"{name} is not a whole number in range: {_quoted(value)}")
    return int(parsed)


def epoch_milliseconds(name: str, value: Any) -> int:
    """A time as milliseconds since 1970."""
    return whole_number(name, value, EPOCH_MILLISECONDS)


def flag(name: str, value: Any) -> bool:
    """True or false, as JSON has them."""
    if not isinstance(value, bool):
        bad("not_a_boolean", f"{name} is neither true nor false: {_quoted(value)}")
    return value


def any_text(name: str, value: Any) -> str:
    """A text, also an empty one."""
    if not isinstance(value, str):
        bad("not_a_text", f"{name} is not a text")
    return value


def filled_text(name: str, value: Any) -> str:
    """A text with something in it."""
    if not any_text(name, value).strip(_BLANKS):
        bad("not_a_text", f"{name} is not a text")
    return str(value)


def name_of(name: str, value: Any) -> str:
    """A text that a row is found by: short enough for the keys of the models."""
    found = filled_text(name, value)
    if len(found.encode(errors="surrogatepass")) > LONGEST_NAME_BYTES:
        bad("too_long", f"{name} is longer than {LONGEST_NAME_BYTES} bytes: {_quoted(value)}")
    return found


def counter(name: str, value: Any) -> int:
    """A sequence number: digits, or a JSON integer."""
    digits = str(value)
    if isinstance(value, str | int) and digits.isascii() and digits.isdecimal():
        parsed = int(digits) if len(digits) < 20 else -1
        if parsed in _BIGINT:
            return parsed
    bad("not_a_sequence", f"{name} is not a sequence number: {_quoted(value)}")


def zoned_time(name: str, value: str) -> datetime:
    """A time in ISO 8601 that says its zone."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        bad("not_a_time", f"{name} is not a time: {_quoted(value)}")
    if moment.tzinfo is None:
        # Reading it as UTC would be a guess, wrong by hours and silent if it were local time.
        bad("no_time_zone", f"{name} does not say its time zone: {_quoted(value)}")
    return moment


def is_of_a_market(moment: datetime) -> bool:
    """Whether somebody can have observed something then: neither in the future nor too early."""
    return EARLIEST <= moment < datetime.now(UTC) + CLOCK_SKEW


def _quoted(value: Any) -> str:
    return shortened(str(value), 40)
