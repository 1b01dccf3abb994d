"""Observations into raw.spread_observations, each once, bad ones to quarantine."""

import io
import logging
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.lake.columns import SCHEMA, BadLine, Chunk
from loader.lake.lines import Observation
from loader.lake.reading import TABLE
from loader.warehouse.errors import RefusedError
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.quarantine import SetAside, set_aside
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.postgres.statements import statement

# What is held in memory at a time; on its way to Postgres it takes several times as much.
BATCH_ROWS = 30_000
BATCH_BYTES = 8 << 20
# Of a run, how many bad rows are told in the log, and how many names of columns are kept.
MOST_TOLD = 3
MOST_LEFT_OUT = 20

KEY = ["received_at", "book", "bid", "ask"]
COPIED = ("received_at", "book", "bid", "ask", "spread", "line_number", "file_id", "run_id")
_KNOWN_FILES = (
    "select file_name, file_id from raw.lake_files where run_id = %s and file_name = any(%s)"
)
_NEW_FILES = (
    "insert into raw.lake_files (run_id, file_name) select %s, unnest(%s::text[]) "
    "returning file_name, file_id"
)

log = logging.getLogger(__name__)


class _Mark(NamedTuple):
    """What was counted before a file."""

    counts: tuple[int, int, int, int]
    spreads_off: int


class ObservationRows:
    """Takes the observations of a run into raw, in its transaction; counts them in the run.

    A file comes in whole or not at all. The same book, instant, bid and ask are the same
    observation, in whichever file and however they are written.
    """

    def __init__(self, connection: Connection, run: LedgerRun) -> None:
        self._connection = connection
        self._run = run
        self._days = TimePartitions()
        self._pending: list[tuple[str, Chunk]] = []
        self._rows = self._bytes = 0
        self._told = 0
        self._file_ids: dict[str, int] = {}
        # Files that cannot be read, and why.
        self.refused: dict[str, str] = {}
        # Columns that are none of ours.
        self.left_out: set[str] = set()
        # Rows with a spread that is not that of their bid and ask.
        self.spreads_off = 0

    def add(self, place: str, chunks: Iterable[Chunk]) -> None:
        """Take the rows of a file; where reading them is refused, none of them stays."""
        before, held = len(self._pending), (self._rows, self._bytes)
        mark: _Mark | None = None
        told: list[str] = []
        left_out: Collection[str] = ()
        try:
            for chunk in chunks:
                self._hold(place, chunk)
                left_out = chunk.left_out
                some = chunk.bad[: MOST_TOLD - len(told)]
                told += [f"{place}:{line.line}: {line.reason}" for line in some]
                if not self._is_full():
                    continue
                if mark is None:
                    # The file is too big to be kept in memory until it is read whole: from here on
                    # a savepoint takes its rows back if it proves damaged.
                    own, self._pending = self._pending[before:], self._pending[:before]
                    self.flush()
                    mark = self._mark()
                    self._pending = own
                self.flush()
        except RefusedError as error:
            if mark is None:
                del self._pending[before:]
                self._rows, self._bytes = held
            else:
                self._back_to(mark, place)
            self.refused[place] = str(error)
            return
        self.left_out.update(list(left_out)[: MOST_LEFT_OUT - len(self.left_out)])
        for message in told[: MOST_TOLD - self._told]:
            log.warning("%s", message)
            self._told += 1

    def _hold(self, place: str, chunk: Chunk) -> None:
        self._pending.append((place, chunk))
        self._rows += chunk.rows.num_rows + len(chunk.bad)
        self._bytes += chunk.bytes

    def _is_full(self) -> bool:
        return self._rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def _mark(self) -> _Mark:
        with self._connection.cursor() as cursor:
            cursor.execute("savepoint file")
        return _Mark(self._run.counts, self.spreads_off)

    def _back_to(self, mark: _Mark, place: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("rollback to savepoint file")
        self._run.counts, self.spreads_off = mark
        self._empty()
        self._file_ids.pop(place, None)

    def _empty(self) -> list[tuple[str, Chunk]]:
        pending, self._pending = self._pending, []
        self._rows = self._bytes = 0
        return pending

    def flush(self) -> None:
        """Write what was taken so far."""
        pending = self._empty()
        tables = [
            chunk.rows.append_column("place", pa.array([place] * chunk.rows.num_rows, pa.string()))
            for place, chunk in pending
            if chunk.rows.num_rows
        ]
        self.spreads_off += sum(chunk.spreads_off for _, chunk in pending)
        if tables:
            self._store(pa.concat_tables(tables).combine_chunks())
        bad = [(place, line) for place, chunk in pending for line in chunk.bad]
        if bad:
            self._quarantine(bad)

    def _store(self, rows: pa.Table) -> None:
        fresh = self._not_stored(_distinct(rows))
        self._run.rows_read += rows.num_rows
        self._run.rows_duplicate += rows.num_rows - fresh.num_rows
        if not fresh.num_rows:
            return
        months = pc.unique(pc.floor_temporal(fresh["received_at"], unit="month")).to_pylist()
        self._days.ensure(TABLE, {month.date() for month in months})
        self._run.rows_inserted += copy_rows(
            self._connection,
            sql.Identifier("raw", TABLE),
            COPIED,
            _as_lines(self._with_ids(fresh)),
        )

    def _not_stored(self, rows: pa.Table) -> pa.Table:
        """Those that raw does not hold yet; looked for only where it holds any of their time."""
        ends = pc.min_max(rows["received_at"]).as_py()
        values: dict[str, object] = {"since": _utc(ends["min"]), "until": _utc(ends["max"])}
        held = "received_at between %(since)s and %(until)s"
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"select exists (select from raw.spread_observations where {held})", values
            )
            [(is_there,)] = cursor.fetchall()
            if not is_there:
                return rows
            # As texts: Postgres reads an array of them far faster than a list of values.
            values |= {name: _array(rows[name].cast(pa.string())) for name in KEY}
            cursor.execute(statement(__package__, "stored_observations"), values)
            stored = pa.array([place - 1 for (place,) in cursor], pa.int64())
        places = pa.array(range(rows.num_rows), pa.int64())
        return rows.filter(pc.invert(pc.is_in(places, stored)))

    def _with_ids(self, rows: pa.Table) -> pa.Table:
        """The rows with the ids of their files, which are made where they are missing."""
        places = rows["place"].combine_chunks().dictionary_encode()
        names = places.dictionary.to_pylist()
        with self._connection.cursor() as cursor:
            # A redrive may have taken rows of the file before, or taken some back.
            for query in (_KNOWN_FILES, _NEW_FILES):
                unknown = [name for name in names if name not in self._file_ids]
                cursor.execute(query, (self._run.run_id, unknown))
                self._file_ids.update(cursor.fetchall())
        ids = pa.array([self._file_ids[name] for name in names], pa.int64())
        runs = pa.array([self._run.run_id] * rows.num_rows, pa.int64())
        return (
            rows.drop_columns("place")
            .append_column("file_id", ids.take(places.indices))
            .append_column("run_id", runs)
        )

    def _quarantine(self, bad: list[tuple[str, BadLine]]) -> None:
        """Write the bad rows, each once however often its file is imported."""
        self._run.rows_read += len(bad)
        rows = [
            SetAside(f"{place}:{line.line}", line.code, line.reason, line.raw, line.line)
            for place, line in bad
        ]
        with self._connection.cursor() as cursor:
            written = set_aside(cursor, self._run.run_id, TABLE, rows)
        self._run.rows_quarantined += written
        self._run.rows_duplicate += len(bad) - written

    def take(self, place: str, line: int, observation: Observation) -> None:
        """Take one observation that was in quarantine; `flush` writes it."""
        moment: datetime = observation.received_at.replace(tzinfo=None)
        values = [*observation._replace(received_at=moment), line]
        rows = pa.table(
            [pa.array([value], field.type) for value, field in zip(values, SCHEMA, strict=True)],
            schema=SCHEMA,
        )
        self._hold(place, Chunk(rows, []))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _distinct(rows: pa.Table) -> pa.Table:
    """Each observation once, as it came first."""
    places = pa.array(range(rows.num_rows), pa.int64())
    # One thread: several would return the groups in any order, and gain nothing here.
    first = (
        rows.select(KEY)
        .append_column("at", places)
        .group_by(KEY, use_threads=False)
        .aggregate([("at", "min")])["at_min"]
    )
    return rows if len(first) == rows.num_rows else rows.take(first.sort())


def _as_lines(rows: pa.Table) -> io.BytesIO:
    """Rows for COPY: none of the values holds anything that means something to it."""
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(rows, sink, options)
    sink.seek(0)
    return sink


def _array(values: pa.ChunkedArray) -> str:
    return "{" + ",".join(values.to_pylist()) + "}"
