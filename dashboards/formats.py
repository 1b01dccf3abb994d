"""The formats that answers are written in: table, csv, json, jsonl, parquet.

Every value is as Postgres wrote it: in JSON and Parquet whole numbers and flags are such, anything
else is text, because most readers of JSON make floats of numbers and no decimal of Parquet holds
every numeric. In Parquet dates and instants (UTC) have their own types, and what was cast to
`float8` is a double. All but the table, which needs its widths first, take constant memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, TextIO

from psycopg2.extensions import connection as Connection

from dashboards.answers import AnswerColumn, AnswerRow, columns_of, copy_csv, fetched
from loader.warehouse.errors import UsageError
from loader.warehouse.table import text_table

# A group of rows in a file of Parquet.
GROUP_ROWS = 16_000
Rows = Iterator[list[AnswerRow]]


class Written(NamedTuple):
    """How many rows were written, and how many there are beyond the limit."""

    rows: int
    left_out: int


def write(
    connection: Connection, query: str, form: str, out: TextIO, limit: int | None = None
) -> Written:
    """Write the rows of a query, or the first of them, in one of the formats.

    The query is one select, its values bound already. Raises UsageError where the format has no
    room for two columns of a name or a terminal none for it, TerminalError where it cannot hold a
    value.
    """
    shown = query if limit is None else f"select * from (\n{query}\n) as answer limit {limit:d}"
    with connection, connection.cursor() as cursor:
        if form == "csv":
            copy_csv(cursor, shown, out.buffer)
            rows = cursor.rowcount
        else:
            columns = columns_of(cursor, shown)
            if form != "table":
                _assert_names_differ(columns, form)
            rows = _WRITERS[form](columns, fetched(connection, shown, columns), out)
        # What cannot be written is known before anything is said of it.
        out.flush()
        left_out = 0
        if rows == limit:
            beyond = f"select from (\n{query}\n) as answer offset {limit:d}"
            cursor.execute(f"select count(*) from ({beyond}) as beyond")
            [(left_out,)] = cursor.fetchall()
    return Written(rows, left_out)


def refuse_terminal(form: str, out: TextIO) -> None:
    """Raise UsageError for a format that no person reads, on its way to a terminal."""
    if form == "parquet" and out.isatty():
        raise UsageError("parquet is nothing for a terminal: write it to a file, > answer.parquet")


def _assert_names_differ(columns: Sequence[AnswerColumn], form: str) -> None:
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{form} cannot hold two columns {name!r}: rename one with `as`")


def _write_table(columns: Sequence[AnswerColumn], rows: Rows, out: TextIO) -> int:
    answer = list(chain.from_iterable(rows))
    out.write(text_table([column.name for column in columns], answer) + "\n")
    return len(answer)


def _write_json(columns: Sequence[AnswerColumn], rows: Rows, out: TextIO) -> int:
    written = 0
    for some in rows:
        before = ",\n" if written else "[\n"
        out.buffer.write((before + ",\n".join(_objects(columns, some))).encode())
        written += len(some)
    out.buffer.write(b"\n]\n" if written else b"[]\n")
    return written


def _write_jsonl(columns: Sequence[AnswerColumn], rows: Rows, out: TextIO) -> int:
    written = 0
    for some in rows:
        out.buffer.write("".join(f"{row}\n" for row in _objects(columns, some)).encode())
        written += len(some)
    return written


def _objects(columns: Sequence[AnswerColumn], rows: list[AnswerRow]) -> Iterator[str]:
    """An object a row; in UTF-8 whatever the terminal has, as JSON always is."""
    names = [column.name for column in columns]
    for row in rows:
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)


def _write_parquet(columns: Sequence[AnswerColumn], rows: Rows, out: TextIO) -> int:
    # pyarrow takes longer to import than most answers take.
    from dashboards.parquet import parquet_writer  # noqa: PLC0415

    written = 0
    with parquet_writer(columns, out.buffer) as write_group:
        for some in _groups(rows):
            write_group(some)
            written += len(some)
    return written


def _groups(rows: Rows) -> Rows:
    group: list[AnswerRow] = []
    for some in rows:
        group += some
        if len(group) >= GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


_WRITERS: dict[str, Callable[[Sequence[AnswerColumn], Rows, TextIO], int]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
