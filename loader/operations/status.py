"""Whether every job of the schedule is on time, as the ledger has it."""

import contextlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.operations.schedule import SCHEDULE, SCHEDULER, ScheduledJob
from loader.warehouse.errors import AlreadyRunningError
from loader.warehouse.ledger import cursors
from loader.warehouse.ledger.monitored import observed_until
from loader.warehouse.ledger.quarantine import count_open
from loader.warehouse.ledger.runs import exclusive, ledger_run
from loader.warehouse.postgres.connection import connect
from loader.warehouse.values import CLOCK_SKEW, EARLIEST

# off: the job needs a key that is not set, or is a daemon that nobody ever started; never: it has
# not succeeded yet; overrun: a run of it is older than its deadline, whether it hangs or has died;
# by hand: stale or never, where no schedule runs that would be late.
JobState = Literal["fresh", "stale", "never", "overrun", "off", "by hand"]
# How long the scheduler takes to end a run that is past its deadline.
GRACE = timedelta(minutes=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class JobStatus:
    """How one job is doing. Lags are in seconds, None while there is nothing to measure from."""

    job: str
    state: JobState
    last_success: datetime | None
    load_lag_seconds: int | None
    newest_event: datetime | None
    event_lag_seconds: int | None
    next_expected: datetime | None
    running_since: datetime | None
    rows: int
    quarantined_open: int
    # What went wrong last, since the last success, and when the first of that did.
    last_error: str | None
    failing_since: datetime | None

    @property
    def is_late(self) -> bool:
        """Whether somebody should look."""
        return self.state in ("stale", "never", "overrun")

    def as_json(self) -> dict[str, Any]:
        """The fields, with times in ISO 8601."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


def statuses(
    jobs: Iterable[ScheduledJob] = SCHEDULE, now: datetime | None = None
) -> list[JobStatus]:
    """The state of each job, by the clock of the loader's host.

    Where no schedule has ever run, no job that it would run is late.
    """
    with closing(connect("loader")) as connection:
        return statuses_on(connection, jobs, now or datetime.now(UTC))


def statuses_on(
    connection: Connection, jobs: Iterable[ScheduledJob], now: datetime
) -> list[JobStatus]:
    """The same on a connection of the loader's."""
    is_scheduled = has_schedule(connection)
    return [_status(connection, job, now, is_scheduled=is_scheduled) for job in jobs]


def has_schedule(connection: Connection) -> bool:
    """Whether a schedule has ever run here."""
    return _has_run(connection, SCHEDULER)


def note_schedule() -> None:
    """Take note, in the ledger, that from now on a schedule runs the jobs."""
    # Whoever is at it at this moment says the same.
    with (
        contextlib.suppress(AlreadyRunningError),
        exclusive(SCHEDULER) as connection,
        ledger_run(connection, SCHEDULER, {}),
    ):
        pass


def _status(
    connection: Connection, job: ScheduledJob, now: datetime, *, is_scheduled: bool
) -> JobStatus:
    last_success, rows, last_error, failing_since = _runs(connection, job)
    newest = [_newest(connection, table, now) for table in job.tables]
    # The oldest of its tables decides: one that stands still, or is empty, must not be hidden by
    # another.
    known = [moment for moment in newest if moment is not None]
    newest_event = min(known) if known and len(known) == len(newest) else None
    if job.once_run:
        with connection.cursor() as cursor:
            newest_event = observed_until(cursor, job.name)
    has_event = bool(job.tables) or job.once_run
    load_lag = _lag(now, last_success)
    event_lag = _lag(now, newest_event)
    running_since = _running_since(connection, job)
    state: JobState = "fresh"
    if not job.is_on or (job.once_run and not _has_run(connection, job.name)):
        state = "off"
    elif job.deadline and running_since and now - running_since > job.deadline + GRACE:
        state = "overrun"
    elif last_success is None and job.once_run and running_since and (
        now - running_since <= job.stale_after
    ):  # fmt: skip
        # Its first minute is not over.
        state = "fresh"
    elif last_success is None:
        state = "never"
    elif any(
        lag is None or timedelta(seconds=lag) > job.stale_after
        for lag in (load_lag, *([event_lag] if has_event else []))
    ):
        state = "stale"
    if not is_scheduled and job.deadline and state in ("stale", "never"):
        state = "by hand"
    return JobStatus(
        job=job.name,
        state=state,
        last_success=last_success,
        load_lag_seconds=load_lag,
        newest_event=newest_event,
        event_lag_seconds=event_lag,
        next_expected=last_success + job.period if last_success else None,
        running_since=running_since,
        rows=rows,
        quarantined_open=count_open(connection, [*job.tables, *job.set_aside_as]),
        last_error=last_error,
        failing_since=failing_since,
    )


def _lag(now: datetime, moment: datetime | None) -> int | None:
    return None if moment is None else max(0, int((now - moment).total_seconds()))


def _runs(
    connection: Connection, job: ScheduledJob
) -> tuple[datetime | None, int, str | None, datetime | None]:
    """The last success, the rows it brought, and what went wrong since, and from when on.

    Not of single files: a good file says nothing of another one (`refused_files.sql`).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select started_at, finished_at, rows_inserted from ops.runs "
            "where job = %s and status in ('succeeded', 'unchanged') "
            "order by started_at desc limit 1",
            (job.name,),
        )
        started_at, finished_at, rows = cursor.fetchone() or (LONG_AGO, None, 0)
        cursor.execute(
            "select (array_agg(error order by started_at desc))[1], min(started_at) from ops.runs "
            "where job = %s and status in ('failed', 'refused') and started_at > %s "
            "and not detail ? 'file'",
            (job.name, started_at),
        )
        [(error, failing_since)] = cursor.fetchall()
        if job.resumes:
            finished_at = cursors.done_at(cursor, job.name, cursors.WHOLE_LIST)
    return finished_at, rows, error, failing_since


def _running_since(connection: Connection, job: ScheduledJob) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select min(started_at) from ops.runs where job = %s and status = 'running'",
            (job.name,),
        )
        row: tuple[datetime | None] = cursor.fetchall()[0]
    return row[0]


def _newest(connection: Connection, table: str, now: datetime) -> datetime | None:
    """When the newest row came; what says that it came later than now does not hide silence."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("select max(received_at) from {} where received_at between %s and %s").format(
                sql.Identifier("raw", table)
            ),
            (EARLIEST, now + CLOCK_SKEW),
        )
        row: tuple[datetime | None] = cursor.fetchall()[0]
    return row[0]


def _has_run(connection: Connection, job: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select from ops.runs where job = %s limit 1", (job,))
        return bool(cursor.rowcount)
