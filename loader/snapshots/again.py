"""Rows of snapshot files that were set aside, loaded after all into the snapshot they are of."""

from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.snapshots.grammar import parse_record
from loader.warehouse.ledger import partitions
from loader.warehouse.ledger.quarantine import OpenRow
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.values import bad

# What stands in quarantine only describes such a row, and loading that text would load something
# else: Postgres cannot hold it as it was, or its file had columns that are left out.
DESCRIBED = frozenset({"invalid_utf8", "nul_byte", "field_count"})


class SnapshotPlace(NamedTuple):
    """Where the rows that came from a snapshot file belong."""

    kind: str
    columns: tuple[str, ...]
    snapshot_id: int


class MendedRow(NamedTuple):
    """A row that can be read by now, and where it belongs."""

    place: SnapshotPlace
    line_number: int | None
    values: list[str | None]


class MendedRows:
    """Takes rows into the current snapshots, in the transaction of a run; counts the loaded."""

    def __init__(self, connection: Connection, run: LedgerRun) -> None:
        self._connection = connection
        self._run = run
        self._places = _places(connection)
        self._indexed: set[int] = set()

    def has_place(self, row: OpenRow) -> bool:
        """Whether the snapshot of a row is still the current one of its kind."""
        return row.run_id in self._places

    def read(self, row: OpenRow, text: str) -> MendedRow:
        """A row as it is to be loaded; raises BadValueError, saying why it stays in quarantine."""
        if row.reason_code in DESCRIBED and text == row.raw:
            bad(row.reason_code, row.reason)
        place = self._places[row.run_id]
        values = parse_record(place.kind, place.columns, text.encode())
        if place.snapshot_id not in self._indexed:
            # Let the partition refuse a second row with the same key.
            with self._connection.cursor() as cursor:
                partitions.index_keys(cursor, place.kind, place.snapshot_id)
            self._indexed.add(place.snapshot_id)
        return MendedRow(place, row.line_number, values)

    def take(self, row: MendedRow) -> str | None:
        """Load one row; return None, or why it stays in quarantine."""
        if self._insert(row):
            self._run.rows_inserted += 1
        elif self._is_loaded(row):
            self._run.rows_duplicate += 1
        else:
            return "another row with its key is loaded, with other values"
        self._run.rows_read += 1
        return None

    def _insert(self, row: MendedRow) -> bool:
        with self._connection.cursor() as cursor:
            # Into the partition itself: the unique index on the key is there.
            cursor.execute(
                sql.SQL(
                    "insert into {} (line_number, run_id, {}) values %s "
                    "on conflict do nothing returning line_number"
                ).format(
                    sql.Identifier("raw", f"{row.place.kind}_{row.place.snapshot_id}"),
                    sql.SQL(", ").join(map(sql.Identifier, row.place.columns)),
                ),
                ((row.line_number, self._run.run_id, *row.values),),
            )
            return cursor.fetchone() is not None

    def _is_loaded(self, row: MendedRow) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "select exists (select from {} where snapshot_id = %s "
                    "and row({}) is not distinct from row({}))"
                ).format(
                    sql.Identifier("raw", row.place.kind),
                    sql.SQL(", ").join(map(sql.Identifier, row.place.columns)),
                    sql.SQL(", ").join(sql.Placeholder() * len(row.values)),
                ),
                (row.place.snapshot_id, *row.values),
            )
            [(is_loaded,)] = cursor.fetchall()
        return bool(is_loaded)


def _places(connection: Connection) -> dict[int, SnapshotPlace]:
    """Where the rows of a run go, by its id: only rows of current snapshots have a place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select run_id, kind, columns, snapshot_id from raw.snapshots where is_current"
        )
        return {row[0]: SnapshotPlace(row[1], tuple(row[2]), row[3]) for row in cursor}
