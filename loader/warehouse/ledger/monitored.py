"""The time that a feed answers for: which books it watched, how often, and the gaps in it.

A run of a daemon commits its rows as they come. Its row in `ops.monitored` moves on with them, so
that a second before `monitored_until` is accounted for, whoever brings it again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.statements import statement
from loader.warehouse.text import storable


class Watched(NamedTuple):
    """Where the account ends: its last run, what that watched, and whether it meant to stop."""

    until: datetime
    run_id: int
    books: tuple[str, ...]
    is_stopped: bool


class Watch(NamedTuple):
    """Whole seconds in which a feed was to see some books, once in each interval."""

    feed: str
    interval: timedelta
    books: tuple[str, ...]
    since: datetime
    # the first second after it
    until: datetime
    # A recording says so: what it does not hold was missed.
    is_recorded: bool = False


class Gap(NamedTuple):
    """A stretch of whole seconds without an observation, and its cause."""

    book: str
    since: datetime
    # the first second after it
    until: datetime
    cause: str
    detail: str | None


def last_watched(cursor: Any, feed: str) -> Watched | None:
    """Where the account of a feed ends; None before its first second.

    A recording is nobody's account: who polls today does not answer for the time since.
    """
    cursor.execute(
        "select monitored_until, run_id, books, detail ? 'stopped' "
        "from ops.monitored inner join ops.runs using (run_id) "
        "where feed = %s and not is_recorded order by monitored_until desc, run_id desc limit 1",
        (feed,),
    )
    row = cursor.fetchone()
    return Watched(row[0], row[1], tuple(row[2]), row[3]) if row else None


def open_watch(
    cursor: Any, job: str, feed: str, interval: timedelta, books: Sequence[str], at: datetime
) -> int:
    """Begin a run that watches books from a second on; returns its id."""
    cursor.execute("insert into ops.runs (job) values (%s) returning run_id", (job,))
    [(run_id,)] = cursor.fetchall()
    cursor.execute(
        "insert into ops.monitored "
        "(run_id, feed, interval, books, monitored_from, monitored_until) "
        "values (%s, %s, %s, %s, %s, %s)",
        (run_id, feed, interval, list(books), at, at),
    )
    return int(run_id)


def note_watch(cursor: Any, run_id: int, watch: Watch) -> None:
    """Write down what a run has watched that ends with the transaction."""
    cursor.execute(
        "insert into ops.monitored (run_id, feed, interval, books, monitored_from, "
        "monitored_until, is_recorded, is_merged) values (%s, %s, %s, %s, %s, %s, %s, true)",
        (
            run_id, watch.feed, watch.interval, list(watch.books), watch.since, watch.until,
            watch.is_recorded,
        ),
    )  # fmt: skip
    _merge(cursor, watch)


def watch_on(cursor: Any, run_id: int, known_until: datetime, until: datetime) -> None:
    """Move the end of a run's time on from where it is known to be.

    Raises TransientError when it is somewhere else: somebody else wrote the account.
    """
    cursor.execute(
        "update ops.monitored set monitored_until = %s where run_id = %s and monitored_until = %s",
        (until, run_id, known_until),
    )
    if cursor.rowcount != 1:
        raise TransientError(f"somebody else wrote the account of run {run_id}")


def count_rows(cursor: Any, run_id: int, inserted: int, quarantined: int) -> None:
    """Say how many rows a run has brought so far."""
    cursor.execute(
        "update ops.runs set rows_read = %s, rows_inserted = %s, rows_quarantined = %s "
        "where run_id = %s",
        (inserted + quarantined, inserted, quarantined, run_id),
    )


def close_watch(cursor: Any, run_id: int) -> None:
    """End a run well."""
    cursor.execute(
        "update ops.runs set status = 'succeeded', finished_at = clock_timestamp() "
        "where run_id = %s",
        (run_id,),
    )
    merge_finished(cursor)


def merge_finished(cursor: Any) -> None:
    """Bring into ops.monitored_time what runs have watched that have ended since the last time.

    Also those that somebody else has ended because their process had died.
    """
    cursor.execute(
        "update ops.monitored set is_merged = true from ops.runs "
        "where monitored.run_id = runs.run_id and not is_merged and runs.status <> 'running' "
        "returning feed, interval, books, monitored_from, monitored_until, is_recorded"
    )
    for feed, interval, books, *rest in cursor.fetchall():
        _merge(cursor, Watch(feed, interval, tuple(books), *rest))


def _merge(cursor: Any, watch: Watch) -> None:
    """Add a stretch, as one with those that it adjoins or overlaps."""
    if watch.since == watch.until:
        return
    of_same_kind = (watch.feed, watch.interval, list(watch.books), watch.is_recorded)
    cursor.execute(
        "delete from ops.monitored_time "
        "where feed = %s and interval = %s and books = %s and is_recorded = %s "
        "and monitored_until >= %s and monitored_from <= %s "
        "returning monitored_from, monitored_until",
        (*of_same_kind, watch.since, watch.until),
    )
    stretches = [(watch.since, watch.until), *cursor.fetchall()]
    cursor.execute(
        "insert into ops.monitored_time "
        "(feed, interval, books, is_recorded, monitored_from, monitored_until) "
        "values (%s, %s, %s, %s, %s, %s)",
        (*of_same_kind, min(start for start, _ in stretches), max(end for _, end in stretches)),
    )


def mark_stopped(cursor: Any, run_id: int, *, is_stopped: bool = True) -> None:
    """Take note that the daemon stopped on purpose after this run, or that it goes on."""
    changed = "detail || '{\"stopped\": true}'" if is_stopped else "detail - 'stopped'"
    cursor.execute(f"update ops.runs set detail = {changed} where run_id = %s", (run_id,))


def write_gaps(cursor: Any, run_id: int, feed: str, gaps: Iterable[Gap]) -> None:
    """Write gaps of a run's feed; one that goes on since it was last written grows."""
    columns = list(zip(*gaps, strict=True))
    if not columns:
        return
    books, since, until, causes, details = map(list, columns)
    cursor.execute(
        statement(__package__, "write_gaps"),
        {
            "run_id": run_id, "feed": feed, "books": books, "since": since, "until": until,
            "causes": causes,
            # What the other side said, in whatever characters.
            "details": [None if detail is None else storable(detail) for detail in details],
        },
    )  # fmt: skip


def observed_until(cursor: Any, feed: str) -> datetime | None:
    """Until when a feed has seen anything: a run of which every second is a gap has not."""
    cursor.execute(
        "select monitored_until from ops.monitored inner join ops.runs using (run_id) "
        "where feed = %s and rows_inserted > 0 order by monitored_until desc limit 1",
        (feed,),
    )
    row: tuple[datetime] | None = cursor.fetchone()
    return row[0] if row else None


def has_failed(cursor: Any, job: str, since: datetime) -> bool:
    """Whether a run of a job has begun since an instant, and failed."""
    cursor.execute(
        "select from ops.runs where job = %s and started_at >= %s "
        "and status in ('failed', 'refused') limit 1",
        (job, since),
    )
    return bool(cursor.rowcount)
