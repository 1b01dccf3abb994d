"""COPY: rows as text into a table, a query's rows out as CSV, with or without a header."""

import contextlib
import io
import select
from collections.abc import Iterator
from typing import IO, Protocol, cast

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from loader.warehouse.signals import end_if_told


class CsvSink(Protocol):
    """Where COPY writes to."""

    def write(self, data: bytes, /) -> int:
        """Take some bytes."""


class RowSource(Protocol):
    """Where rows for COPY come from."""

    def read(self, size: int, /) -> bytes:
        """The next piece; nothing at the end."""


class _PacedRows:
    """Rows for COPY, handed out no faster than the server takes them.

    A connection that does not block keeps in memory what it cannot send at once, without bound.
    """

    def __init__(self, connection: Connection, rows: RowSource) -> None:
        self._socket = connection.fileno()
        self._rows = rows
        # What the driver makes an error of its own of: Ctrl-C, or a file that proves damaged.
        self.raised: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        """The next piece, as soon as there is room for it."""
        try:
            while not select.select([], [self._socket], [], 0.2)[1]:
                end_if_told()
            return self._rows.read(size)
        except BaseException as error:
            self.raised = error
            raise


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
    with connection.cursor() as cursor:
        copy_block(cursor, statement, rows)
        return int(cursor.rowcount)


def copy_block(cursor: Cursor, statement: sql.Composable, rows: RowSource) -> None:
    """Run a COPY from stdin with what there is to read."""
    with _no_callback():
        paced = _PacedRows(cursor.connection, rows)
        try:
            cursor.copy_expert(statement, cast(IO[bytes], paced), size=1 << 16)
        except psycopg2.Error:
            if paced.raised:
                raise paced.raised from None
            raise


def copy_out(connection: Connection, query: str, values: dict[str, object]) -> bytes:
    """The rows of a query as lines of CSV, without a header."""
    lines = io.BytesIO()
    with connection.cursor() as cursor:
        copy_query(cursor, cursor.mogrify(query, values).decode(), lines, "")
    return lines.getvalue()


def copy_query(cursor: Cursor, query: str, out: CsvSink, header: str = ", header") -> None:
    """Write the rows of a query, its values bound already, as CSV: in constant memory.

    RFC 4180's quoting, LF at line ends; NULL is an empty field, an empty string is `""`.
    """
    with _no_callback():
        cursor.copy_expert(f"copy ({query}) to stdout (format csv{header})", out)


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
