"""Puts a question to the warehouse, as the reader, and brings its answer back.

Every value arrives as Postgres wrote it: an amount never passes through a float, and an instant
is ISO 8601 in UTC, the same in each output format.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import new_type, register_type

from dashboards.questions import Question, Value
from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.copy import CsvSink, copy_query
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.settings import get_settings

AnswerRow = tuple[str | int | None, ...]
Kind = Literal["number", "date", "instant", "flag", "text"]

_DATE_OID = 1082
_TIMESTAMPTZ_OID = 1184
_NUMERIC_OID = 1700
_KINDS: dict[int, Kind] = {
    16: "flag",
    20: "number",
    21: "number",
    23: "number",
    _DATE_OID: "date",
    _TIMESTAMPTZ_OID: "instant",
    _NUMERIC_OID: "number",
}


@dataclass(frozen=True)
class Answer:
    """A question's columns and rows: text, whole numbers and None, nothing else."""

    columns: tuple[str, ...]
    rows: list[AnswerRow]


@dataclass(frozen=True)
class Glimpse:
    """Some rows of an answer: what kind each column is of, and whether there are more."""

    answer: Answer
    kinds: tuple[Kind, ...]
    has_more: bool


def _as_text(value: str | bytes | None, _cursor: Cursor) -> str | None:
    return None if value is None else str(value)


def _as_iso_instant(value: str | bytes | None, _cursor: Cursor) -> str | None:
    # The session is in UTC: `2022-04-30 04:10:26.5+00`.
    return None if value is None else str(value).replace(" ", "T", 1) + ":00"


_TEXT = new_type((_DATE_OID, _NUMERIC_OID), "EXACT_TEXT", _as_text)
_INSTANT = new_type((_TIMESTAMPTZ_OID,), "ISO_INSTANT", _as_iso_instant)


@contextlib.contextmanager
def reading() -> Iterator[Connection]:
    """A connection that can only read marts, no statement for longer than a question may take."""
    timeout = get_settings().question_timeout_seconds
    with contextlib.closing(connect("reader")) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = on")
            cursor.execute("set statement_timeout = %s", (f"{timeout}s",))
        try:
            yield connection
        except psycopg2.errors.QueryCanceled:
            raise TransientError(
                f"no answer within {timeout} s: try again, or raise "
                "WAREHOUSE_QUESTION_TIMEOUT_SECONDS"
            ) from None
        except psycopg2.Error as error:
            raise database_error(error) from None


def ask(connection: Connection, question: Question, values: Mapping[str, Value | None]) -> Answer:
    """The answer to a question, all of it in memory."""
    with connection, connection.cursor() as cursor:
        for kind in (_TEXT, _INSTANT):
            register_type(kind, cursor)
        cursor.execute(question.statement, values)
        return Answer(tuple(column.name for column in cursor.description or ()), cursor.fetchall())


def glimpse(
    cursor: Cursor,
    question: Question,
    values: Mapping[str, Value | None],
    limit: int,
    *,
    latest_first: str | None = None,
) -> Glimpse:
    """At most `limit` rows of the answer, within the caller's transaction.

    With `latest_first`, the column by whose times they are sorted, they are the last ones, the
    latest at the top.
    """
    for kind in (_TEXT, _INSTANT):
        register_type(kind, cursor)
    query = cursor.mogrify(question.statement, values).decode()
    skipped = 0
    if latest_first:
        cursor.execute(f"select count(*) from (\n{query}\n) as answer")
        skipped = max(0, cursor.fetchall()[0][0] - limit)
    cursor.execute(f"select * from (\n{query}\n) as answer limit {limit + 1:d} offset {skipped:d}")
    columns = cursor.description or ()
    rows = cursor.fetchall()
    names = tuple(column.name for column in columns)
    has_more = skipped > 0 or len(rows) > limit
    rows = rows[:limit]
    if latest_first in names:
        place = names.index(latest_first)
        # Stable: what has the same time keeps its order.
        rows.sort(key=lambda row: row[place] or "", reverse=True)
    return Glimpse(
        Answer(names, rows),
        tuple(_KINDS.get(column.type_code, "text") for column in columns),
        has_more,
    )


def copy_answer(
    connection: Connection, question: Question, values: Mapping[str, Value | None], out: CsvSink
) -> int:
    """Write the answer as CSV, in constant memory; returns how many rows it has."""
    with connection.cursor() as cursor:
        copy_csv(cursor, cursor.mogrify(question.statement, values).decode(), out)
        return cursor.rowcount


def copy_csv(cursor: Cursor, query: str, out: CsvSink) -> None:
    """Write a query's rows as CSV with a header, instants as ISO 8601."""
    cursor.execute(f"select * from (\n{query}\n) as answer limit 0")
    columns = ", ".join(
        # to_json knows ISO 8601; COPY itself would put a space before the time.
        f'to_json("{column.name}") #>> \'{{}}\' as "{column.name}"'
        if column.type_code == _TIMESTAMPTZ_OID
        else f'"{column.name}"'
        for column in cursor.description or ()
    )
    copy_query(cursor, f"select {columns} from (\n{query}\n) as answer", out)
