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

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?").fullmatch
# What nearly all of them are: an order book has two hundred. No need of a closer look then.
PLAIN_POSITIVE = re.compile(r"(?=[0.]*[1-9])[0-9]{1,400}(?:\.[0-9]{1,400})?").fullmatch
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
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= MAX_DIGITS and _PLAIN_NUMBER(value):
        parsed = Decimal(value)
        if not parsed or abs(parsed.adjusted()) <= MAX_DIGITS:
            return parsed
    bad("not_a_number", f"{name} is not a number: {_quoted(value)}")


def positive(name: str, value: Any) -> Decimal:
    """A number above zero."""
    if isinstance(value, str) and PLAIN_POSITIVE(value):
        return Decimal(value)
    parsed = number(name, value)
    if parsed <= 0:
        bad("not_positive", f"{name} is not above zero: {_quoted(value)}")
    return parsed


def zero_or_more(name: str, value: Any) -> Decimal:
    """A number that is not below zero."""
    if isinstance(value, str) and PLAIN_POSITIVE(value):
        return Decimal(value)
    parsed = number(name, value)
    if parsed < 0:
        bad("negative", f"{name} is below zero: {_quoted(value)}")
    return parsed


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
