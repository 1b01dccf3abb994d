"""Rows of snapshot files that were set aside, loaded after all into the snapshot they are of."""

from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.snapshots.grammar import parse_record
from loader.warehouse.ledger import partitions
from loader.warehouse.ledger.quarantine import OpenRow
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.values import BadValueError

# What stands in quarantine only describes such a row, and loading that text would load something
# else: Postgres cannot hold it as it was, or its file had columns that are left out.
DESCRIBED = frozenset({"invalid_utf8", "nul_byte", "field_count"})


class SnapshotPlace(NamedTuple):
    """Where a row that came from a snapshot file belongs."""

    kind: str
    columns: tuple[str, ...]
    snapshot_id: int
    line_number: int


class MendedRows:
    """Takes rows into the current snapshots, in the transaction of a run; counts the loaded."""

    def __init__(self, connection: Connection, run: LedgerRun) -> None:
        self._connection = connection
        self._run = run
        self._places = _places(connection)
        # Let the partitions refuse a second row with the same key.
        with connection.cursor() as cursor:
            for kind, snapshot_id in sorted(
                {(place.kind, place.snapshot_id) for place in self._places.values()}
            ):
                partitions.index_keys(cursor, kind, snapshot_id)

    def has_place(self, row: OpenRow) -> bool:
        """Whether the snapshot of a row is still the current one of its kind."""
        return row.quarantine_id in self._places

    def take(self, row: OpenRow, text: str) -> str | None:
        """Load one row; return None, or why it stays in quarantine."""
        if row.reason_code in DESCRIBED and text == row.raw:
            return row.reason
        place = self._places[row.quarantine_id]
        try:
            values = parse_record(place.kind, place.columns, text.encode())
        except BadValueError as error:
            return error.reason
        if self._insert(place, values):
            self._run.rows_inserted += 1
        elif self._is_loaded(place, values):
            self._run.rows_duplicate += 1
        else:
            return "another row with its key is loaded, with other values"
        return None

    def _insert(self, place: SnapshotPlace, values: list[str | None]) -> bool:
        with self._connection.cursor() as cursor:
            # Into the partition itself: the unique index on the key is there.
            cursor.execute(
                sql.SQL(
                    "insert into {} (line_number, run_id, {}) values %s "
                    "on conflict do nothing returning line_number"
                ).format(
                    sql.Identifier("raw", f"{place.kind}_{place.snapshot_id}"),
                    sql.SQL(", ").join(map(sql.Identifier, place.columns)),
                ),
                ((place.line_number, self._run.run_id, *values),),
            )
            return cursor.fetchone() is not None

    def _is_loaded(self, place: SnapshotPlace, values: list[str | None]) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "select exists (select from {} where snapshot_id = %s "
                    "and row({}) is not distinct from row({}))"
                ).format(
                    sql.Identifier("raw", place.kind),
                    sql.SQL(", ").join(map(sql.Identifier, place.columns)),
                    sql.SQL(", ").join(sql.Placeholder() * len(values)),
                ),
                (place.snapshot_id, *values),
            )
            [(is_loaded,)] = cursor.fetchall()
        return bool(is_loaded)


def _places(connection: Connection) -> dict[int, SnapshotPlace]:
    """Where each open row goes, by its id: only rows of current snapshots have a place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id, kind, columns, snapshot_id, line_number "
            "from ops.quarantine inner join raw.snapshots using (run_id) "
            "where redriven_by is null and is_current"
        )
        return {row[0]: SnapshotPlace(row[1], tuple(row[2]), row[3], row[4]) for row in cursor}
