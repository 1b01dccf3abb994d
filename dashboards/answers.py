"""Puts a question to the warehouse, as the reader, and brings its answer back.

Every value arrives as Postgres wrote it: an amount never passes through a float, and an instant
is ISO 8601 in UTC, the same in each output format.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import new_type, register_type

from dashboards.parameters import Value
from dashboards.prepared import Given, SqlType, execute
from dashboards.questions import Question
from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.copy import CsvSink, copy_query
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.postgres.sample import shown_while_alone
from loader.warehouse.settings import get_settings

# So many rows are fetched at once.
FETCHED_ROWS = 2_000
AnswerRow = tuple[str | int | None, ...]
Kind = Literal["number", "date", "instant", "flag", "text"]

FLAG_OID, WHOLE_OIDS, FLOAT_OIDS = 16, (20, 21, 23), (700, 701)
DATE_OID, INSTANT_OID, _NUMERIC_OID = 1082, 1184, 1700
_KINDS: dict[int, Kind] = {
    FLAG_OID: "flag",
    **dict.fromkeys((*WHOLE_OIDS, _NUMERIC_OID), "number"),
    DATE_OID: "date",
    INSTANT_OID: "instant",
}
# An instant may be a day, which stands for the whole of it.
_SQL_TYPES: dict[str, SqlType] = {
    "date": "date", "instant": "text", "integer": "integer", "number": "numeric", "text": "text",
}  # fmt: skip


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


@dataclass(frozen=True)
class AnswerColumn:
    """A column of an answer, and the number by which Postgres knows its type."""

    name: str
    oid: int


def _as_text(value: str | bytes | None, _cursor: Cursor) -> str | None:
    return None if value is None else str(value)


def _as_iso_instant(value: str | bytes | None, _cursor: Cursor) -> str | None:
    if value is None:
        return None
    # The session is in UTC: `2022-04-30 04:10:26.5+00`; what is infinite has no zone.
    time, zone, era = str(value).partition("+00")
    return f"{time.replace(' ', 'T', 1)}+00:00{era}" if zone else time


_TEXT = new_type((DATE_OID, _NUMERIC_OID), "EXACT_TEXT", _as_text)
_INSTANT = new_type((INSTANT_OID,), "ISO_INSTANT", _as_iso_instant)


def open_reader() -> Connection:
    """A connection that can only read marts, no statement for longer than a question may take."""
    connection = connect("reader")
    with connection, connection.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = on")
        cursor.execute(
            "set statement_timeout = %s", (f"{get_settings().question_timeout_seconds}s",)
        )
    return connection


@contextlib.contextmanager
def reading() -> Iterator[Connection]:
    """Such a connection for as long as the block lasts, its errors in our words."""
    shown_while_alone()
    with contextlib.closing(open_reader()) as connection:
        try:
            yield connection
        except psycopg2.errors.QueryCanceled:
            raise TransientError(
                f"no answer within {get_settings().question_timeout_seconds} s: try again, "
                "or raise WAREHOUSE_QUESTION_TIMEOUT_SECONDS"
            ) from None
        except psycopg2.Error as error:
            raise database_error(error) from None


def ask(connection: Connection, question: Question, values: Mapping[str, Value | None]) -> Answer:
    """The answer to a question, all of it in memory."""
    with connection, connection.cursor() as cursor:
        for kind in (_TEXT, _INSTANT):
            register_type(kind, cursor)
        execute(cursor, *planned(question, values))
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
    if question.names_one_of_many(values):
        # That one is found by index, which a plan for whatever may be asked would not use.
        cursor.execute("set local plan_cache_mode = force_custom_plan")
    query, given = planned(question, values)
    skipped = 0
    if latest_first:
        execute(cursor, f"select count(*) from (\n{query}\n) as answer", given)
        skipped = max(0, cursor.fetchall()[0][0] - limit)
    some = f"limit {limit + 1:d} offset ${len(given) + 1}"
    execute(
        cursor,
        f"select * from (\n{query}\n) as answer {some}",
        [*given, ("bigint", skipped)],
    )
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


def planned(question: Question, values: Mapping[str, Value | None]) -> tuple[str, list[Given]]:
    """A question's query with $1, $2 and so on for its parameters, and what is in their places."""
    names = list(question.parameters)
    query = question.sql(lambda name: f"${names.index(name) + 1}")
    return query, [(_SQL_TYPES[question.parameters[name].type], values[name]) for name in names]


def copy_answer(
    connection: Connection, question: Question, values: Mapping[str, Value | None], out: CsvSink
) -> None:
    """Write the answer as CSV, in constant memory."""
    with connection.cursor() as cursor:
        copy_csv(cursor, bound(cursor, question, values), out)


def bound(cursor: Cursor, question: Question, values: Mapping[str, Value | None]) -> str:
    """The question's SQL with the values in their places."""
    return str(cursor.mogrify(question.statement, values).decode())


def columns_of(cursor: Cursor, query: str) -> list[AnswerColumn]:
    """The columns that a query's answer has."""
    cursor.execute(f"select * from (\n{query}\n) as answer limit 0")
    return [AnswerColumn(each.name, each.type_code) for each in cursor.description or ()]


def fetched(
    connection: Connection, query: str, columns: Sequence[AnswerColumn]
) -> Iterator[list[AnswerRow]]:
    """The rows of a query, some at a time, in the connection's transaction.

    Whole numbers and flags as such, instants as ISO 8601, anything else as Postgres writes it.
    """
    with connection.cursor() as cursor:
        # All of the rows are wanted, not the first ones soon.
        cursor.execute("set local cursor_tuple_fraction = 1")
    texts = {each.oid for each in columns} - {FLAG_OID, *WHOLE_OIDS, INSTANT_OID}
    with connection.cursor(name="answer") as rows:
        register_type(new_type(tuple(texts), "AS_TEXT", _as_text), rows)
        register_type(_INSTANT, rows)
        rows.execute(query)
        while some := rows.fetchmany(FETCHED_ROWS):
            yield some


def copy_csv(cursor: Cursor, query: str, out: CsvSink) -> None:
    """Write a query's rows as CSV with a header, instants as ISO 8601."""
    columns = columns_of(cursor, query)
    # By their places: two may have one name.
    names = [sql.Identifier(f"column_{place}") for place in range(len(columns))]
    values = [
        # to_json knows ISO 8601; COPY itself would put a space before the time.
        sql.SQL("to_json({}) #>> '{{}}' as {}" if each.oid == INSTANT_OID else "{} as {}").format(
            name, sql.Identifier(each.name)
        )
        for name, each in zip(names, columns, strict=True)
    ]
    selected, named = sql.SQL(", ").join(values), sql.SQL(", ").join(names)
    begin = sql.SQL("select {} from (").format(selected).as_string(cursor)
    end = sql.SQL(") as answer ({})").format(named).as_string(cursor) if columns else ") as answer"
    copy_query(cursor, f"{begin}\n{query}\n{end}", out)
