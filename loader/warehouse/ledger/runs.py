"""The ledger of runs: one at a time of each job, each with one row that says what it did."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import (
    AlreadyRunningError,
    FileChangedError,
    RefusedError,
    WarehouseError,
)
from loader.warehouse.postgres.connection import connect, interruptible, transaction
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.redaction import redacted

log = logging.getLogger(__name__)


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


@contextlib.contextmanager
def exclusive(*jobs: str) -> Iterator[Connection]:
    """A connection of the loader's that holds the locks of jobs, and hears signals meanwhile."""
    with (
        interruptible(),
        contextlib.closing(connect("loader")) as connection,
        contextlib.ExitStack() as locks,
    ):
        for job in jobs:
            locks.enter_context(single_flight(connection, job))
        yield connection


@dataclass
class LedgerRun:
    """One row of the ledger, filled in while the work goes on."""

    run_id: int
    job: str
    rows_read: int = 0
    rows_inserted: int = 0
    rows_duplicate: int = 0
    rows_quarantined: int = 0
    status: str = "succeeded"
    detail: dict[str, Any] = field(default_factory=dict)
    # Of a run that failed and keeps what it has set aside.
    error: str | None = None

    def fail(self, error: str) -> None:
        """Close it as failed where its body ends well: what it wrote stays, in quarantine too."""
        self.status, self.error = "failed", error

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What it has counted so far, to be set again when that is taken back."""
        return self.rows_read, self.rows_inserted, self.rows_duplicate, self.rows_quarantined

    @counts.setter
    def counts(self, counts: tuple[int, int, int, int]) -> None:
        self.rows_read, self.rows_inserted, self.rows_duplicate, self.rows_quarantined = counts


@contextlib.contextmanager
def ledger_run(connection: Connection, job: str, detail: dict[str, Any]) -> Iterator[LedgerRun]:
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
        run = LedgerRun(run_id, job, detail=detail)
    try:
        yield run
        _close(connection, run, run.error)
        connection.commit()
    except BaseException as error:
        known = database_error(error) if isinstance(error, psycopg2.Error) else error
        run.status = "refused" if isinstance(known, RefusedError) else "failed"
        run.rows_inserted = 0
        _close_after_error(connection, run, str(known) or type(known).__name__)
        if known is error:
            raise
        raise known from None


def _close(connection: Connection, run: LedgerRun, error: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update ops.runs set finished_at = clock_timestamp(), status = %(status)s, "
            "rows_read = %(rows_read)s, rows_inserted = %(rows_inserted)s, "
            "rows_duplicate = %(rows_duplicate)s, rows_quarantined = %(rows_quarantined)s, "
            "error = %(error)s, detail = %(detail)s "
            "where run_id = %(run_id)s and status = 'running'",
            {**vars(run), "detail": json.dumps(run.detail), "error": error and redacted(error)},
        )


def _close_after_error(connection: Connection, run: LedgerRun, error: str) -> None:
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


def finished_run(cursor: Any, job: str, detail: dict[str, Any] | None = None) -> int:
    """A run that has ended well with what its transaction does; returns its id."""
    cursor.execute(
        "insert into ops.runs (job, status, finished_at, detail) "
        "values (%s, 'succeeded', clock_timestamp(), %s) returning run_id",
        (job, json.dumps(detail or {})),
    )
    [(run_id,)] = cursor.fetchall()
    return int(run_id)


def each_file(files: Sequence[Path], load: Callable[[Path], LedgerRun]) -> Iterator[LedgerRun]:
    """Load files one after the other, a run each; yield its closed run.

    Of several, one that is refused or changes meanwhile is logged and the others go on;
    RefusedError or FileChangedError is raised after the last. Any other error ends it.
    """
    refused = changed = 0
    for path in files:
        try:
            yield load(path)
        except (RefusedError, FileChangedError) as error:
            if len(files) == 1:
                raise
            log.error("%s", error)
            refused += isinstance(error, RefusedError)
            changed += isinstance(error, FileChangedError)
    if refused:
        raise RefusedError(f"{refused} of {len(files)} files refused")
    if changed:
        raise FileChangedError(f"{changed} of {len(files)} files changed while they were read")


def fold_runs(cursor: Any, first_kept: date, newest_run: int, time_zone: str) -> int:
    """Fold the runs of the days before one into counts by day; returns how many.

    Days are those of the time zone. Runs after `newest_run` stay, and so do those that are at
    work or that something points at, and the newest one of each job and status.
    """
    cursor.execute(
        "select ops.fold_runs(cast(%(day)s as timestamp) at time zone %(zone)s, %(run)s, %(zone)s)",
        {"day": first_kept, "zone": time_zone, "run": newest_run},
    )
    [(folded,)] = cursor.fetchall()
    return int(folded)
