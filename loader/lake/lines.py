"""One line of an old lake's file, exactly: its columns, its observation or why it is none."""

import csv
import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import NamedTuple

from loader.warehouse.text import counted, plain, quoted
from loader.warehouse.values import TOO_LARGE, bad, book_name, is_of_a_market, number, positive

COLUMNS = ("orderbook_timestamp", "book", "bid", "ask", "spread")
# Without these there is no observation; the path may tell the book, and nothing needs the spread.
NEEDED = frozenset({"orderbook_timestamp", "bid", "ask"})
# The last decimal of a price in the models.
SMALLEST = Decimal("1e-18")

# The columns of a file in its order, by our names; None where a column is left out.
Columns = tuple[str | None, ...]

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


def in_usual_order(line: str, columns: Columns, path_book: str | None) -> str:
    """A line as a redrive reads it, without its file: with its columns in the usual order.

    Where nobody can tell which field is which, the names of the columns come before it.
    """
    if columns == COLUMNS:
        return line
    fields = line.split(",")
    if len(fields) != len(columns):
        return ",".join(column or "" for column in columns) + "\n" + line
    values: dict[str | None, str] = {"book": path_book or ""}
    values.update(zip(columns, fields, strict=True))
    return ",".join(values.get(column, "") for column in COLUMNS)


def read_line(line: str, columns: Columns = COLUMNS, path_book: str | None = None) -> Observation:
    """One line, exactly. Raises BadValueError, saying why it cannot be taken.

    Of two lines the first names the columns, as `in_usual_order` writes them.
    """
    first, _, rest = line.partition("\n")
    if rest and NEEDED.issubset(names := first.split(",")):
        line, columns = rest, tuple(names)
    try:
        [fields] = csv.reader([line.strip()], strict=True)
    except (ValueError, csv.Error):
        bad("not_a_line", f"it is not one line of CSV: {quoted(line)}")
    if len(fields) != len(columns):
        bad(
            "wrong_field_count",
            f"{counted(len(fields), 'field')} where {len(columns)} are expected",
        )
    values = dict(zip(columns, (field.strip(" \t'") for field in fields), strict=True))
    book = values.get("book") or path_book or ""
    return Observation(
        _moment(values["orderbook_timestamp"]),
        # The case of other letters is another matter: some become a letter of ours.
        book_name("book", book.lower() if book.isascii() else book),
        plain(positive("bid", values["bid"])),
        plain(positive("ask", values["ask"])),
        _spread(values.get("spread", "")),
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if _TIME(text) else None
    except ValueError:
        moment = None
    if moment is None:
        bad(
            "bad_time",
            "orderbook_timestamp is not a time such as 2024-05-28T23:18:01+00:00: " + quoted(text),
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Before it becomes UTC: the ends of Python's years have none.
    if not is_of_a_market(moment):
        bad(
            "bad_time",
            f"orderbook_timestamp lies in the future, or before all markets: {quoted(text)}",
        )
    return moment.astimezone(UTC)


def _spread(text: str) -> str | None:
    """What was written, if it is a number; bid and ask decide, whatever it is."""
    if text.lower() in _NO_VALUE:
        return None
    spread = number("spread", text)
    if abs(spread) >= TOO_LARGE:
        bad("too_large", f"spread has over 19 digits before the point: {quoted(text)}")
    with localcontext(prec=60):
        return plain(spread.quantize(SMALLEST, ROUND_HALF_UP))
