"""`loader snapshots`: each file becomes the current snapshot of its kind, whole or not at all."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple, cast

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.snapshots.reading import SnapshotFile
from loader.snapshots.rows import GoodRows, differing_repeats
from loader.warehouse.errors import RefusedError, UsageError, WarehouseError
from loader.warehouse.ledger import partitions
from loader.warehouse.ledger.quarantine import QuarantineFile
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.settings import get_settings
from loader.warehouse.text import shown

JOB = "snapshots"
# Up to this many bad rows never refuse a file, however small it is.
BAD_ROWS_ALLOWED = 20

log = logging.getLogger(__name__)


class CurrentSnapshot(NamedTuple):
    """The snapshot of a kind that readers see now."""

    sha256: str
    content_bytes: int
    row_count: int


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files of the call, in its order; those of a directory by name.

    Raises UsageError for a path that is not there and for a directory without snapshots.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = _files_of(path)
            if not found:
                raise UsageError(f"{path}: no .csv or .csv.gz file in it")
            files += found
        elif path.exists() or path.is_symlink():
            files.append(path)
        else:
            raise UsageError(f"{path}: no such file or directory")
    return files


def _files_of(directory: Path) -> list[Path]:
    return sorted(
        entry
        for entry in directory.iterdir()
        if re.fullmatch(r"[^.].*\.csv(\.gz)?", entry.name, re.IGNORECASE | re.DOTALL)
    )


def load_inbox() -> Iterator[LedgerRun]:
    """Load the files in the inbox of the settings; an empty one is no error, but a run.

    Raises UsageError where there is no inbox.
    """
    inbox = get_settings().inbox
    if inbox is None:
        raise UsageError("snapshots: name a directory or files, or set WAREHOUSE_INBOX")
    if not inbox.is_dir() or _files_of(inbox):
        yield from load_snapshots([inbox])
        return
    # So that `loader status` tells an empty inbox from one that nobody looked into.
    with (
        exclusive(JOB) as connection,
        ledger_run(connection, JOB, {"reason": f"{inbox} holds no .csv or .csv.gz file"}) as run,
    ):
        run.status = "unchanged"
    yield run


def load_snapshots(paths: Sequence[Path], *, allow_shrink: bool = False) -> Iterator[LedgerRun]:
    """Load each file; yield its closed run.

    Of several files one that is refused is logged and the others go on; RefusedError is raised
    after the last. A lost database or a second load at once ends it (TransientError).
    """
    files = find_files(paths)
    refused = 0
    with exclusive(JOB) as connection:
        twice = _kinds_given_twice([path for path in paths if path.is_dir()])
        for file in files:
            try:
                if message := twice.get(file):
                    with ledger_run(connection, JOB, {"file": shown(file)}):
                        raise RefusedError(message)
                yield _load_file(connection, file, allow_shrink=allow_shrink)
            except RefusedError as error:
                if len(files) == 1:
                    raise
                log.error("%s", error)
                refused += 1
        if refused:
            raise RefusedError(f"{refused} of {len(files)} files refused")


def _kinds_given_twice(directories: Iterable[Path]) -> dict[Path, str]:
    """Files of one directory that claim to be the same snapshot: which is current is a guess."""
    messages: dict[Path, str] = {}
    for directory in directories:
        by_kind: dict[str, list[Path]] = {}
        for file in find_files([directory]):
            try:
                with closing(SnapshotFile(file)) as snapshot:
                    by_kind.setdefault(snapshot.kind, []).append(file)
            except WarehouseError:
                continue  # the load itself says what is wrong with it
        for kind, files in by_kind.items():
            if len(files) > 1:
                names = ", ".join(map(shown, files))
                for file in files:
                    messages[file] = (
                        f"{shown(file)}: {shown(directory)} holds {len(files)} files of {kind} "
                        f"({names}): name the one to load"
                    )
    return messages


def _load_file(connection: Connection, path: Path, *, allow_shrink: bool) -> LedgerRun:
    with ledger_run(connection, JOB, {"file": shown(path)}) as run, ExitStack() as stack:
        file = stack.enter_context(closing(SnapshotFile(path)))
        run.detail["kind"] = file.kind
        current = _current(connection, file.kind)
        if current and _is_unchanged(path, file, current):
            run.status = "unchanged"
        else:
            log.info("%s: loading as %s", file.name, file.kind)
            _load_rows(connection, run, file, stack)
            if current and file.sha256 == current.sha256:
                _undo(connection, run)
            else:
                _check_bad_rows(run, file)
                _check_shrink(run, file, current, allow_shrink=allow_shrink)
                _publish(connection, run, file)
    # After an unchanged file too: an earlier load may have died before this step, or left snapshots
    # that somebody was reading.
    _drop_old(connection, file.kind)
    return run


def _current(connection: Connection, kind: str) -> CurrentSnapshot | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select content_sha256, content_bytes, row_count "
            "from raw.snapshots where kind = %s and is_current",
            (kind,),
        )
        row = cursor.fetchone()
    return CurrentSnapshot(*row) if row else None


def _is_unchanged(path: Path, file: SnapshotFile, current: CurrentSnapshot) -> bool:
    """Compare digests first where the size leaves it open: cheaper than loading in vain."""
    if file.likely_content_bytes != current.content_bytes:
        return False
    with closing(SnapshotFile(path)) as twin:
        return twin.digest() == current.sha256


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


def _check_bad_rows(run: LedgerRun, file: SnapshotFile) -> None:
    percent = get_settings().bad_rows_percent
    bad = run.rows_quarantined
    if bad > BAD_ROWS_ALLOWED and bad * 100 > percent * run.rows_read:
        examples = "; ".join(run.detail["bad_rows"])
        raise RefusedError(
            f"{file.name}: {bad} of {run.rows_read} rows are bad, more than {percent:g} %: "
            f"{examples} ..."
        )


def _check_shrink(
    run: LedgerRun, file: SnapshotFile, current: CurrentSnapshot | None, *, allow_shrink: bool
) -> None:
    if current and not allow_shrink and run.rows_inserted * 2 < current.row_count:
        raise RefusedError(
            f"{file.name}: {run.rows_inserted} rows, less than half of the current "
            f"{current.row_count}: use --allow-shrink if that is right"
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
