"""`loader snapshots`: each file becomes the current snapshot of its kind, whole or not at all."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple, cast

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.snapshots.reading import SnapshotFile
from loader.snapshots.rows import GoodRows, differing_repeats
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError, WarehouseError
from loader.warehouse.folders import find_files
from loader.warehouse.ledger import partitions
from loader.warehouse.ledger.quarantine import QuarantineFile, check_bad_rows
from loader.warehouse.ledger.runs import LedgerRun, each_file, exclusive, ledger_run
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.postgres.sample import LOAD_YOURS, SAMPLE
from loader.warehouse.settings import get_settings
from loader.warehouse.text import counted, shown

JOB = "snapshots"
SUFFIX = "csv"

log = logging.getLogger(__name__)


class CurrentSnapshot(NamedTuple):
    """The snapshot of a kind that readers see now."""

    sha256: str
    content_bytes: int
    row_count: int
    fields: list[str | None]

    def is_of(self, file: SnapshotFile) -> bool:
        """Whether it is what a file that was read to its end holds, its columns named the same."""
        return self.sha256 == file.sha256 and self.fields == list(file.fields)


def load_snapshots(
    paths: Sequence[Path], *, allow_shrink: bool = False, names: ColumnNames | None = None
) -> Iterator[LedgerRun]:
    """Load each file; yield its closed run. `names` says what the columns of the files mean.

    Of several files one that is refused, or changes meanwhile, is logged and the others go on;
    RefusedError or FileChangedError is raised after the last. A lost database or a second load at
    once ends it (TransientError).
    """
    found = find_files(paths, SUFFIX)
    with exclusive(JOB) as connection:
        twice: dict[Path, str] = {}
        for path, files in zip(paths, found, strict=True):
            twice |= files_given_twice(path, files, names)
        every = [file for files in found for file in files]
        yield from load_files(connection, every, twice, allow_shrink=allow_shrink, names=names)


def load_files(
    connection: Connection,
    files: Sequence[Path],
    twice: Mapping[Path, str],
    *,
    allow_shrink: bool = False,
    names: ColumnNames | None = None,
) -> Iterator[LedgerRun]:
    """The same on a connection that holds the job's lock; `twice` says which are refused, why."""

    def load(path: Path) -> LedgerRun:
        if message := twice.get(path):
            with ledger_run(connection, JOB, {"file": shown(path)}):
                raise RefusedError(message)
        return _load_file(connection, path, names, allow_shrink=allow_shrink)

    yield from each_file(files, load)


def files_given_twice(
    directory: Path, files: Iterable[Path], names: ColumnNames | None
) -> dict[Path, str]:
    """Files of one directory that claim to be the same snapshot: which is current is a guess."""
    by_kind: dict[str, list[Path]] = {}
    for path in files:
        try:
            with closing(SnapshotFile(path, names)) as snapshot:
                by_kind.setdefault(snapshot.kind, []).append(path)
        except WarehouseError:
            continue  # the load itself says what is wrong with it
    messages: dict[Path, str] = {}
    for kind, paths in by_kind.items():
        if len(paths) > 1:
            told = ", ".join(map(shown, paths[:3])) + ", ..." * (len(paths) > 3)
            for path in paths:
                messages[path] = (
                    f"{shown(path)}: {shown(directory)} holds {counted(len(paths), 'file')} of "
                    f"{kind} ({told}): name the one to load"
                )
    return messages


def _load_file(
    connection: Connection, path: Path, names: ColumnNames | None, *, allow_shrink: bool
) -> LedgerRun:
    with ledger_run(connection, JOB, {"file": shown(path)}) as run, ExitStack() as stack:
        file = stack.enter_context(closing(SnapshotFile(path, names)))
        run.detail |= {"kind": file.kind, "stamp": file.stamp, "fields": file.fields}
        current = _current(connection, file.kind)
        if current and _is_unchanged(file, current, names):
            run.status = "unchanged"
        else:
            log.info("%s: loading as %s", file.name, file.kind)
            _load_rows(connection, run, file, stack)
            if current and current.is_of(file):
                _undo(connection, run)
            else:
                reasons = run.detail.get("bad_rows", [])
                check_bad_rows(file.name, run.rows_read, run.rows_quarantined, reasons)
                _check_shrink(run, file, current, allow_shrink=allow_shrink)
                _publish(connection, run, file)
                _tell_bad_rows(run, file)
    # After an unchanged file too: an earlier load may have died before this step, or left snapshots
    # that somebody was reading.
    _drop_old(connection, file.kind)
    return run


def _current(connection: Connection, kind: str) -> CurrentSnapshot | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select content_sha256, content_bytes, row_count, "
            "coalesce(runs.detail -> 'fields', to_jsonb(columns)) "
            "from raw.snapshots left join ops.runs using (run_id) where kind = %s and is_current",
            (kind,),
        )
        row = cursor.fetchone()
    return CurrentSnapshot(*row) if row else None


def _is_unchanged(file: SnapshotFile, current: CurrentSnapshot, names: ColumnNames | None) -> bool:
    """Compare digests first where the size leaves it open: cheaper than loading in vain."""
    if not file.may_hold(current.content_bytes):
        return False
    with closing(SnapshotFile(file.path, names)) as twin:
        twin.digest()
        return current.is_of(twin)


def _load_rows(
    connection: Connection,
    run: LedgerRun,
    file: SnapshotFile,
    stack: ExitStack,
) -> None:
    with connection.cursor() as cursor:
        snapshot_id = partitions.open_snapshot(cursor, file.kind, run.run_id)
    run.detail["snapshot_id"] = snapshot_id
    spool = stack.enter_context(QuarantineFile(run, file.kind))
    feed = stack.enter_context(closing(GoodRows(file, run, spool)))
    table = sql.Identifier("raw", f"{file.kind}_{snapshot_id}")
    columns = ("line_number", *file.columns)
    try:
        rows = cast(IO[bytes], feed)
        run.rows_inserted = copy_rows(connection, table, columns, rows, freeze=True)
    except psycopg2.Error:
        # COPY reports an exception of our reader as "query cancelled": raise the reader's own.
        if feed.error is not None:
            raise feed.error from None
        raise
    repeated_ids = sorted(feed.ids.repeated) if feed.ids.is_complete else None
    if repeated_ids != []:
        with connection.cursor("repeats") as cursor:  # on the server: they may be many
            cursor.execute(
                "select line_number, first_line, is_identical "
                "from raw.take_repeats(%s, %s, %s) order by line_number",
                (file.kind, snapshot_id, repeated_ids),
            )
            for bad in differing_repeats(cursor, run, file):
                feed.set_aside(bad)
    spool.write(connection)


def _undo(connection: Connection, run: LedgerRun) -> None:
    """The content turned out to be the current one: keep nothing of it."""
    connection.rollback()
    run.status = "unchanged"
    run.rows_read = run.rows_inserted = run.rows_duplicate = run.rows_quarantined = 0


def _tell_bad_rows(run: LedgerRun, file: SnapshotFile) -> None:
    for example in run.detail.get("bad_rows", []):
        log.warning("%s: %s", file.name, example)


def _check_shrink(
    run: LedgerRun, file: SnapshotFile, current: CurrentSnapshot | None, *, allow_shrink: bool
) -> None:
    if current and not allow_shrink and run.rows_inserted * 2 < current.row_count:
        is_sample = get_settings().db == SAMPLE
        advice = LOAD_YOURS if is_sample else "use --allow-shrink if that is right"
        raise RefusedError(
            f"{file.name}: {counted(run.rows_inserted, 'row')}, less than half of the current "
            f"{current.row_count}{' of the sample' * is_sample}: {advice}"
        )


def _publish(connection: Connection, run: LedgerRun, file: SnapshotFile) -> None:
    with connection.cursor() as cursor:
        partitions.publish_snapshot(
            cursor, file.kind, run.detail["snapshot_id"], run.run_id, file.name, file.columns,
            file.sha256, file.content_bytes, run.rows_inserted,
        )  # fmt: skip


def _drop_old(connection: Connection, kind: str) -> None:
    """Drop what is older than the snapshots to keep; left for the next load when in use."""
    try:
        with transaction(connection) as cursor:
            cursor.execute("set local lock_timeout = '1s'")
            partitions.drop_old_snapshots(cursor, kind, get_settings().snapshots_kept)
    except psycopg2.errors.LockNotAvailable:
        log.warning("%s: old snapshots are in use, the next load drops them", kind)
    except psycopg2.Error as error:
        raise database_error(error) from None
