"""The partitions of raw: made before their first row comes, listed with their time, dropped.

A table over time has one a day or one a month, a table of snapshots one a snapshot. Only
functions in Postgres may make and drop them; this module calls those functions.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import date, datetime
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.statements import statement


class Partition(NamedTuple):
    """A partition of a table over time: its name in raw, and the time that it holds."""

    name: str
    since: datetime
    # the first instant after it
    until: datetime


class TimePartitions:
    """Sees to it that a day has its partition before its first row comes.

    On a connection of its own, committed at once: a long load must not keep others from
    making theirs. One that stays empty because the load fails does no harm.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, date]] = set()

    def ensure(self, table: str, days: set[date]) -> None:
        """Make the partitions that are missing."""
        wanted = {(table, day) for day in days} - self._known
        if not wanted:
            return
        with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
            for name, day in sorted(wanted):
                cursor.execute("select raw.ensure_day(%s, %s)", (name, day))
        self._known |= wanted


def tables_over_time(cursor: Any) -> list[str]:
    """The tables of raw whose rows say when they were received, by name."""
    cursor.execute(
        "select relname from pg_partitioned_table inner join pg_class on pg_class.oid = partrelid "
        "where relnamespace = cast('raw' as regnamespace) and partstrat = 'r' order by relname"
    )
    return [name for (name,) in cursor]


def partitions_of(connection: Connection, table: str) -> list[Partition]:
    """The partitions of a table over time, oldest first; of the years 1000 to 2999 only."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select relname, lower(raw.partition_time(relname)), "
            "upper(raw.partition_time(relname)) "
            "from pg_inherits inner join pg_class on pg_class.oid = inhrelid "
            "where inhparent = cast('raw.' || %s as regclass) "
            "and relname ~ '_[12][0-9]{5}([0-9]{2})?$' order by 2",
            (table,),
        )
        return [Partition(*row) for row in cursor]


def dropped_within(cursor: Any, since: datetime, until: datetime) -> list[str]:
    """The names of the partitions that a prune has dropped and that held some of the time."""
    cursor.execute(statement(__package__, "dropped_within"), {"since": since, "until": until})
    return [name for (name,) in cursor]


def drop_partition(cursor: Any, table: str, day: date, newest_run: int) -> bool:
    """Drop the partition of a day, unless a run after the given one wrote to it; note that."""
    cursor.execute("select raw.drop_day(%s, %s, %s)", (table, day, newest_run))
    [(is_dropped,)] = cursor.fetchall()
    if is_dropped:
        cursor.execute(statement(__package__, "note_dropped_day"), {"table": table, "day": day})
    return bool(is_dropped)


def open_snapshot(cursor: Any, kind: str, run_id: int) -> int:
    """Make `raw.<kind>_<id>`, which no reader sees yet; returns the id."""
    cursor.execute("select raw.open_snapshot(%s, %s)", (kind, run_id))
    [(snapshot_id,)] = cursor.fetchall()
    return int(snapshot_id)


def publish_snapshot(
    cursor: Any, kind: str, snapshot_id: int, run_id: int, file: str, columns: Sequence[str],
    sha256: str, content_bytes: int, rows: int,
) -> None:  # fmt: skip
    """Attach a snapshot and make it the current one of its kind, from the commit on."""
    cursor.execute(
        "select raw.publish_snapshot(%s, %s, %s, %s, %s, %s, %s, %s)",
        (kind, snapshot_id, run_id, file, list(columns), sha256, content_bytes, rows),
    )


def index_keys(cursor: Any, kind: str, snapshot_id: int) -> None:
    """Let a snapshot refuse a second row with the same key."""
    cursor.execute("select raw.index_keys(%s, %s)", (kind, snapshot_id))


def drop_old_snapshots(cursor: Any, kind: str, keep: int) -> None:
    """Drop all but the newest snapshots of a kind."""
    cursor.execute("select raw.drop_old_snapshots(%s, %s)", (kind, keep))
