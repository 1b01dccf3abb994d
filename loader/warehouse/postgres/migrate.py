"""The schema of raw and ops, brought up to date by numbered files that are applied once."""

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.postgres.connection import connect, endpoint, open_connection, transaction
from loader.warehouse.postgres.embedded import create_database
from loader.warehouse.postgres.roles import despite_others
from loader.warehouse.settings import get_settings

# A migration that waits for a lock has all who come after it wait, too. It asks for so long, which
# is less than Postgres waits before it looks for a deadlock, and then again later.
_LOCK_SECONDS = 0.5
_LOCK = "hashtextextended('bitso-warehouse:migrate', 0)"
_PAUSES = (0.1, 0.2, 0.5, 1, 2, 5, 5, 5, 10, 10, 10, 10)


def migrate() -> list[str]:
    """Bring the schema up to date, each migration in a transaction of its own.

    Returns the names of those applied now. Two callers at once take turns. Raises TransientError
    where somebody holds what a migration changes, and does not let go of it.
    """
    ensure_database()
    applied = []
    with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"select pg_advisory_lock({_LOCK})")
        cursor.execute("create schema if not exists ops")
        cursor.execute(
            "create table if not exists ops.migrations ("
            "name text primary key, applied_at timestamptz not null default now())"
        )
        connection.commit()
        known = applied_migrations(cursor)
        assert_not_newer(known)
        for file in migrations():
            if file.name not in known:
                _apply(connection, file)
                applied.append(file.name)
    return applied


def migrating(cursor: Any) -> None:
    """Let nobody else bring the schema up to date before the transaction ends."""
    cursor.execute(f"select pg_advisory_xact_lock({_LOCK})")


def applied_migrations(cursor: Any) -> list[str]:
    """The names of those that the database has, in order."""
    cursor.execute("select name from ops.migrations order by name")
    return [name for (name,) in cursor]


def assert_not_newer(known: Sequence[str]) -> None:
    """Raise TerminalError where a schema has migrations that come after all that we know."""
    if newer := newer_than_ours(known):
        raise TerminalError(
            f"a newer version made this warehouse ({newer[-1]}), and this one knows its schema up "
            f"to {migrations()[-1].name} only: use that version, or a newer one"
        )


def newer_than_ours(known: Sequence[str]) -> list[str]:
    """Those of the migrations of a database that come after all that we know."""
    newest = migrations()[-1].name
    return [name for name in known if name > newest]


def migrations() -> list[Traversable]:
    """The files of this version, in the order in which they are applied."""
    files = (resources.files("loader.warehouse.postgres") / "migrations").iterdir()
    return sorted((file for file in files if file.name.endswith(".sql")), key=lambda one: one.name)


def _apply(connection: Connection, file: Traversable) -> None:
    for pause in (*_PAUSES, None):
        try:
            with transaction(connection) as cursor:
                cursor.execute("set local lock_timeout = %s", (f"{_LOCK_SECONDS}s",))
                cursor.execute(file.read_text())
                cursor.execute("insert into ops.migrations (name) values (%s)", (file.name,))
            break
        except psycopg2.errors.LockNotAvailable as error:
            if pause is None:
                raise TransientError(
                    f"{file.name} waits for others to let go of a table: try again later"
                ) from error
            time.sleep(pause)


def ensure_database() -> None:
    """Make the database on the embedded server; elsewhere it is there or the error says so."""
    if get_settings().host:
        return
    where = endpoint()
    with contextlib.closing(open_connection(where._replace(db="postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            despite_others(partial(_create_database, cursor, where.db))


def _create_database(cursor: Any, name: str) -> None:
    cursor.execute("select from pg_database where datname = %s", (name,))
    if cursor.rowcount == 0:
        cursor.execute(create_database(name))
