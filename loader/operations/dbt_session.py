"""What is ours in dbt's sessions: their settings, and errors that say their SQLSTATE.

dbt hands on nothing but the text of an error, which is in the language of the server.
"""

import contextlib
import re
import weakref
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from loader.warehouse.postgres.connection import connecting, prepare
from loader.warehouse.postgres.failures import state_of

_STATE = re.compile(r" \[([0-9A-Z]{5})\]$")


class DbtConnection(Connection):
    """A `connection_factory` for psycopg2."""

    def __init__(self, *where: Any, **options: Any) -> None:
        with _stating():
            with connecting():
                super().__init__(*where, **options)
            prepare(self)
        self.cursor_factory = DbtCursor
        _open.add(self)

    def commit(self) -> None:
        """End the transaction."""
        with _stating():
            super().commit()


_open: weakref.WeakSet[DbtConnection] = weakref.WeakSet()


def give_up() -> None:
    """Tell Postgres not to go on with what it does for us.

    Not as dbt does it on Ctrl-C, for which its role lacks the right.
    """
    for connection in list(_open):
        with contextlib.suppress(psycopg2.Error):
            connection.cancel()


class DbtCursor(Cursor):
    """A cursor of such a connection."""

    def execute(self, *statement: Any) -> None:
        """Run a statement."""
        with _stating():
            super().execute(*statement)


def split_state(line: str) -> tuple[str, str]:
    """The first line of an error, and its SQLSTATE: an empty text where it is of no database."""
    found = _STATE.search(line)
    return (line[: found.start()], found[1]) if found else (line, "")


@contextlib.contextmanager
def _stating() -> Iterator[None]:
    """Put the SQLSTATE of an error at the end of its first line."""
    try:
        yield
    except psycopg2.Error as error:
        first, *others = str(error).strip().splitlines() or [type(error).__name__]
        error.args = ("\n".join([f"{first} [{state_of(error)}]", *others]),)
        raise
