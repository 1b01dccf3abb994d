"""`loader lake import`: old lakes into raw.spread_observations, each observation once."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from psycopg2.extensions import connection as Connection

from loader.lake.finding import FoundFiles, find_files, place_of
from loader.lake.reading import read_file
from loader.lake.rows import ObservationRows
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.text import counted, told_path

JOB = "lake import"
# A run of the ledger takes so many bytes or files of a lake: a kill costs at most that much work.
RUN_BYTES = 64 << 20
RUN_FILES = 2_000

log = logging.getLogger(__name__)


def import_lake(path: Path, given: ColumnNames | None = None) -> Iterator[LedgerRun]:
    """Load the files of a lake, some in each run of the ledger; yield its closed run.

    `given` says what columns of theirs are called here. A file that cannot be read is refused
    whole and the others go on; RefusedError is raised after the last. What is in raw already is a
    duplicate: a lake imported again, or after a kill, adds what is missing and nothing else.
    """
    found = _found(path)
    refused = len(found.unreadable)
    total = len(found.files) + refused
    for message in found.unreadable.values():
        log.error("%s", message)
    with exclusive(JOB) as connection:
        for batch in _batches(found.files):
            try:
                run = _import_files(connection, found.root, batch, given, is_alone=total == 1)
            except AllRefusedError:
                if total == 1:
                    raise
                refused += len(batch)
                continue
            refused += len(run.detail["refused"])
            yield run
    if refused:
        raise RefusedError(f"{refused} of {total} files refused")


class AllRefusedError(RefusedError):
    """Each file of a run was refused, which the log says of each."""


def _found(path: Path) -> FoundFiles:
    try:
        path.lstat()
    except OSError as error:
        raise UsageError(f"{told_path(path)}: {str(error.strerror).lower()}") from None
    found = find_files(path)
    if found.others:
        log.info(
            "%s: left alone: %s%s",
            told_path(path), ", ".join(found.others),
            f" and {more} more" if (more := found.other_count - len(found.others)) else "",
        )  # fmt: skip
    if not found.files and not found.unreadable:
        raise UsageError(f"{told_path(path)}: no .csv or .parquet file in it, packed or not")
    return found


def _batches(files: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for file in files:
        if batch and (size >= RUN_BYTES or len(batch) >= RUN_FILES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        # One that has gone meanwhile is refused when it is opened.
        with contextlib.suppress(OSError):
            size += file.lstat().st_size
    if batch:
        yield batch


def _import_files(
    connection: Connection,
    root: Path,
    files: list[Path],
    given: ColumnNames | None,
    *,
    is_alone: bool,
) -> LedgerRun:
    first, last = (place_of(file, root) for file in (files[0], files[-1]))
    items = [first] if len(files) == 1 else [f"{first} ... {last}"]
    detail = {"items": items, "files": len(files)}
    with ledger_run(connection, JOB, detail) as run:
        writer = ObservationRows(connection, run)
        for file in files:
            place = place_of(file, root)
            writer.add(place, read_file(file, given, place))
            if place in writer.refused and not is_alone:
                log.error("%s", writer.refused[place])
        writer.flush()
        run.detail |= {"refused": writer.refused, "spreads_off": writer.spreads_off}
        if writer.left_out:
            run.detail["left_out"] = sorted(writer.left_out)
        if len(writer.refused) == len(files):
            raise AllRefusedError("; ".join(list(writer.refused.values())[:3]))
    if writer.left_out:
        log.warning("%s: columns left out: %s", items[0], ", ".join(sorted(writer.left_out)))
    if writer.spreads_off:
        log.warning(
            "%s: %s not as bid and ask have it: bid and ask count",
            items[0], counted(writer.spreads_off, "spread"),
        )  # fmt: skip
    return run
