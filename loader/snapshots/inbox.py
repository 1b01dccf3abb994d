"""`loader snapshots` without a name: what has come into the inbox since the last look."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from psycopg2.extensions import connection as Connection

from loader.snapshots.load import JOB, SUFFIX, files_given_twice, load_files, load_snapshots
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import UsageError
from loader.warehouse.files import stamp_of
from loader.warehouse.folders import data_files, files_of
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.settings import get_settings
from loader.warehouse.text import shown, told_path

log = logging.getLogger(__name__)


def load_inbox(names: ColumnNames | None = None) -> Iterator[LedgerRun]:
    """Load what is new in the inbox of the settings; that nothing is new is no error, but a run.

    A file is taken when it has rested for as long as the settings say, and not read again while
    it is the very file that the current snapshot was read from. Raises UsageError where there is
    no inbox.
    """
    inbox = get_settings().inbox
    if inbox is None:
        raise UsageError("snapshots: name a directory or files, or set WAREHOUSE_INBOX")
    if not os.path.isdir(inbox):  # noqa: PTH112 - Path.is_dir() raises for a name that is too long
        yield from load_snapshots([inbox], names=names)
        return
    there = files_of(inbox, SUFFIX)
    rested = [file for file in there if _has_rested(file)]
    with exclusive(JOB) as connection:
        twice = files_given_twice(inbox, rested, names)
        # Other names may make other rows of the same file.
        loaded = [] if names else _loaded(connection)
        files = [file for file in rested if file in twice or not _is_one_of(file, loaded)]
        if files:
            yield from load_files(connection, files, twice, names=names)
            return
        # So that `loader status` tells an empty inbox from one that nobody looked into.
        reason = f"{told_path(inbox)} holds no {'new snapshot' if there else data_files(SUFFIX)}"
        with ledger_run(connection, JOB, {"reason": reason}) as run:
            run.status = "unchanged"
        yield run


def _has_rested(file: Path) -> bool:
    """Whether nobody seems to be writing a file.

    By the instant that the system itself notes at every change: the time that programs show can
    be set, and a copy has that of its original. One that lies ahead is another machine's.
    """
    try:
        changed = file.lstat().st_ctime
    except OSError:
        # Gone again, or not to be reached: the load says what is wrong with it.
        return True
    rest = get_settings().inbox_rest_seconds
    age = abs(time.time() - changed)
    if age < rest:
        log.info("%s: changed %.0f s ago, taken after %g s of rest", shown(file), age, rest)
    return age >= rest


def _loaded(connection: Connection) -> list[list[int]]:
    """The stamps of the files that the current snapshots were read from."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select runs.detail -> 'stamp' from raw.snapshots "
            "inner join ops.runs using (run_id) where is_current and runs.detail ? 'stamp'"
        )
        return [stamp for (stamp,) in cursor]


def _is_one_of(file: Path, stamps: list[list[int]]) -> bool:
    try:
        return stamp_of(file.lstat()) in stamps
    except OSError:
        return False
