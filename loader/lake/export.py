"""`loader lake export`: observations as files, one for each book and window of ten minutes.

The same observations give the same bytes. A file is there whole or not at all.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet as pq
from psycopg2.extensions import connection as Connection

from loader.lake.layouts import Format, Layout, window_start
from loader.warehouse.errors import TransientError, UsageError
from loader.warehouse.ledger import cursors, monitored
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import connect, transaction
from loader.warehouse.postgres.copy import copy_out
from loader.warehouse.postgres.statements import statement
from loader.warehouse.text import shown_path

JOB = "lake export"

HEADER = ("orderbook_timestamp", "book", "bid", "ask", "spread")
SCHEMA = pa.schema([
    pa.field("orderbook_timestamp", pa.timestamp("us", "UTC"), nullable=False),
    pa.field("book", pa.string(), nullable=False),
    pa.field("bid", pa.decimal128(38, 18), nullable=False),
    pa.field("ask", pa.decimal128(38, 18), nullable=False),
    # The marts have numeric(56, 12), which hardly any reader of Parquet knows.
    pa.field("spread", pa.decimal128(38, 12)),
])  # fmt: skip
# What decimal128(38, 12) can hold. Only a crossed book whose bid is some 10^24 times its ask has a
# wider spread; its file has no spread then.
WIDEST_SPREAD = "1e26"

# The raw tables that quotes come from, and the jobs that write to them as time goes by.
QUOTE_TABLES = ("bitso_tickers", "bitso_order_books", "spread_observations")
QUOTE_JOBS = ["tickers", "order-books"]
# It writes each second as time goes by, or keeps it in its spool until it can.
STREAM = "stream"
# A run that has been open for longer is taken for dead.
LONGEST_RUN = timedelta(hours=1)

log = logging.getLogger(__name__)


class Window(NamedTuple):
    """The observations of a book in ten minutes, as lines of CSV without a header."""

    book: str
    start: datetime
    lines: bytes

    def as_csv(self) -> bytes:
        """The file: the five columns of the statement."""
        return ",".join(HEADER).encode() + b"\n" + self.lines

    def as_parquet(self) -> bytes:
        """The file; its bytes depend on the rows, and on the version of pyarrow."""
        table = pyarrow.csv.read_csv(
            io.BytesIO(self.lines),
            read_options=pyarrow.csv.ReadOptions(column_names=HEADER, use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=SCHEMA, null_values=[""], strings_can_be_null=False
            ),
        )
        sink = pa.BufferOutputStream()
        # Arrow's own copy of the schema would be a tenth of such a small file.
        pq.write_table(table.cast(SCHEMA), sink, compression="zstd", store_schema=False)
        return bytes(sink.getvalue())


class Store(Protocol):
    """Where files go."""

    def write(self, path: str, content: bytes) -> None:
        """Put a file there, whole or not at all, in the place of one that is there."""


class LocalStore:
    """A directory of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, content: bytes) -> None:
        """Write beside, then rename; what a kill leaves is hidden, and the next one's."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)


class ObjectStore:
    """A bucket, through pyarrow: an object is there when all of it is."""

    def __init__(self, uri: str) -> None:
        try:
            self._files, self._root = pyarrow.fs.FileSystem.from_uri(uri)
            if not self._root:
                raise ValueError("no bucket")
        except (pa.ArrowException, OSError, ValueError):
            # pyarrow's message would quote the address, and an address may hold a key.
            raise UsageError("--to is not an address such as s3://bucket/path") from None

    def write(self, path: str, content: bytes) -> None:
        """Put the object."""
        try:
            with self._files.open_output_stream(f"{self._root}/{path}") as stream:
                stream.write(content)
        except OSError as error:
            reason = str(error).splitlines()[0][:200]
            raise TransientError(f"{path}: cannot be written: {reason}") from None


def open_store(to: str) -> Store:
    """The place that `--to` names: a directory, or what pyarrow calls a URI."""
    return ObjectStore(to) if "://" in to else LocalStore(Path(to))


def shown_place(to: str) -> str:
    """The place without what may be a key in it, as text that Postgres can hold."""
    scheme, is_uri, rest = to.partition("://")
    return shown_path(f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if is_uri else to)


def export_lake(
    to: str,
    layout: Layout,
    file_format: Format,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime | None = None,
) -> LedgerRun:
    """Write the windows from `since` until before `until` that are closed and modelled.

    By default, from where the last export to the place ended until now. `detail` of the run says
    how far it got, and why not farther. Raises UsageError for times that cannot be.
    """
    now = now or datetime.now(UTC)
    _check(since, until, now)
    store = open_store(to)
    place = f"{shown_place(to)} {layout.name} {file_format}"
    detail: dict[str, Any] = {"to": shown_place(to), "files": 0, "observations": 0, "why": None}
    with (
        exclusive(JOB) as connection,
        # A second connection commits after each day that it has read, so that it holds no lock
        # until the whole export is done.
        closing(connect("loader")) as reading,
        ledger_run(connection, JOB, detail) as run,
    ):
        exported = _exported_until(reading, place)
        start = since or exported or _first_window(reading)
        end, run.detail["why"] = _settled_until(reading, start, until, now)
        run.detail["until"] = max(start or end, end).isoformat()
        if start is not None:
            run.detail["since"] = start.isoformat()
            for window in _windows(reading, start, end):
                write = window.as_csv if file_format == "csv" else window.as_parquet
                store.write(layout.path(window.book, window.start, file_format), write())
                run.detail["files"] += 1
                run.detail["observations"] += window.lines.count(b"\n")
            if end > (exported or start) >= start:
                _remember(connection, run, place, end)
    return run


def _check(since: datetime | None, until: datetime | None, now: datetime) -> None:
    for name, moment in (("--since", since), ("--until", until)):
        if moment is not None and window_start(moment) != moment:
            raise UsageError(f"{name} is not at a whole ten minutes: {moment.isoformat()}")
    if since is not None and since >= min(until or now, now):
        raise UsageError("--since is not before --until, nor before now")


def _exported_until(connection: Connection, place: str) -> datetime | None:
    with transaction(connection) as cursor:
        return cursors.done_at(cursor, JOB, place)


def _remember(connection: Connection, run: LedgerRun, place: str, until: datetime) -> None:
    with connection.cursor() as cursor:
        cursors.mark(cursor, JOB, place, until, run.run_id)


def _first_window(connection: Connection) -> datetime | None:
    spans = _spans(connection, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    return min((window_start(first) for _, first, _ in spans), default=None)


def _spans(
    connection: Connection, since: datetime, until: datetime
) -> list[tuple[str, datetime, datetime]]:
    """The books that were observed, each with its first and last instant."""
    with transaction(connection) as cursor:
        cursor.execute("select distinct book from marts.book_names order by 1")
        books = [book for (book,) in cursor.fetchall()]
        spans = []
        for book in books:
            # min and max each are one step into the index of the quotes.
            cursor.execute(
                "select min(orderbook_timestamp), max(orderbook_timestamp) "
                "from marts.spread_observations where book = %s "
                "and orderbook_timestamp >= %s and orderbook_timestamp < %s",
                (book, since, until),
            )
            [(first, last)] = cursor.fetchall()
            if first is not None:
                spans.append((book, first, last))
    return spans


def _settled_until(
    connection: Connection, since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, str | None]:
    """The end of the last window that nothing can still come into, and what holds the next one.

    Rows that come late all the same (an old lake, a replay) are in the files when their time is
    exported again.
    """
    limits: list[tuple[datetime, str | None]] = []
    if until is not None:
        limits.append((until, None))
    limits.append((window_start(now), "the window is not over yet"))
    with transaction(connection) as cursor:
        cursor.execute(
            "select min(started_at) from ops.runs "
            "where status = 'running' and job = any(%s) and started_at > %s",
            (QUOTE_JOBS, now - LONGEST_RUN),
        )
        [(moment,)] = cursor.fetchall()
        if moment is not None:
            limits.append((window_start(moment), "a run that may write to it is under way"))
        # However long ago: a stream that did not come to its end may have more in its spool. Only
        # the start of the next one brings that, or accounts for it.
        if (seen := monitored.last_watched(cursor, STREAM)) and not seen.is_stopped:
            why = f"the stream has no seconds after {seen.until.isoformat()} yet: is it running?"
            limits.append((window_start(seen.until), why))
        for table in QUOTE_TABLES:
            cursor.execute(
                f"select min(received_at) from raw.{table} where received_at >= %s and run_id > "
                "(select coalesce(max(run_id), 0) from marts.modelled_until where table_name = %s)",
                (since or now, table),
            )
            [(moment,)] = cursor.fetchall()
            if moment is not None:
                limits.append((window_start(moment), f"raw.{table} is not modelled: run dbt"))
    return min(limits, key=lambda limit: limit[0])


def _windows(connection: Connection, since: datetime, until: datetime) -> Iterator[Window]:
    """The windows with observations, a day of a book in memory at a time."""
    for book, first, last in _spans(connection, since, until):
        day = first.replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= last:
            next_day = day + timedelta(days=1)
            lines = copy_out(
                connection,
                statement(__package__, "day_of_a_book"),
                {
                    "book": book, "widest": WIDEST_SPREAD,
                    "since": max(day, since), "until": min(next_day, until),
                },
            )  # fmt: skip
            connection.commit()
            rows = (line.split(b",", 1) for line in lines.splitlines(keepends=True))
            for epoch, group in groupby(rows, key=lambda row: row[0]):
                start = datetime.fromtimestamp(int(epoch), UTC)
                yield Window(book, start, b"".join(row[1] for row in group))
            day = next_day
