"""`loader quarantine redrive`: rows that were set aside, loaded again.

A row is loaded whole and closed, or stays in quarantine just as it was: whatever of it would be
set aside again is taken back first. So nothing is dropped, and nothing is there twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.lake import load as lake_import
from loader.lake.lines import read_line
from loader.lake.reading import TABLE
from loader.lake.rows import ObservationRows
from loader.market.rows import FEEDS, MarketRows, reread
from loader.operations.edited import edited_texts
from loader.snapshots import load as snapshots
from loader.snapshots.again import MendedRows
from loader.snapshots.grammar import KINDS
from loader.stream import frames
from loader.warehouse.halving import refused_rows
from loader.warehouse.ledger import quarantine
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.quarantine import OpenRow
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.failures import cannot_hold, cause_of
from loader.warehouse.text import printable, shortened, shown
from loader.warehouse.values import BadValueError, bad
from loader.wire.records import BadRecord

JOB = "quarantine redrive"
MOST_TOLD = 20
LONGEST_TOLD = 300

# Loads one row that could be read; returns why it stays in quarantine, if it does.
Load = Callable[["_Loading"], str | None]


class _Mended(NamedTuple):
    """A row that can be read by now."""

    row: OpenRow
    load: Load


def redrive(path: Path | None) -> LedgerRun:
    """Try the open rows again, with the texts of an edited export where one is given.

    Rows of a snapshot that has been replaced stay where they are: the newer file has its own.
    Repeating it changes nothing more. What the file has and the quarantine never had is counted
    in the run's detail as `unknown`, with the first ids.
    """
    with (
        # No new snapshot may take the place of the one whose rows are mended here, and no
        # import bring the observation that is brought here.
        exclusive(snapshots.JOB, lake_import.JOB, JOB) as connection,
        ledger_run(connection, JOB, {"file": shown(path) if path else None}) as run,
    ):
        run.detail["still_bad"] = []
        again = _Again(connection, run)
        for page, texts in _pages(connection, path, run):
            again.take(page, texts)
    return run


def _pages(
    connection: Connection, path: Path | None, run: LedgerRun
) -> Iterator[tuple[list[OpenRow], dict[int, str]]]:
    """Some open rows at a time, and the texts that they are to have instead of their own."""
    if path is None:
        for page in quarantine.open_pages(connection):
            yield page, {}
        return
    for texts in edited_texts(path):
        if unknown := quarantine.unknown_ids(connection, list(texts)):
            known: dict[str, Any] = run.detail.setdefault("unknown", {"rows": 0, "first": []})
            known["rows"] += len(unknown)
            known["first"] = (known["first"] + unknown)[:MOST_TOLD]
        for page in quarantine.open_pages(connection, list(texts)):
            yield page, texts


class _Loading:
    """Where the rows of one attempt go, all of which are loaded or none."""

    def __init__(self, connection: Connection, run: LedgerRun, days: TimePartitions) -> None:
        self._connection = connection
        self._days = days
        self.run = run
        self._market: dict[str, MarketRows] = {}
        self.observations = ObservationRows(connection, run)

    def market(self, source: str) -> MarketRows:
        """The rows of a source."""
        if source not in self._market:
            self._market[source] = MarketRows(self._connection, self.run, FEEDS[source], self._days)
        return self._market[source]

    def flush(self) -> None:
        """Write what was taken; raises BadValueError when something of it was set aside again."""
        for rows in self._market.values():
            rows.flush()
            if rows.first_bad is not None:
                bad(rows.first_bad.code, rows.first_bad.reason)
        self.observations.flush()


class _Again:
    """Reads rows, loads those that can be, and counts each of them once."""

    def __init__(self, connection: Connection, run: LedgerRun) -> None:
        self._connection = connection
        self._run = run
        self._days = TimePartitions()
        self._mended = MendedRows(connection, run)

    def take(self, page: Sequence[OpenRow], texts: dict[int, str]) -> None:
        """Load some rows, with other texts where there are any."""
        mended = []
        for row in page:
            if row.source in KINDS and not self._mended.has_place(row):
                self._run.detail["replaced"] = self._run.detail.get("replaced", 0) + 1
                continue
            try:
                load = self._read(row, texts.get(row.quarantine_id, row.raw))
                mended.append(_Mended(row, load))
            except BadValueError as error:
                self._stays(row, error.reason)
        if mended:
            for each, reason in refused_rows(mended, self._load):
                self._stays(each.row, reason)

    def _read(self, row: OpenRow, text: str) -> Load:
        """How a row is loaded; raises BadValueError, saying why it stays in quarantine."""
        if row.source in KINDS:
            record = self._mended.read(row, text)
            return lambda _: self._mended.take(record)
        if row.source == frames.SOURCE:
            # Its book was read anew right after it, so there is nothing to load.
            return _count_as_known
        if row.source == TABLE:
            observation = read_line(text)
            place = row.location.rpartition(":")[0] or row.location
            return lambda loading: loading.observations.take(
                place, row.line_number or 0, observation
            )
        if row.source in FEEDS and row.received_at is not None:
            return _market_row(row, text)
        return bad("unknown_source", "nothing here reads rows of such a source")

    def _load(self, rows: Sequence[_Mended]) -> str | None:
        """All of them at once; returns why one of them cannot go in, if so: then none has."""
        counts = self._run.counts
        try:
            stay = self._try(rows)
        except BadValueError as error:
            reason = error.reason
        except psycopg2.Error as error:
            if cause_of(error) != "row":
                raise
            reason = cannot_hold(error)
        else:
            for row, why in stay:
                self._stays(row, why)
            return None
        self._run.counts = counts
        return reason

    def _try(self, rows: Sequence[_Mended]) -> list[tuple[OpenRow, str]]:
        """Load and close rows; returns those that stay in quarantine, and why."""
        loading = _Loading(self._connection, self._run, self._days)
        stay, loaded = [], []
        with _whole_or_not(self._connection) as cursor:
            for row, load in rows:
                if problem := load(loading):
                    stay.append((row, problem))
                else:
                    loaded.append(row.quarantine_id)
            loading.flush()
            quarantine.close_rows(cursor, loaded, self._run.run_id)
        return stay

    def _stays(self, row: OpenRow, reason: str) -> None:
        self._run.rows_read += 1
        self._run.rows_quarantined += 1
        told: list[str] = self._run.detail["still_bad"]
        if len(told) < MOST_TOLD:
            where = row.location if row.received_at is None else f"{row.source} {row.location}"
            told.append(shortened(printable(f"{where}: {reason}"), LONGEST_TOLD))


@contextmanager
def _whole_or_not(connection: Connection) -> Iterator[Any]:
    """What is written within is taken back when it raises."""
    with connection.cursor() as cursor:
        cursor.execute("savepoint redriven")
        try:
            yield cursor
        except (BadValueError, psycopg2.Error) as error:
            if not isinstance(error, psycopg2.Error) or cause_of(error) == "row":
                cursor.execute("rollback to savepoint redriven")
            raise
        cursor.execute("release savepoint redriven")


def _count_as_known(loading: _Loading) -> None:
    loading.run.rows_read += 1
    loading.run.rows_duplicate += 1


def _market_row(row: OpenRow, text: str) -> Load:
    """What was set aside of a market reply: one record, or all of it."""
    assert row.received_at is not None
    received_at = row.received_at
    items = reread(row.source, row.location, received_at, text)
    if not items:
        bad("wrong_shape", "there is no record in it")
    for item in items:
        if isinstance(item, BadRecord):
            bad(item.code, item.reason)

    def load(loading: _Loading) -> None:
        for item in items:
            loading.market(row.source).take(item, received_at)

    return load
