"""One line of an old lake's file, exactly: its columns, its observation or why it is none."""

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import NamedTuple

from loader.warehouse.text import plain
from loader.warehouse.values import TOO_LARGE, bad, is_of_a_market, number, positive

COLUMNS = ("orderbook_timestamp", "book", "bid", "ask", "spread")
# A sixth column of some recorders: whether the spread was above their threshold. It is not kept,
# because bid and ask tell.
VERDICT = "is_above"
NEEDED = {"orderbook_timestamp", "bid", "ask"}
# The last decimal of a price in the models.
SMALLEST = Decimal("1e-18")

BOOK = re.compile(r"[a-z0-9]{1,100}_[a-z0-9]{1,100}").fullmatch
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
).fullmatch
_NO_VALUE = frozenset({"", "nan", "none", "null"})


class Observation(NamedTuple):
    """One row, exact."""

    received_at: datetime
    book: str
    bid: str
    ask: str
    spread: str | None


def header_of(lines: Sequence[str]) -> tuple[str, ...] | None:
    """The names in the first line that is not blank, if it is a header."""
    first = next((line for line in lines if line.strip()), "")
    return names_in(first) if is_header(first) else None


def is_header(line: str) -> bool:
    """Whether a line has names where a row has values."""
    return len(NEEDED.intersection(names_in(line))) > 1


def names_in(line: str) -> tuple[str, ...]:
    """The names in a header, however they are quoted and written."""
    return tuple(name.strip(" \t\r'\"").lower() for name in line.split(","))


def in_usual_order(line: str, header: tuple[str, ...] | None, path_book: str | None) -> str:
    """A line with its columns in the usual order, as a redrive reads it; else as it is."""
    fields = line.split(",")
    header = header or columns_of(len(fields), path_book)
    if header is None or header[: len(COLUMNS)] == COLUMNS or len(fields) != len(header):
        return line
    values = {"book": path_book or "", **dict(zip(header, fields, strict=True))}
    return ",".join(values.get(column, "") for column in COLUMNS)


def columns_of(count: int, path_book: str | None) -> tuple[str, ...] | None:
    """The columns of a line without a header that has so many fields."""
    if path_book and count == len(COLUMNS) - 1:
        return tuple(column for column in COLUMNS if column != "book")
    return {len(COLUMNS): COLUMNS, len(COLUMNS) + 1: (*COLUMNS, VERDICT)}.get(count)


def read_line(
    line: str, header: tuple[str, ...] | None = None, path_book: str | None = None
) -> Observation:
    """One line, exactly. Raises BadValueError, saying why it cannot be taken."""
    try:
        [fields] = csv.reader([line.strip()], strict=True)
    except (ValueError, csv.Error):
        bad("not_a_line", "it is not one line of CSV")
    values = _by_name([field.strip(" \t'") for field in fields], header, path_book)
    book = (values.get("book") or path_book or "").lower()
    if not BOOK(book):
        bad("not_a_book", f"book is not a name like btc_mxn: {book[:40]}")
    return Observation(
        _moment(values["orderbook_timestamp"]),
        book,
        plain(positive("bid", values["bid"])),
        plain(positive("ask", values["ask"])),
        _spread(values.get("spread", "")),
    )


def _by_name(
    fields: list[str], header: tuple[str, ...] | None, path_book: str | None
) -> dict[str, str]:
    header = header or columns_of(len(fields), path_book)
    if header is None or len(header) != len(fields):
        expected = len(header) if header else len(COLUMNS)
        bad("wrong_field_count", f"{len(fields)} fields where {expected} are expected")
    return dict(zip(header, fields, strict=True))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if _TIME(text) else None
    except ValueError:
        moment = None
    if moment is None:
        bad("bad_time", f"orderbook_timestamp is not a time: {text[:40]}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Before it becomes UTC: the ends of Python's years have none.
    if not is_of_a_market(moment):
        bad("bad_time", "orderbook_timestamp lies in the future, or before all markets")
    return moment.astimezone(UTC)


def _spread(text: str) -> str | None:
    """What was written, if it is a number; bid and ask decide, whatever it is."""
    if text.lower() in _NO_VALUE:
        return None
    spread = number("spread", text)
    if abs(spread) >= TOO_LARGE:
        bad("too_large", "spread has over 19 digits before the point")
    with localcontext(prec=60):
        return plain(spread.quantize(SMALLEST, ROUND_HALF_UP))
