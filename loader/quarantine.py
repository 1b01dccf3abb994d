"""`loader quarantine`: look at the rows set aside, edit them, and load them again."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader import lake_import
from loader.errors import RefusedError, UsageError
from loader.market_rows import FEEDS, Days, Writer, reread
from loader.snapshot_load import JOB as SNAPSHOTS_JOB
from loader.sources import bitso_stream, lake, records
from loader.sources.records import BadRecord
from loader.sources.snapshots import BadValueError, parse_record, shown
from loader.warehouse import Run, connect, interruptible, ledger_run, single_flight

JOB = "quarantine redrive"
COLUMNS = ("quarantine_id", "source", "location", "reason_code", "reason", "raw")
# Postgres text cannot hold these rows as they were: their raw text is a description.
DESCRIBED = frozenset({"invalid_utf8", "nul_byte"})


class OpenRow(NamedTuple):
    """A quarantined row that no redrive has loaded yet."""

    quarantine_id: int
    source: str
    location: str
    reason_code: str
    reason: str
    raw: str


class Target(NamedTuple):
    """Where a row that came from a snapshot file belongs."""

    kind: str
    columns: tuple[str, ...]
    snapshot_id: int
    line_number: int


def open_rows(connection: Connection, limit: int | None = None) -> list[OpenRow]:
    """The rows still in quarantine, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id, source, location, reason_code, reason, raw "
            "from ops.quarantine where redriven_by is null order by quarantine_id limit %s",
            (limit,),
        )
        return [OpenRow(*row) for row in cursor]


def count_open(connection: Connection) -> int:
    """How many rows are still in quarantine."""
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from ops.quarantine where redriven_by is null")
        [(rows,)] = cursor.fetchall()
    return int(rows)


def export_rows(path: Path) -> int:
    """Write the open rows as CSV: edit the `raw` column, then redrive the file."""
    with closing(connect("loader")) as connection:
        rows = open_rows(connection)
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return len(rows)


def redrive(path: Path | None) -> Run:
    """Try the open rows again, with the texts of an edited export where one is given.

    Rows of a snapshot that has been replaced stay where they are: the newer file has its own.
    Repeating it changes nothing more.
    """
    edited = dict(_edited_rows(path)) if path else None
    with (
        interruptible(),
        closing(connect("loader")) as connection,
        # No new snapshot may take the place of the one whose rows are mended here, and no
        # import bring the observation that is brought here.
        single_flight(connection, SNAPSHOTS_JOB),
        single_flight(connection, lake_import.JOB),
        single_flight(connection, JOB),
        ledger_run(connection, JOB, {"file": shown(path) if path else None}) as run,
    ):
        rows = open_rows(connection)
        targets = _targets(connection)
        received = _received(connection)
        days = Days()
        observations = lake_import.Writer(connection, run)
        _index_keys(connection, targets.values())
        still_bad: list[str] = []
        for row in rows:
            if edited is not None and row.quarantine_id not in edited:
                continue
            text = edited[row.quarantine_id] if edited is not None else row.raw
            if received_at := received.get(row.quarantine_id):
                problem = _redrive_reply(connection, run, row, received_at, text, days)
                still_bad += [f"{row.source} {row.location}: {problem}"] if problem else []
                continue
            if row.source == lake.TABLE:
                problem = _redrive_observation(connection, run, row, observations, text)
                still_bad += [f"{row.location}: {problem}"] if problem else []
                continue
            if row.source == bitso_stream.SOURCE:
                # Of its moment only: its book was read anew at once, with all that was in it.
                run.rows_read += 1
                run.rows_duplicate += 1
                _close(connection, run, row)
                continue
            if row.quarantine_id not in targets:
                run.detail["replaced"] = run.detail.get("replaced", 0) + 1
                continue
            run.rows_read += 1
            problem = _redrive_row(connection, run, row, targets[row.quarantine_id], text)
            if problem:
                run.rows_quarantined += 1
                still_bad.append(f"{row.location}: {problem}")
        run.detail["still_bad"] = still_bad[:20]
    return run


def _edited_rows(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            id_at, raw_at = header.index("quarantine_id"), header.index("raw")
            for row in filter(None, reader):
                # Another number of fields: most likely a raw text that lost its quotes.
                fields = dict(zip(range(len(header)), row, strict=True))
                yield int(fields[id_at]), fields[raw_at]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, csv.Error):
        raise RefusedError(
            f"{shown(path)}: not an export of the quarantine: it needs the columns "
            "quarantine_id and raw, one row a line"
        ) from None


def _targets(connection: Connection) -> dict[int, Target]:
    """Where each open row goes: only rows of current snapshots have a place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id, kind, columns, snapshot_id, line_number "
            "from ops.quarantine inner join raw.snapshots using (run_id) "
            "where redriven_by is null and is_current"
        )
        return {row[0]: Target(row[1], tuple(row[2]), row[3], row[4]) for row in cursor}


def _index_keys(connection: Connection, targets: Iterable[Target]) -> None:
    """Let the partitions refuse a second row with the same key."""
    with connection.cursor() as cursor:
        for snapshot in sorted({(target.kind, target.snapshot_id) for target in targets}):
            cursor.execute("select raw.index_keys(%s, %s)", snapshot)


def _redrive_row(
    connection: Connection, run: Run, row: OpenRow, target: Target, text: str
) -> str | None:
    """Load one row; return None, or why it stays in quarantine."""
    if row.reason_code in DESCRIBED and text == row.raw:
        return row.reason
    try:
        values = parse_record(target.kind, target.columns, text.encode())
    except BadValueError as error:
        return error.reason
    if _insert(connection, run, target, values):
        run.rows_inserted += 1
    elif _is_loaded(connection, target, values):
        run.rows_duplicate += 1
    else:
        return "another row with its key is loaded, with other values"
    _close(connection, run, row)
    return None


def _received(connection: Connection) -> dict[int, datetime]:
    """When the open rows that came with a market reply were received."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id, received_at from ops.quarantine "
            "where redriven_by is null and received_at is not null"
        )
        return dict(cursor.fetchall())


def _redrive_reply(
    connection: Connection, run: Run, row: OpenRow, received_at: datetime, text: str, days: Days
) -> str | None:
    """Load what was set aside of a market reply; return None, or why it stays."""
    items = reread(row.source, row.location, received_at, text)
    bad = next((item for item in items if isinstance(item, BadRecord)), None)
    if bad or not items:
        run.rows_read += 1
        run.rows_quarantined += 1
        return bad.reason if bad else "there is no record in it"
    writer = Writer(connection, run, FEEDS[row.source], days)
    for item in items:
        writer.take(item, received_at)
    writer.flush()
    _close(connection, run, row)
    return None


def _redrive_observation(
    connection: Connection, run: Run, row: OpenRow, writer: lake_import.Writer, text: str
) -> str | None:
    """Load one row of a lake; return None, or why it stays in quarantine."""
    try:
        observation = lake.read_line(text)
    except records.BadValueError as error:
        run.rows_read += 1
        run.rows_quarantined += 1
        return str(error)
    place, _, line = row.location.rpartition(":")
    writer.take(place, int(line), observation)
    _close(connection, run, row)
    return None


def _close(connection: Connection, run: Run, row: OpenRow) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update ops.quarantine set redriven_by = %s where quarantine_id = %s",
            (run.run_id, row.quarantine_id),
        )


def _insert(connection: Connection, run: Run, target: Target, values: list[str | None]) -> bool:
    with connection.cursor() as cursor:
        # Into the partition itself: the unique index on the key is there.
        cursor.execute(
            sql.SQL(
                "insert into {} (line_number, run_id, {}) values %s "
                "on conflict do nothing returning line_number"
            ).format(
                sql.Identifier("raw", f"{target.kind}_{target.snapshot_id}"),
                sql.SQL(", ").join(map(sql.Identifier, target.columns)),
            ),
            ((target.line_number, run.run_id, *values),),
        )
        return cursor.fetchone() is not None


def _is_loaded(connection: Connection, target: Target, values: list[str | None]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "select exists (select from {} where snapshot_id = %s "
                "and row({}) is not distinct from row({}))"
            ).format(
                sql.Identifier("raw", target.kind),
                sql.SQL(", ").join(map(sql.Identifier, target.columns)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            (target.snapshot_id, *values),
        )
        [(loaded,)] = cursor.fetchall()
    return bool(loaded)
