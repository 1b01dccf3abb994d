"""`loader prune`: drop the partitions of raw that are past their retention and modelled.

Runs of the ledger that are past theirs are folded into counts by day.
"""

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.lake import reading as lake
from loader.market.rows import FEEDS
from loader.warehouse.ledger.partitions import drop_partition, partitions_of
from loader.warehouse.ledger.runs import LedgerRun, exclusive, fold_runs, ledger_run
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import get_settings

JOB = "prune"
# Longest to wait for who reads or writes a table, while everybody else waits behind.
LOCK_TIMEOUT = "5s"


class Modelled(NamedTuple):
    """How far dbt has got with a raw table."""

    until: datetime
    run_id: int


def prune(today: date | None = None) -> LedgerRun:
    """Drop what is old enough, a day of a table at a time; `detail` of the run says what.

    A day goes only when dbt says that it has been modelled: all of it lies before the instant
    that the models have reached, and nothing in it came with a run that they have not seen.
    """
    today = today or datetime.now(UTC).date()
    with (
        exclusive(JOB) as connection,
        # Each drop commits at once: no table stays locked while the next one is looked at.
        closing(connect("loader")) as dropping,
        ledger_run(connection, JOB, {"dropped": [], "kept": {}, "folded": 0}) as run,
    ):
        modelled = _modelled(dropping)
        for table in sorted({lake.TABLE, *(feed.table for feed in FEEDS.values())}):
            retention = getattr(get_settings(), f"keep_days_{table}")
            if retention:
                oldest = today - timedelta(days=retention)
                _prune_table(dropping, run, table, oldest, modelled.get(table))
        if retention := get_settings().keep_days_runs:
            run.detail["folded"] = _fold_runs(dropping, today - timedelta(days=retention))
    return run


def _fold_runs(connection: Connection, first_kept: date) -> int:
    """Fold the runs that every model has taken in, whose days are those of the answers."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select to_regclass('marts.modelled_until') is not null "
            "and to_regclass('marts.reporting_settings') is not null"
        )
        [(are_there,)] = cursor.fetchall()
        if not are_there:
            return 0
        cursor.execute(
            "select (select min(coalesce(run_id, 0)) from marts.modelled_until), "
            "reporting_timezone from marts.reporting_settings"
        )
        [(modelled_run, time_zone)] = cursor.fetchall()
    with connection, connection.cursor() as cursor:
        return fold_runs(cursor, first_kept, modelled_run or 0, time_zone)


def _prune_table(
    connection: Connection, run: LedgerRun, table: str, oldest: date, modelled: Modelled | None
) -> None:
    for partition, since, until in partitions_of(connection, table):
        if until.date() > oldest:
            continue
        why: str | None
        if modelled is None:
            why = "not known to be modelled: run `loader transform` first"
        elif until > modelled.until:
            why = f"modelled until {modelled.until:%Y-%m-%d %H:%M} UTC only"
        else:
            why = _drop(connection, table, since.date(), modelled.run_id)
        if why:
            run.detail["kept"][partition] = why
        else:
            run.detail["dropped"].append(partition)


def _drop(connection: Connection, table: str, day: date, modelled_run: int) -> str | None:
    """Drop one day; returns why it stays, if it does."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            is_dropped = drop_partition(cursor, table, day, modelled_run)
    except psycopg2.errors.LockNotAvailable:
        return "in use: the next prune drops it"
    return None if is_dropped else "rows came after the last `loader transform`: run it first"


def _modelled(connection: Connection) -> dict[str, Modelled]:
    """What dbt says of each raw table; nothing before the first build."""
    # In a transaction of its own: the view reads raw, and a partition that an open transaction has
    # read cannot be dropped.
    with connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('marts.modelled_until') is not null")
        [(is_there,)] = cursor.fetchall()
        if not is_there:
            return {}
        cursor.execute(
            "select table_name, modelled_until, run_id from marts.modelled_until "
            "where modelled_until is not null and run_id is not null"
        )
        return {table: Modelled(until, run_id) for table, until, run_id in cursor}
