"""Connections to the warehouse: nothing else opens one, or says what an error of it means."""

import contextlib
import select
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.postgres.embedded import SUPERUSER, Embedded
from loader.warehouse.postgres.roles import ROLE_PREFIX, Role
from loader.warehouse.redaction import PASSWORDS
from loader.warehouse.settings import get_settings

MINIMUM_VERSION = 170000


class Endpoint(NamedTuple):
    """Where the warehouse is and who connects."""

    host: str
    port: int
    user: str
    password: str
    db: str


def endpoint() -> Endpoint:
    """The Postgres of the settings; the embedded one, started if need be, when none is set."""
    settings = get_settings()
    if settings.host:
        return Endpoint(
            settings.host,
            settings.port or 5432,
            settings.user,
            settings.password.get_secret_value(),
            settings.db,
        )
    server = Embedded(settings.home)
    port = server.start(settings.port)
    return Endpoint("127.0.0.1", port, SUPERUSER, server.password, settings.db)


def connect(role: Role | None = None) -> Connection:
    """Connect, in UTC, as `warehouse_<role>` where that role exists and may be taken.

    Without a role the connection keeps the user's own rights (migrations).
    Raises TransientError when the server cannot be reached, TerminalError when it says no.
    """
    where = endpoint()
    try:
        connection = open_connection(where)
    except psycopg2.OperationalError as error:
        raise _connection_error(error, where) from None
    if connection.server_version < MINIMUM_VERSION:
        connection.close()
        raise TerminalError(f"{where.host}:{where.port} is older than PostgreSQL 17")
    if role is not None:
        with connection, connection.cursor() as cursor:
            if role == "loader":
                # libpq notices a lost connection; this also ends a statement that hangs on a live
                # one.
                timeout = f"{get_settings().statement_timeout_seconds}s"
                cursor.execute("select set_config('statement_timeout', %s, false)", (timeout,))
            if _may_set_role(cursor, ROLE_PREFIX + role):
                # `set role`, not `set local role`: a rollback must not give the rights back.
                cursor.execute(sql.SQL("set role {}").format(sql.Identifier(ROLE_PREFIX + role)))
    return connection


def open_connection(where: Endpoint) -> Connection:
    """Open one, in UTC, with the user's own rights; raises what psycopg2 raises."""
    PASSWORDS.remember("Postgres", [where.password])
    connection = psycopg2.connect(
        host=where.host,
        port=where.port,
        user=where.user,
        password=where.password,
        dbname=where.db,
        application_name="bitso-warehouse",
        connect_timeout=10,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        client_encoding="UTF8",
    )
    with connection, connection.cursor() as cursor:
        # Not as `options`: PGTZ and PGDATESTYLE in the environment would win over them.
        cursor.execute("set timezone = 'UTC'; set datestyle = 'ISO'")
    return connection


def _may_set_role(cursor: Any, role: str) -> bool:
    cursor.execute(
        "select exists (select from pg_roles where rolname = %s and pg_has_role(oid, 'SET'))",
        (role,),
    )
    [(may,)] = cursor.fetchall()
    return bool(may)


def _connection_error(error: psycopg2.Error, where: Endpoint) -> WarehouseError:
    text = " ".join(str(error).split())
    reason = text.rpartition("FATAL: ")[2] or text
    message = f"cannot connect to {where.host}:{where.port}/{where.db} as {where.user}: {reason}"
    for final in ("password", "authentication", "does not exist", "pg_hba.conf"):
        if final in reason:
            return TerminalError(message)
    return TransientError(message)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Hear SIGTERM and Ctrl-C while a statement runs: libpq alone waits for its end first.

    The statement is cancelled and its connection given up.
    """
    before = extensions.get_wait_callback()
    extensions.set_wait_callback(_wait)
    try:
        yield
    finally:
        extensions.set_wait_callback(before)


def _wait(connection: Connection) -> None:
    try:
        while (state := connection.poll()) != extensions.POLL_OK:
            reading = state == extensions.POLL_READ
            select.select([connection] if reading else [], [] if reading else [connection], [])
    except (psycopg2.Error, OSError):
        raise
    except BaseException:
        with contextlib.suppress(psycopg2.Error):
            connection.cancel()
        raise


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[Any]:
    """Commit, or roll back, and let the first error through.

    psycopg2's own `with connection` would put its failure to roll back a lost one in its place.
    """
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    except BaseException:
        with contextlib.suppress(psycopg2.Error):
            connection.rollback()
        raise
