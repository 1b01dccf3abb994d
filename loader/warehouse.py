"""Connections, locks, the run ledger and COPY: the only place that writes to Postgres."""

import contextlib
import io
import json
import select
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import IO, Any, Literal, NamedTuple

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection

from loader.embedded import SUPERUSER, Embedded, create_database
from loader.errors import (
    AlreadyRunningError,
    RefusedError,
    TerminalError,
    TransientError,
    WarehouseError,
)
from loader.settings import get_settings
from loader.termination import end_if_told

Role = Literal["loader", "transformer", "reader", "exporter", "maintainer"]
ROLE_PREFIX = "warehouse_"
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
        connection = _open(where)
    except psycopg2.OperationalError as error:
        raise _connection_error(error, where) from None
    if connection.server_version < MINIMUM_VERSION:
        connection.close()
        raise TerminalError(f"{where.host}:{where.port} is older than PostgreSQL 17")
    if role is not None:
        with connection, connection.cursor() as cursor:
            if role == "loader":
                # On a lost connection and on a hung one alike, nothing waits for ever.
                timeout = f"{get_settings().statement_timeout_seconds}s"
                cursor.execute("select set_config('statement_timeout', %s, false)", (timeout,))
            if _may_set_role(cursor, ROLE_PREFIX + role):
                # The setting of the session, so that a rollback does not take it back.
                cursor.execute(sql.SQL("set role {}").format(sql.Identifier(ROLE_PREFIX + role)))
    return connection


def _open(where: Endpoint) -> Connection:
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


def database_error(error: psycopg2.Error) -> WarehouseError:
    """One line for what Postgres said, sorted into try again and do not."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    message = lines[0].removeprefix("ERROR: ").strip()
    state = error.pgcode or ""
    # 53 resources, 55 locks and state, 57 operator intervention, 40 deadlock and serialization.
    transient = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    if transient or state[:2] in {"40", "53", "55", "57"}:
        return TransientError(f"Postgres: {message}")
    # No such table, schema or function.
    if state in {"42P01", "3F000", "42883"}:
        return TerminalError(f"Postgres: {message}: run `loader init` and `dbt build` first")
    return TerminalError(f"Postgres: {message}")


def migrate() -> list[str]:
    """Bring the schema up to date, each migration in a transaction of its own.

    Returns the names of those applied now. Two callers at once take turns.
    """
    _ensure_database()
    applied = []
    with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(hashtextextended('bitso-warehouse:migrate', 0))")
        cursor.execute("create schema if not exists ops")
        cursor.execute(
            "create table if not exists ops.migrations ("
            "name text primary key, applied_at timestamptz not null default now())"
        )
        connection.commit()
        cursor.execute("select name from ops.migrations")
        known = {name for (name,) in cursor}
        files = resources.files("loader") / "migrations"
        for file in sorted(files.iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".sql") or file.name in known:
                continue
            cursor.execute(file.read_text())
            cursor.execute("insert into ops.migrations (name) values (%s)", (file.name,))
            connection.commit()
            applied.append(file.name)
    return applied


def _ensure_database() -> None:
    """Make the database on the embedded server; elsewhere it is there or the error says so."""
    if get_settings().host:
        return
    where = endpoint()
    with contextlib.closing(_open(where._replace(db="postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select from pg_database where datname = %s", (where.db,))
            if cursor.rowcount == 0:
                with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
                    cursor.execute(create_database(where.db))


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


@contextlib.contextmanager
def single_flight(connection: Connection, job: str, *, keeps_rows: bool = False) -> Iterator[None]:
    """Hold the lock of a job for as long as the connection lives.

    Raises AlreadyRunningError when another connection holds it. Who holds it knows that every
    other run of the job that is still open in the ledger has died, and closes it as failed; that
    of a job that commits as it goes (`keeps_rows`) as succeeded, with the rows that it has.
    """
    lock = f"bitso-warehouse:{job}"
    with transaction(connection) as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (lock,))
        [(is_mine,)] = cursor.fetchall()
        if not is_mine:
            cursor.execute(
                "select run_id, started_at from ops.runs "
                "where job = %s and status = 'running' order by run_id desc limit 1",
                (job,),
            )
            run = cursor.fetchone()
            which = f" (run {run[0]}, since {run[1]:%Y-%m-%d %H:%M:%S} UTC)" if run else ""
            raise AlreadyRunningError(f"another {job} run is at work{which}: try again later")
        cursor.execute(
            "update ops.runs set status = %s, finished_at = now(), error = %s "
            "where job = %s and status = 'running'",
            (
                "succeeded" if keeps_rows else "failed",
                f"the process{' or its connection' * keeps_rows} died before the run ended",
                job,
            ),
        )
    try:
        yield
    finally:
        with contextlib.suppress(psycopg2.Error):
            connection.rollback()
            with transaction(connection) as cursor:
                cursor.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (lock,))


@dataclass
class Run:
    """One row of the ledger, filled in while the work goes on."""

    run_id: int
    job: str
    rows_read: int = 0
    rows_inserted: int = 0
    rows_duplicate: int = 0
    rows_quarantined: int = 0
    status: str = "succeeded"
    detail: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def ledger_run(connection: Connection, job: str, detail: dict[str, Any]) -> Iterator[Run]:
    """Open a run in a transaction of its own; close it in the transaction of its rows.

    The body works on `connection` and does not commit: leaving it well commits rows and ledger
    together. An exception rolls the rows back, closes the run as refused or failed with what it
    had counted, and goes on as a WarehouseError.
    """
    with transaction(connection) as cursor:
        cursor.execute(
            "insert into ops.runs (job, detail) values (%s, %s) returning run_id",
            (job, json.dumps(detail)),
        )
        [(run_id,)] = cursor.fetchall()
        run = Run(run_id, job, detail=detail)
    try:
        yield run
        _close(connection, run, None)
        connection.commit()
    except BaseException as error:
        known = database_error(error) if isinstance(error, psycopg2.Error) else error
        run.status = "refused" if isinstance(known, RefusedError) else "failed"
        run.rows_inserted = 0
        _close_after_error(connection, run, str(known) or type(known).__name__)
        if known is error:
            raise
        raise known from None


def _close(connection: Connection, run: Run, error: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update ops.runs set finished_at = clock_timestamp(), status = %(status)s, "
            "rows_read = %(rows_read)s, rows_inserted = %(rows_inserted)s, "
            "rows_duplicate = %(rows_duplicate)s, rows_quarantined = %(rows_quarantined)s, "
            "error = %(error)s, detail = %(detail)s "
            "where run_id = %(run_id)s and status = 'running'",
            {**vars(run), "detail": json.dumps(run.detail), "error": error},
        )


def _close_after_error(connection: Connection, run: Run, error: str) -> None:
    """Record the failure, on a new connection when the old one is gone.

    When Postgres itself is gone the run stays open: the next run of the job closes it.
    """
    with contextlib.suppress(psycopg2.Error):
        connection.rollback()
        _close(connection, run, error)
        connection.commit()
        return
    with (
        contextlib.suppress(psycopg2.Error, WarehouseError),
        contextlib.closing(connect("loader")) as another,
    ):
        _close(another, run, error)
        another.commit()


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
        # What is raised while COPY reads, it reports as a cancelled query.
        end_if_told()
        raise
    finally:
        extensions.set_wait_callback(callback)
