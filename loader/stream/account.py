"""The account of the stream in Postgres: every second an observation or a gap, exactly once.

What is in the account is what ops.monitored says: a second before `monitored_until` is there, with
its rows, and is not written again, whoever brings it and however often.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.stream import frames
from loader.stream.frames import BadFrame
from loader.stream.market import SAMPLES
from loader.stream.seconds import Damage, Sample, Second, Stop, Why
from loader.warehouse.clock import MINUTE, SECOND
from loader.warehouse.halving import refused_rows
from loader.warehouse.ledger import monitored
from loader.warehouse.ledger.monitored import Gap
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.quarantine import SetAside, set_aside
from loader.warehouse.ledger.runs import finished_run
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.failures import cannot_hold, cause_of
from loader.warehouse.text import counted, readable
from loader.wire.records import Record

JOB = FEED = "stream"
LOST_LINES = "lines of the spool could not be taken"

log = logging.getLogger(__name__)


@dataclass
class _OpenGap:
    start: datetime
    until: datetime
    why: Why

    def detail(self) -> str | None:
        if self.why.cause != "database":
            return self.why.detail
        seconds = int((self.until - self.start).total_seconds())
        return f"{counted(seconds, 'observation')} dropped: {self.why.detail}"


@dataclass
class _OpenRun:
    """The run that is open, and what of it is not written yet."""

    run_id: int
    books: tuple[str, ...]
    start: datetime
    # how far it is written in Postgres, and how far it has got
    stored_until: datetime
    until: datetime
    inserted: int = 0
    quarantined: int = 0
    # by book: the gap that goes on for as long as the next second has the same cause
    gaps: dict[str, _OpenGap] = field(default_factory=dict)
    samples: list[tuple[datetime, Sample]] = field(default_factory=list)
    touched: dict[tuple[str, datetime], _OpenGap] = field(default_factory=dict)
    bad: list[BadFrame] = field(default_factory=list)

    @property
    def turn(self) -> datetime:
        """Where its minute ends."""
        return self.start.replace(second=0) + MINUTE


class StreamAccount:
    """Writes seconds on one connection, which holds the job's lock; each call one transaction.

    After an error nobody knows what was committed: only a new one, which reads it back, goes on.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._days = TimePartitions()
        self._run: _OpenRun | None = None
        self.until: datetime | None = None
        self._last_run: int | None = None
        self._last_books: tuple[str, ...] = ()
        self._is_stopped = False
        # Lines since the last second that said nothing.
        self._damaged_lines = 0
        with transaction(connection) as cursor:
            # What a process that died has left open, the lock's taker has closed.
            monitored.merge_finished(cursor)
            if last := monitored.last_watched(cursor, FEED):
                self.until, self._last_run = last.until, last.run_id
                self._last_books, self._is_stopped = last.books, last.is_stopped
                if last.is_stopped:
                    # From now on there may be seconds that are not here yet.
                    monitored.mark_stopped(cursor, last.run_id, is_stopped=False)

    def reread(self) -> "StreamAccount":
        """The account as it is in Postgres, after an error on a connection that lives."""
        return StreamAccount(self._connection)

    def write(self, lines: Iterable[Second | Stop | Damage]) -> None:
        """Write seconds in their order, where they stop, and what was to be one and is none."""
        told = []
        with transaction(self._connection) as cursor:
            for line in lines:
                if isinstance(line, Stop):
                    self._stop(cursor, line)
                elif isinstance(line, Damage):
                    told.append(self._set_aside(cursor, line))
                elif self.until is None or line.until > self.until:
                    self._take(cursor, line)
            self._flush(cursor)
        if told:
            log.warning("%s (%s in all)", told[0], counted(len(told), "place"))

    def _take(self, cursor: Any, second: Second) -> None:
        if self.until is not None:
            if second.at > self.until:
                self._account_for_absence(cursor, second)
            self._damaged_lines = 0
            second = replace(second, at=max(second.at, self.until))
        run = self._run
        if run and (run.books != second.books or second.until > run.turn):
            self._close(cursor)
        self._add(cursor, second)

    def _account_for_absence(self, cursor: Any, second: Second) -> None:
        """From where the account ends to a second, for the books that are still watched."""
        start = self.until
        assert start is not None
        # The open run ended where the account ends, before the absence.
        self._close(cursor)
        books = tuple(book for book in self._last_books if book in second.books)
        if not books:
            return
        damaged_until = min(start + self._damaged_lines * SECOND, second.at)
        killed_until = min(damaged_until + (not self._is_stopped) * SECOND, second.at)
        for at, until, why in (
            (start, damaged_until, Why("database", LOST_LINES)),
            (damaged_until, killed_until, Why("killed")),
            (killed_until, second.at, Why("not_running")),
        ):
            if at < until:
                self._add(cursor, Second.missed(at, until, books, why), turns=False)
        self._close(cursor)

    def _add(self, cursor: Any, second: Second, *, turns: bool = True) -> None:
        run = self._run or self._open(cursor, second.books, second.at)
        for sample in second.samples:
            run.samples.append((second.at, sample))
            run.gaps.pop(sample.book, None)
        for book, why in second.gaps.items():
            gap = run.gaps.get(book)
            if gap and gap.why == why and gap.until == second.at:
                gap.until = second.until
            else:
                gap = run.gaps[book] = _OpenGap(second.at, second.until, why)
            run.touched[book, gap.start] = gap
        run.bad += second.bad
        run.until = self.until = second.until
        if turns and run.until >= run.turn:
            self._close(cursor)

    def _open(self, cursor: Any, books: tuple[str, ...], at: datetime) -> _OpenRun:
        run_id = monitored.open_watch(cursor, JOB, FEED, SECOND, books, at)
        self._run = _OpenRun(run_id, books, at, at, at)
        self._last_run, self._last_books, self._is_stopped = run_id, books, False
        return self._run

    def _close(self, cursor: Any) -> None:
        self._flush(cursor)
        if self._run:
            monitored.close_watch(cursor, self._run.run_id)
            self._run = None

    def _stop(self, cursor: Any, stop: Stop) -> None:
        if stop.at != self.until:
            # The line is of an earlier stop and is read a second time.
            return
        self._close(cursor)
        if self._last_run is not None:
            monitored.mark_stopped(cursor, self._last_run)
        self._is_stopped = True

    def _flush(self, cursor: Any) -> None:
        """Write what the run has gathered."""
        run = self._run
        if run is None or run.until == run.stored_until:
            return
        monitored.watch_on(cursor, run.run_id, run.stored_until, run.until)
        run.stored_until = run.until
        self._copy(cursor, run)
        self._write_gaps(cursor, run)
        self._quarantine(cursor, run)
        monitored.count_rows(cursor, run.run_id, run.inserted, run.quarantined)

    def _copy(self, cursor: Any, run: _OpenRun) -> None:
        if not run.samples:
            return
        self._days.ensure(SAMPLES.table, {at.date() for at, _ in run.samples})
        for (at, sample), reason in refused_rows(run.samples, partial(self._store, cursor, run)):
            run.bad.append(BadFrame(sample.book, "not_storable", reason, sample.payload))
            run.touched[sample.book, at] = _OpenGap(at, at + SECOND, Why("database", reason))
        run.samples.clear()

    def _store(
        self, cursor: Any, run: _OpenRun, samples: Sequence[tuple[datetime, Sample]]
    ) -> str | None:
        """COPY samples; returns why Postgres refuses one of them, if it does."""
        cursor.execute("savepoint samples")
        try:
            run.inserted += SAMPLES.copy(self._connection, _records(samples), run.run_id)
        except psycopg2.Error as error:
            if cause_of(error) != "row":
                raise
            cursor.execute("rollback to savepoint samples")
            return cannot_hold(error)
        cursor.execute("release savepoint samples")
        return None

    def _write_gaps(self, cursor: Any, run: _OpenRun) -> None:
        gaps = [
            Gap(book, gap.start, gap.until, gap.why.cause, gap.detail())
            for (book, _), gap in run.touched.items()
        ]
        monitored.write_gaps(cursor, run.run_id, FEED, gaps)
        run.touched.clear()

    def _quarantine(self, cursor: Any, run: _OpenRun) -> None:
        rows = [
            SetAside(bad.book or frames.CHANNEL, bad.code, bad.reason, bad.raw) for bad in run.bad
        ]
        # The same bad frame twice is two frames.
        set_aside(cursor, run.run_id, frames.SOURCE, rows, once=False)
        run.quarantined += len(run.bad)
        run.bad.clear()

    def _set_aside(self, cursor: Any, damage: Damage) -> str:
        """Lines of the spool, in a run of their own: nobody knows which seconds they were."""
        reason = f"{counted(damage.lines, 'line')} of the spool cannot be read: {damage.reason}"
        row = SetAside("spool", "unreadable_line", reason, readable(damage.raw))
        run_id = finished_run(cursor, JOB)
        monitored.count_rows(cursor, run_id, 0, set_aside(cursor, run_id, frames.SOURCE, [row]))
        self._damaged_lines += damage.lines
        return reason


def _records(samples: Iterable[tuple[datetime, Sample]]) -> Iterator[Record]:
    for at, sample in samples:
        bid, ask = (None if side is None else Decimal(side) for side in (sample.bid, sample.ask))
        yield Record(at, sample.book, sample.payload, bid, ask, sample.sequence)
