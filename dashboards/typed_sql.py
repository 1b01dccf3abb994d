"""SQL that somebody types: one query, of marts, that changes nothing."""

import re

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError, UsageError
from loader.warehouse.text import is_storable

_END = re.compile(r"[;\s]+\Z")
# A cursor takes one statement, and only one that has rows; as its text is a value here, it cannot
# end early.
_CHECK = """
    declare
        query refcursor;
    begin
        open query for execute {};
        close query;
    end
"""
_WANTED = "one query is wanted, such as `select * from marts.spread_alerts`"


def checked(connection: Connection, typed: str) -> str:
    """The query that a text holds, without the semicolon at its end.

    Raises UsageError for what is not one query, TerminalError for one that Postgres refuses: a name
    that it does not know, a table that is not for the reader, a change of data.
    """
    if not is_storable(typed):
        raise UsageError("sql: the query is not text in UTF-8")
    query = _END.sub("", typed)
    try:
        _open(connection, query)
    except psycopg2.errors.SyntaxError as error:
        raise UsageError(f"sql: {_said(error)}") from None
    try:
        # What is one by itself is one in parentheses, too: so the formats have it.
        _open(connection, f"select * from (\n{query}\n) as answer")
    except psycopg2.errors.SyntaxError:
        raise UsageError(f"sql: {_WANTED}") from None
    return query


def _open(connection: Connection, query: str) -> None:
    try:
        with connection, connection.cursor() as cursor:
            body = sql.SQL(_CHECK).format(sql.Literal(query)).as_string(cursor)
            cursor.execute(sql.SQL("do {}").format(sql.Literal(body)))
    except psycopg2.errors.SyntaxError:
        raise
    except psycopg2.errors.InvalidCursorDefinition:
        raise UsageError(f"sql: {_WANTED}") from None
    except psycopg2.ProgrammingError as error:
        raise TerminalError(f"sql: {_said(error)}") from None
    except psycopg2.errors.ReadOnlySqlTransaction:
        raise TerminalError("sql: this only reads") from None


def _said(error: psycopg2.Error) -> str:
    return str(error).strip().splitlines()[0]
