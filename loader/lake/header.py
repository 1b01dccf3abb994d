"""The header of a lake's file: which of its columns is which of ours, or that nobody can tell.

A column is never taken for what it is by its place where the file has a header.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from loader.lake.lines import COLUMNS, NEEDED, Columns
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError
from loader.warehouse.text import quoted

# What others call our columns; case, blanks, hyphens and underscores make no difference.
# `best_bid` and `best_ask` are the words of the statement of the challenge, `created_at` and
# `updated_at` those of Bitso's tickers and order books, the rest is what recorders write.
SYNONYMS = {
    "orderbook_timestamp": (
        "timestamp", "time", "datetime", "ts", "observed_at", "created_at", "updated_at",
    ),
    "book": ("order_book", "pair", "symbol"),
    "bid": ("best_bid", "bid_price", "best_bid_price"),
    "ask": ("best_ask", "ask_price", "best_ask_price"),
    "spread": (),
}  # fmt: skip
MOST_SHOWN = 20

# A number or the beginning of a time: what no column is called.
_VALUE = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\d{1,2}:\d\d.*",
    re.ASCII | re.IGNORECASE | re.DOTALL,
).fullmatch


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


_OURS = {_key(name): ours for ours, names in SYNONYMS.items() for name in (ours, *names)}


@dataclass(frozen=True)
class FileColumns:
    """The columns of one file, in its order.

    `names` is its header, empty where it has none; `path_book` the book that its path tells;
    `left_out` has the names that are none of ours, for people to read.
    """

    columns: Columns
    path_book: str | None = None
    names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    given: ColumnNames = field(default_factory=ColumnNames)

    def is_header_again(self, line: str) -> bool:
        """Whether a line in the midst of the file is its header once more.

        Raises RefusedError for a header that says something else: the rows after it would be
        read by the wrong one.
        """
        names = names_in(line)
        if names == self.names:
            return True
        columns = _ours(names, self.given)
        if len(NEEDED.intersection(columns)) < 2:
            return False
        if columns != self.columns:
            raise RefusedError(f"another header in the midst of the file: {_listed(names)}")
        return True


def names_in(line: str) -> tuple[str, ...]:
    """The fields of a line without what is around them, as names of columns."""
    try:
        [fields] = csv.reader([line.strip("\r\n")], strict=True)
    except (ValueError, csv.Error):
        fields = line.split(",")
    return tuple(name.strip(" \t\r'\"\ufeff") for name in fields)


def columns_of_csv(first_line: str, given: ColumnNames, path_book: str | None) -> FileColumns:
    """The columns of a file of CSV by its first line, a header or a row.

    A line is a header where no field of it is a number or a time, or where two names of a time, a
    bid and an ask are in it. Raises RefusedError for a header that does not say all of them.
    """
    names = names_in(first_line)
    is_header = not any(map(_VALUE, names)) or (len(NEEDED.intersection(_ours(names, given))) > 1)
    if is_header:
        return columns_of_names(names, given, path_book)
    without_book = tuple(column for column in COLUMNS if column != "book")
    by_path = path_book is not None and len(names) == len(without_book)
    return FileColumns(without_book if by_path else COLUMNS, path_book, given=given)


def columns_of_names(
    names: Sequence[str], given: ColumnNames, path_book: str | None
) -> FileColumns:
    """The columns of a file by their names.

    Raises RefusedError, naming them, where one that is needed is not there or two are the same.
    """
    columns = _ours(names, given)
    for ours in COLUMNS:
        same = [quoted(name) for name, each in zip(names, columns, strict=True) if each == ours]
        if len(same) > 1:
            raise RefusedError(
                f"the columns {', '.join(same)} are both {ours}: keep one"
                + (f", such as with --columns {same[0]}=" if len(set(same)) > 1 else "")
            )
    needed = [each for each in COLUMNS if each in NEEDED or (each == "book" and not path_book)]
    missing = [each for each in needed if each not in columns]
    if missing:
        if len(names) == 1 and re.search(r"[;\t|]", names[0]):
            raise RefusedError(f"the delimiter of its header must be a comma: {quoted(names[0])}")
        mapping = ",".join(f"THEIRS={each}" for each in missing)
        raise RefusedError(
            f"there is no column {', '.join(missing)} among its columns {_listed(names)}: say "
            f"which they are with --columns {mapping}"
        )
    left_out = tuple(
        quoted(name) for name, each in zip(names, columns, strict=True) if each is None
    )
    return FileColumns(columns, path_book, tuple(names), left_out, given)


def _ours(names: Sequence[str], given: ColumnNames) -> Columns:
    renamed = given.rename(list(names))
    return tuple(None if name is None else _OURS.get(_key(name)) for name in renamed)


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return ", ".join(quoted(name) for name in names[:MOST_SHOWN]) + more
