"""COPY, the fast way into Postgres and out of it."""

import contextlib
import io
from collections.abc import Iterator
from typing import IO

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.signals import end_if_told


def copy_rows(
    connection: Connection,
    table: sql.Composable,
    columns: tuple[str, ...],
    rows: IO[bytes],
    *,
    freeze: bool = False,
) -> int:
    """COPY comma-separated text rows (backslash escapes, empty is NULL) into a table.

    Returns how many rows Postgres took.

    `freeze` is for a table made in this very transaction: its rows need no second write.
    """
    statement = sql.SQL(
        "copy {table} ({columns}) from stdin (format text, delimiter ',', null ''{freeze})"
    ).format(
        table=table,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        freeze=sql.SQL(", freeze" if freeze else ""),
    )
    with _no_callback(), connection.cursor() as cursor:
        cursor.copy_expert(statement, rows, size=1 << 18)
        return int(cursor.rowcount)


def copy_out(connection: Connection, query: str, values: dict[str, object]) -> bytes:
    """The rows of a query as lines of CSV, without a header."""
    lines = io.BytesIO()
    with _no_callback(), connection.cursor() as cursor:
        bound = cursor.mogrify(query, values).decode()
        cursor.copy_expert(f"copy ({bound}) to stdout (format csv)", lines)
    return lines.getvalue()


@contextlib.contextmanager
def _no_callback() -> Iterator[None]:
    """COPY works without the callback only; it hears signals between two pieces."""
    callback = extensions.get_wait_callback()
    extensions.set_wait_callback(None)
    try:
        yield
    except psycopg2.Error:
        # An exception raised in our reader comes back as "query cancelled": see whether it was a
        # signal.
        end_if_told()
        raise
    finally:
        extensions.set_wait_callback(callback)
