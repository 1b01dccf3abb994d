"""`loader quarantine`: rows that were set aside, exported to be edited, and loaded again."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from psycopg2.extensions import connection as Connection

from loader.lake import load as lake_import
from loader.lake.lines import read_line
from loader.lake.reading import TABLE
from loader.lake.rows import ObservationRows
from loader.market.rows import FEEDS, MarketRows, reread
from loader.snapshots import load as snapshots
from loader.snapshots.again import MendedRows
from loader.stream import frames
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger import quarantine
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.quarantine import OpenRow
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import connect
from loader.warehouse.text import shown
from loader.warehouse.values import BadValueError
from loader.wire.records import BadRecord

JOB = "quarantine redrive"
MOST_TOLD = 20


def export_rows(path: Path) -> int:
    """Write the rows in quarantine as CSV; returns how many."""
    with closing(connect("loader")) as connection:
        rows = quarantine.open_rows(connection)
    quarantine.export_rows(rows, path)
    return len(rows)


def redrive(path: Path | None) -> LedgerRun:
    """Try the open rows again, with the texts of an edited export where one is given.

    Rows of a snapshot that has been replaced stay where they are: the newer file has its own.
    Repeating it changes nothing more.
    """
    edited = dict(_edited_rows(path)) if path else None
    with (
        # No new snapshot may take the place of the one whose rows are mended here, and no
        # import bring the observation that is brought here.
        exclusive(snapshots.JOB, lake_import.JOB, JOB) as connection,
        ledger_run(connection, JOB, {"file": shown(path) if path else None}) as run,
    ):
        again = _Again(connection, run)
        still_bad: list[str] = []
        for row in quarantine.open_rows(connection):
            if edited is not None and row.quarantine_id not in edited:
                continue
            text = edited[row.quarantine_id] if edited is not None else row.raw
            if problem := again.take(row, text):
                still_bad.append(problem)
        run.detail["still_bad"] = still_bad[:MOST_TOLD]
    return run


class _Again:
    """Hands each row to who can read it, and counts it in the run."""

    def __init__(self, connection: Connection, run: LedgerRun) -> None:
        self._connection = connection
        self._run = run
        self._days = TimePartitions()
        self._observations = ObservationRows(connection, run)
        self._mended = MendedRows(connection, run)

    def take(self, row: OpenRow, text: str) -> str | None:
        """Load a row; return None, or in one line why it stays in quarantine."""
        where = row.location
        if row.received_at is not None:
            where = f"{row.source} {row.location}"
            problem = self._take_reply(row, text)
        elif row.source == TABLE:
            problem = self._take_observation(row, text)
        elif row.source == frames.SOURCE:
            # A bad frame: its book was read anew right after it, so there is nothing to load.
            self._run.rows_read += 1
            self._run.rows_duplicate += 1
            problem = None
        elif self._mended.has_place(row):
            self._run.rows_read += 1
            problem = self._mended.take(row, text)
            self._run.rows_quarantined += problem is not None
        else:
            self._run.detail["replaced"] = self._run.detail.get("replaced", 0) + 1
            return None
        if problem is not None:
            return f"{where}: {problem}"
        with self._connection.cursor() as cursor:
            quarantine.close_row(cursor, row.quarantine_id, self._run.run_id)
        return None

    def _take_reply(self, row: OpenRow, text: str) -> str | None:
        """What was set aside of a market reply: one record, or all of it."""
        assert row.received_at is not None
        items = reread(row.source, row.location, row.received_at, text)
        bad = next((item for item in items if isinstance(item, BadRecord)), None)
        if bad or not items:
            self._run.rows_read += 1
            self._run.rows_quarantined += 1
            return bad.reason if bad else "there is no record in it"
        rows = MarketRows(self._connection, self._run, FEEDS[row.source], self._days)
        for item in items:
            rows.take(item, row.received_at)
        rows.flush()
        return None

    def _take_observation(self, row: OpenRow, text: str) -> str | None:
        """One row of a lake."""
        try:
            observation = read_line(text)
        except BadValueError as error:
            self._run.rows_read += 1
            self._run.rows_quarantined += 1
            return error.reason
        place, _, line = row.location.rpartition(":")
        self._observations.take(place, int(line), observation)
        return None


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
