"""Connections to the warehouse: nothing else opens one, or says what an error of it means."""

import contextlib
import logging
import math
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.postgres.embedded import SUPERUSER, Embedded
from loader.warehouse.postgres.failures import NeverAskedError, state_of, waiting_helps
from loader.warehouse.postgres.pooler import mixes_sessions
from loader.warehouse.postgres.roles import ROLE_PREFIX, Role
from loader.warehouse.redaction import PASSWORDS
from loader.warehouse.settings import get_settings

log = logging.getLogger(__name__)

MINIMUM_VERSION = 170000
ENCODING = "UTF8"
ISOLATION = "READ COMMITTED"
# The longest that a server may take to let us in.
CONNECT_SECONDS = 10

# What an administrator has set for a user or a database, with other programs in mind, is not to
# break what is made for Postgres as it comes. Only whether a server may be written to is theirs to
# say (`default_transaction_read_only`).
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": ISOLATION,
    # Who holds the lock of a job waits for dbt, or for a server on the Internet.
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
}


# The embedded servers that this process has used. Who goes on after one was stopped waits for it:
# a daemon that started it again would undo what somebody has just done.
_met: set[Path] = set()


class Endpoint(NamedTuple):
    """Where the warehouse is and who connects."""

    host: str
    port: int
    user: str
    password: str
    db: str


def endpoint() -> Endpoint:
    """The Postgres of the settings; the embedded one, started if need be, when none is set."""
    if found := running_endpoint():
        return found
    settings = get_settings()
    server = Embedded(settings.home)
    if server.home in _met and server.is_stopped:
        raise TransientError("the embedded Postgres was stopped: `loader init` starts it again")
    return _embedded(server, server.start(settings.port))


def running_endpoint() -> Endpoint | None:
    """The same, without starting anything; None while the embedded one does not run."""
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
    port = server.running_port()
    return None if port is None else _embedded(server, port)


def _embedded(server: Embedded, port: int) -> Endpoint:
    _met.add(server.home)
    return Endpoint("127.0.0.1", port, SUPERUSER, server.password, get_settings().db)


def connect(role: Role | None = None, where: Endpoint | None = None) -> Connection:
    """Connect, with our settings, as `warehouse_<role>` where that role exists and may be taken.

    Without a role the connection keeps the user's own rights (migrations); without an endpoint it
    is that of the settings.
    Raises TransientError when the server cannot be reached, TerminalError when it says no, or
    cannot be a warehouse: too old, of another encoding, behind a pooler that mixes sessions.
    """
    where = where or endpoint()
    try:
        connection = open_connection(where)
    except psycopg2.OperationalError as error:
        raise _connection_error(error, where) from None
    try:
        _assert_usable(connection, where, role)
        prepare(connection)
        with transaction(connection) as cursor:
            if role is not None and _may_set_role(cursor, ROLE_PREFIX + role):
                # `set role`, not `set local role`: a rollback must not give the rights back.
                cursor.execute(sql.SQL("set role {}").format(sql.Identifier(ROLE_PREFIX + role)))
    except BaseException:
        connection.close()
        raise
    log.debug("connected to %s:%s/%s as %s", where.host, where.port, where.db, role or where.user)
    return connection


def open_connection(where: Endpoint) -> Connection:
    """Open one, with the user's own rights and settings; raises what psycopg2 raises."""
    PASSWORDS.remember("Postgres", [where.password])
    with connecting():
        connection = psycopg2.connect(
            host=where.host,
            port=where.port,
            user=where.user,
            password=where.password,
            dbname=where.db,
            application_name="bitso-warehouse",
            connect_timeout=CONNECT_SECONDS,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            client_encoding=ENCODING,
        )
    connection.set_session(isolation_level=ISOLATION)
    return connection


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """Open a connection in here; raises NeverAskedError where no server was asked for one."""
    try:
        yield
    except psycopg2.OperationalError as error:
        if _begins():
            raise
        told = ", ".join(sorted(name for name in os.environ if name.startswith("PG")))
        said = str(error).strip()
        raise NeverAskedError(f"{said} (told by the environment: {told or 'nothing'})") from None


def _begins() -> bool:
    """Whether libpq begins any connection, with what the environment tells it (PGSSLMODE, ...).

    Its words are many, and none when it is waited for by `_wait`; this asks no server anything.
    """
    try:
        psycopg2.connect(
            host="127.0.0.1", port=9, dbname="none", async_=True, connection_factory=Connection
        ).close()
    except psycopg2.OperationalError:
        return False
    return True


def prepare(connection: Connection) -> None:
    """Give a session our settings.

    As statements and not as `options` of the connection: poolers refuse those, and PGTZ and
    PGDATESTYLE in the environment would win over them.
    """
    # A standby refuses whatever begins as serializable, as a server may have it by default.
    connection.set_session(isolation_level=ISOLATION)
    # libpq notices a lost connection; this also ends a statement that hangs on a live one.
    timeout = f"{get_settings().statement_timeout_seconds}s"
    assignments = [
        sql.SQL("set {} = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in {**SESSION, "statement_timeout": timeout}.items()
    ]
    with transaction(connection) as cursor:
        cursor.execute(sql.SQL("; ").join(assignments))


def _assert_usable(connection: Connection, where: Endpoint, role: Role | None) -> None:
    place = f"{where.host}:{where.port}"
    if connection.server_version < MINIMUM_VERSION:
        raise TerminalError(f"{place} is older than PostgreSQL 17")
    encoding = connection.info.parameter_status("server_encoding")
    # What was written before may still be read.
    if encoding != ENCODING and role not in ("reader", "exporter"):
        raise TerminalError(
            f"the database {where.db} at {place} is encoded in {encoding}, which cannot hold every "
            "text: make another one (create database ... encoding 'UTF8' template template0) and "
            "set WAREHOUSE_DB"
        )
    if mixes_sessions(connection, lambda: open_connection(where)):
        raise TerminalError(
            f"{place} is a pooler that gives each transaction another session (pgbouncer's "
            "pool_mode = transaction), where locks and roles get lost: set WAREHOUSE_HOST and "
            "WAREHOUSE_PORT to Postgres itself, or to a pool with pool_mode = session"
        )


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
    return (TransientError if waiting_helps(state_of(error)) else TerminalError)(message)


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
    # libpq keeps its own limit only where it waits itself.
    is_new = connection.status == extensions.STATUS_SETUP
    gives_up_at = time.monotonic() + CONNECT_SECONDS if is_new else math.inf
    try:
        while (state := connection.poll()) != extensions.POLL_OK:
            reading = state == extensions.POLL_READ
            left = max(0.0, gives_up_at - time.monotonic()) if is_new else None
            if not any(select.select(
                [connection] if reading else [], [] if reading else [connection], [], left
            )):  # fmt: skip
                raise psycopg2.OperationalError("timeout expired")
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
