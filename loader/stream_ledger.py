"""The account of the stream in Postgres: every second an observation or a gap, exactly once.

What is in the account is what ops.monitored says: a second before `monitored_until` is there, with
its rows, and is not written again, whoever brings it and however often.
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Self

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.errors import TransientError
from loader.market_rows import FEEDS, Days, storable
from loader.sources import bitso, bitso_stream
from loader.sources.bitso_stream import BadFrame
from loader.sources.records import Record
from loader.warehouse import copy_rows, transaction

JOB = "stream"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

Cause = Literal[
    "starting", "resync", "disconnected", "stale", "database", "killed", "throttled", "not_running"
]
_FEED = replace(FEEDS[bitso.ORDER_BOOKS], channel=bitso_stream.CHANNEL)

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """A book in one second: numbers as text, just as they go into the row."""

    book: str
    sequence: int
    bid: str | None
    ask: str | None
    payload: str


class Why(NamedTuple):
    """The cause of a gap, and what more there is to say."""

    cause: Cause
    detail: str | None = None


@dataclass(frozen=True)
class Second:
    """All books in one second, or in several of which there is no sample at all."""

    at: datetime
    until: datetime
    books: tuple[str, ...]
    gaps: Mapping[str, Why]
    samples: tuple[Sample, ...] = ()
    bad: tuple[BadFrame, ...] = ()

    @classmethod
    def missed(cls, at: datetime, until: datetime, books: Sequence[str], why: Why) -> Self:
        """Seconds that nobody observed."""
        return cls(at, until, tuple(books), dict.fromkeys(books, why))

    def without_samples(self, reason: str) -> "Second":
        """The same when its samples cannot be kept."""
        lost = {sample.book: Why("database", reason) for sample in self.samples}
        return Second(self.at, self.until, self.books, {**self.gaps, **lost})

    def encode(self) -> bytes:
        """As a line for the spool."""
        gaps: dict[Why, list[str]] = {}
        for book, why in self.gaps.items():
            gaps.setdefault(why, []).append(book)
        return json.dumps(
            {
                "at": int(self.at.timestamp()),
                "until": int(self.until.timestamp()),
                "books": self.books,
                # Mostly one cause for all.
                "gaps": [[*why, None if len(books) == len(self.books) else books]
                         for why, books in gaps.items()],
                "samples": self.samples,
                "bad": self.bad,
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Back from a line."""
        data = json.loads(line)
        books = tuple(data["books"])
        return cls(
            datetime.fromtimestamp(data["at"], UTC),
            datetime.fromtimestamp(data["until"], UTC),
            books,
            {
                book: Why(cause, detail)
                for cause, detail, these in data["gaps"]
                for book in these or books
            },
            tuple(Sample(*sample) for sample in data["samples"]),
            tuple(BadFrame(*bad) for bad in data["bad"]),
        )


class Stop(NamedTuple):
    """Stopped on purpose: what comes after was not to be observed."""

    at: datetime

    def encode(self) -> bytes:
        """As a line for the spool."""
        return b'{"stop":%d}' % int(self.at.timestamp())


def decode(line: bytes) -> Second | Stop:
    """A line of the spool."""
    if line.startswith(b'{"stop":'):
        return Stop(datetime.fromtimestamp(json.loads(line)["stop"], UTC))
    return Second.decode(line)


@dataclass
class _Gap:
    start: datetime
    until: datetime
    why: Why

    def detail(self) -> str | None:
        if self.why.cause != "database":
            return self.why.detail
        seconds = int((self.until - self.start).total_seconds())
        return f"{seconds} observations dropped: {self.why.detail}"


@dataclass
class _Run:
    """The run that is open, and what of it is not written yet."""

    run_id: int
    books: tuple[str, ...]
    start: datetime
    # as Postgres has it, and as it will be
    stored_until: datetime
    until: datetime
    inserted: int = 0
    quarantined: int = 0
    # by book: the gap that goes on for as long as the next second has the same cause
    gaps: dict[str, _Gap] = field(default_factory=dict)
    samples: list[tuple[datetime, Sample]] = field(default_factory=list)
    touched: dict[tuple[str, datetime], _Gap] = field(default_factory=dict)
    bad: list[BadFrame] = field(default_factory=list)

    @property
    def turn(self) -> datetime:
        """Where its minute ends."""
        return self.start.replace(second=0) + MINUTE


class Ledger:
    """Writes seconds on one connection, which holds the job's lock; each call one transaction.

    After an error nobody knows what was committed: only a new one, which reads it back, goes on.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._days = Days()
        self._run: _Run | None = None
        self.until: datetime | None = None
        self._last_run: int | None = None
        self._last_books: tuple[str, ...] = ()
        self._is_stopped = False
        with transaction(connection) as cursor:
            cursor.execute(
                "select monitored_until, run_id, books, detail ? 'stopped' "
                "from ops.monitored inner join ops.runs using (run_id) "
                "order by monitored_until desc, run_id desc limit 1"
            )
            for until, run_id, books, is_stopped in cursor.fetchall():
                self.until, self._last_run, self._is_stopped = until, run_id, is_stopped
                self._last_books = tuple(books)

    def write(self, lines: Iterable[Second | Stop]) -> None:
        """Write seconds in their order, and where they stop."""
        with transaction(self._connection) as cursor:
            for line in lines:
                if isinstance(line, Stop):
                    self._stop(cursor, line)
                elif self.until is None or line.until > self.until:
                    self._take(cursor, line)
            self._flush(cursor)

    def _take(self, cursor: Any, second: Second) -> None:
        if self.until is not None:
            if second.at > self.until:
                self._account_for_absence(cursor, second)
            second = replace(second, at=max(second.at, self.until))
        run = self._run
        if run and (run.books != second.books or second.until > run.turn):
            self._close(cursor)
        self._add(cursor, second)

    def _account_for_absence(self, cursor: Any, second: Second) -> None:
        """From where the account ends to a second, for the books that are still watched."""
        start = self.until
        assert start is not None
        # First of all: it ended where the account ends.
        self._close(cursor)
        books = tuple(book for book in self._last_books if book in second.books)
        if not books:
            return
        killed_until = start if self._is_stopped else start + SECOND
        for at, until, why in (
            (start, killed_until, Why("killed")),
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
                gap = run.gaps[book] = _Gap(second.at, second.until, why)
            run.touched[book, gap.start] = gap
        run.bad += second.bad
        run.until = self.until = second.until
        if turns and run.until >= run.turn:
            self._close(cursor)

    def _open(self, cursor: Any, books: tuple[str, ...], at: datetime) -> _Run:
        cursor.execute("insert into ops.runs (job) values (%s) returning run_id", (JOB,))
        [(run_id,)] = cursor.fetchall()
        cursor.execute(
            "insert into ops.monitored (run_id, books, monitored_from, monitored_until) "
            "values (%s, %s, %s, %s)",
            (run_id, list(books), at, at),
        )
        self._run = _Run(run_id, books, at, at, at)
        self._last_run, self._last_books, self._is_stopped = run_id, books, False
        return self._run

    def _close(self, cursor: Any) -> None:
        self._flush(cursor)
        if self._run:
            cursor.execute(
                "update ops.runs set status = 'succeeded', finished_at = clock_timestamp() "
                "where run_id = %s",
                (self._run.run_id,),
            )
            self._run = None

    def _stop(self, cursor: Any, stop: Stop) -> None:
        if stop.at != self.until:
            # Of an earlier end, read once more.
            return
        self._close(cursor)
        cursor.execute(
            "update ops.runs set detail = detail || '{\"stopped\": true}' where run_id = %s",
            (self._last_run,),
        )
        self._is_stopped = True

    def _flush(self, cursor: Any) -> None:
        """Write what the run has gathered."""
        run = self._run
        if run is None or run.until == run.stored_until:
            return
        cursor.execute(
            "update ops.monitored set monitored_until = %s "
            "where run_id = %s and monitored_until = %s",
            (run.until, run.run_id, run.stored_until),
        )
        if cursor.rowcount != 1:
            raise TransientError(f"somebody else wrote the account of run {run.run_id}")
        run.stored_until = run.until
        self._copy(run)
        self._write_gaps(cursor, run)
        self._quarantine(cursor, run)
        cursor.execute(
            "update ops.runs set rows_read = %s, rows_inserted = %s, rows_quarantined = %s "
            "where run_id = %s",
            (run.inserted + run.quarantined, run.inserted, run.quarantined, run.run_id),
        )

    def _copy(self, run: _Run) -> None:
        if not run.samples:
            return
        self._days.ensure(_FEED.table, {at.date() for at, _ in run.samples})
        lines = [_FEED.copy_line(record, run.run_id) for record in _records(run.samples)]
        run.inserted += copy_rows(
            self._connection,
            sql.Identifier("raw", _FEED.table),
            _FEED.columns,
            io.BytesIO("\n".join([*lines, ""]).encode()),
        )
        run.samples.clear()

    def _write_gaps(self, cursor: Any, run: _Run) -> None:
        if not run.touched:
            return
        cursor.execute(
            "insert into ops.gaps (book, gap_from, gap_until, cause, run_id, detail) "
            "select gap.book, gap.gap_from, gap.gap_until, gap.cause, %s, gap.detail "
            "from unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[]) "
            "as gap (book, gap_from, gap_until, cause, detail) "
            "on conflict (book, gap_from) do update "
            "set gap_until = excluded.gap_until, detail = excluded.detail",
            (
                run.run_id,
                [book for book, _ in run.touched],
                [gap.start for gap in run.touched.values()],
                [gap.until for gap in run.touched.values()],
                [gap.why.cause for gap in run.touched.values()],
                [gap.detail() for gap in run.touched.values()],
            ),
        )
        run.touched.clear()

    def _quarantine(self, cursor: Any, run: _Run) -> None:
        for bad in run.bad:
            cursor.execute(
                "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw) "
                "values (%s, %s, %s, %s, %s, %s)",
                (run.run_id, bitso_stream.SOURCE, bad.book or bitso_stream.CHANNEL, bad.code,
                 storable(bad.reason), storable(bad.raw)),
            )  # fmt: skip
        run.quarantined += len(run.bad)
        run.bad.clear()


def _records(samples: Iterable[tuple[datetime, Sample]]) -> Iterator[Record]:
    for at, sample in samples:
        bid, ask = (None if side is None else Decimal(side) for side in (sample.bid, sample.ask))
        yield Record(at, sample.book, sample.payload, bid, ask, sample.sequence)
