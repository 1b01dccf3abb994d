"""What the five snapshot files look like: their columns, and what each field may hold.

Each field has a strict grammar over bytes, the fast way, and an exact parser. Both accept the same
values.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from loader.warehouse.settings import get_settings
from loader.warehouse.text import counted, shortened
from loader.warehouse.values import BadValueError

# Keys are indexed, and Postgres indexes no more than 2,704 bytes of two texts and a time.
LONGEST_TEXT_BYTES = 1000
# The csv module's own limit would call a long field malformed, here and in an edited export.
csv.field_size_limit(1 << 24)

# --- fields -----------------------------------------------------------------------------------

_DATE = (
    rb"(?:(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    rb"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rb"|20(?:[02468][048]|[13579][26])-02-29)"
)
_TIME = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6}+)?+"
_ZONE = rb"(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?+)?+"
# Most programs show the years 1 to 9999: a time at either end may lie beyond them in another zone.
_YEARS = range(2, 9999)
# What other programs write where there is no value. Not NA, which is Namibia among jurisdictions;
# \N holds a backslash, which the fast grammar leaves to the exact parser.
NULL_WORDS = frozenset({"null", "none", "nan", "n/a", r"\N"})
_NO_NULL_WORD = rb"(?![Nn](?:(?i:ull|one|an|/a)) *+(?:[,\r\n]|\Z))"
# Printable ASCII without comma, quote and backslash, not starting with a space.
_TEXT = _NO_NULL_WORD + rb"[!#-+\--\[\]-~][ !#-+\--\[\]-~]{0,199}+"

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_INTEGER = re.compile(r"\d{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def _text(value: str) -> str:
    if not value.strip():
        raise BadValueError("missing_value", "is empty")
    if len(value.encode()) > LONGEST_TEXT_BYTES:
        raise BadValueError("too_long", f"is longer than {LONGEST_TEXT_BYTES} bytes")
    if _is_null_word(value) and not get_settings().allow_null_words:
        raise BadValueError(
            "null_word",
            f"is {value.strip()}, which other programs write where there is no value "
            "(`loader quarantine redrive` takes it, with WAREHOUSE_ALLOW_NULL_WORDS=true)",
        )
    return value


def _is_null_word(value: str) -> bool:
    word = value.strip()
    return word in NULL_WORDS or word.lower() in NULL_WORDS


def _integer(value: str, largest: int = 2**63 - 1) -> str:
    _text(value)
    if not _INTEGER.fullmatch(value) or int(value) > largest:
        raise BadValueError("bad_number", f"is not a whole number up to {largest}")
    return value


def _level(value: str) -> str:
    return _integer(value, 2**31 - 1)


def _timestamp(value: str) -> str:
    _text(value)
    parts = _TIMESTAMP.fullmatch(value)
    try:
        # The days and hours that exist; Postgres reads the text itself.
        if parts and datetime.fromisoformat(f"{parts[1]} {parts[2]}").year in _YEARS:
            return value
    except ValueError:
        pass
    raise BadValueError(
        "bad_time",
        "is not a time like 2023-08-23 10:00:00.123456+00 (zone optional, then UTC; a year from "
        "0002 to 9998)",
    )


def _amount(value: str) -> str | None:
    if value == "":
        return None
    if _DECIMAL.fullmatch(value):
        amount = Decimal(value)
        if not amount:
            return "0"
        _, digits, exponent = amount.as_tuple()
        # Counted by hand: Decimal.normalize() would round to 28 digits first.
        padding = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        decimals = -(int(exponent) + padding)
        if decimals <= 18 and len(digits) - padding - decimals <= 20 and len(value) <= 100:
            return format(amount, "f")
    raise BadValueError("bad_number", "is not a decimal of at most 20 digits and 18 decimals")


@dataclass(frozen=True)
class Field:
    """A column of a file: how the fast grammar and the exact parser read it.

    `parse` takes the decoded field and returns what COPY gets, None for NULL.
    """

    grammar: bytes
    parse: Callable[[str], str | None]


TEXT = Field(_TEXT, _text)
ID = Field(rb"\d{1,18}+", _integer)
LEVEL = Field(rb"\d{1,9}+", _level)
TIMESTAMP = Field(_DATE + rb"[ T]" + _TIME + _ZONE, _timestamp)
AMOUNT = Field(rb"(?:-?+\d{1,20}+(?:\.\d{1,18}+)?+)?+", _amount)

# The five kinds of file: their columns, whose names are those of the raw table too.
KINDS: dict[str, dict[str, Field]] = {
    "deposits": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT,
        "amount": AMOUNT, "currency": TEXT, "tx_status": TEXT,
    },
    "withdrawals": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT,
        "amount": AMOUNT, "interface": TEXT, "currency": TEXT, "tx_status": TEXT,
    },
    "events": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT, "event_name": TEXT,
    },
    "users": {"user_id": TEXT},
    "user_levels": {
        "user_id": TEXT, "jurisdiction": TEXT, "level": LEVEL, "event_timestamp": TIMESTAMP,
    },
}  # fmt: skip


# --- rows -------------------------------------------------------------------------------------


def parse_record(
    kind: str, columns: Sequence[str | None], raw: bytes, *, is_spaced: bool = False
) -> list[str | None]:
    """Read one CSV record exactly; return its values as Postgres takes them, None for NULL.

    A column that is None is left out; with `is_spaced`, the blank after a comma is no part of a
    value. Raises BadValueError with the quarantine's reason.
    """
    if b"\0" in raw:
        raise BadValueError("nul_byte", "the row holds a NUL byte")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadValueError(
            "invalid_utf8",
            f"byte {error.start + 1} of the row is 0x{raw[error.start]:02x}, which is not UTF-8: "
            "if the file is in Latin-1 or Windows-1252, save it as UTF-8",
        ) from None
    try:
        [values] = csv.reader([text], strict=True, skipinitialspace=is_spaced)
    except (csv.Error, ValueError):
        reason = "the quotes of the row are not CSV"
        if "\r" in re.sub(r'"[^"]*"', "", text):
            reason = (
                "a line end of old Macs (CR without LF) stands in the row: save the file with LF "
                "or CRLF at the end of each line"
            )
        raise BadValueError("malformed", reason) from None
    if len(values) != len(columns):
        expected = ", ".join(column or "(left out)" for column in columns)
        raise BadValueError(
            "field_count",
            f"the row has {counted(len(values), 'field')}, not {len(columns)}: {expected}",
        )
    return [
        _parse_field(column, KINDS[kind][column], value)
        for column, value in zip(columns, values, strict=True)
        if column is not None
    ]


def _parse_field(column: str, field: Field, value: str) -> str | None:
    try:
        return field.parse(value)
    except BadValueError as error:
        is_told = column != "user_id" and error.code not in ("missing_value", "null_word")
        shown = f" {_told(value)}" if is_told else ""
        raise BadValueError(error.code, f"{column}{shown} {error.reason}") from None


# In a row whose fields have changed places, the id of a user may stand anywhere.
_looks_like_an_id = re.compile(r"(?=\w*\d)\w{16,}").search


def _told(value: str) -> str:
    """A value for a reason, which goes into logs as well: no user's id stands there."""
    if _looks_like_an_id(value):
        return f"(of {len(value)} characters)"
    return repr(shortened(value, 60))
