"""Which files a call of `loader snapshots` is about."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.text import shown, told_path

# deposits.csv, deposits.csv.gz or, as a desktop packs it, deposits.zip. What somebody is still
# writing has another ending: .part, .tmp, .crdownload, or a leading dot.
_IS_DATA = re.compile(r"[^.].*\.csv|[^.].*\.csv\.(gz|zip|zst)|[^.]+\.(gz|zip|zst)",
                      re.IGNORECASE | re.DOTALL).fullmatch  # fmt: skip
DATA = ".csv file, nor a packed one (.csv.gz, .csv.zip, .csv.zst)"
MOST_TOLD = 5

log = logging.getLogger(__name__)


def find_files(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each path of the call, those of a directory by name.

    Raises UsageError for a path that is not there and for a directory without snapshots.
    """
    files: list[list[Path]] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir() raises for a name that is too long
            found = files_of(path)
            if not found:
                raise UsageError(f"{told_path(path)}: no {DATA} in it")
            files.append(found)
        else:
            try:
                path.lstat()
            except OSError as error:
                reason = str(error.strerror)
                raise UsageError(f"{told_path(path)}: {reason[0].lower()}{reason[1:]}") from None
            files.append([path])
    return files


def files_of(directory: Path) -> list[Path]:
    """The snapshot files of a directory, by name; what else is in it is named in the log."""
    files: list[Path] = []
    others: list[str] = []
    count = 0
    try:
        for entry in directory.iterdir():
            if _IS_DATA(entry.name):
                files.append(entry)
                continue
            count += 1
            if count <= MOST_TOLD:
                others.append(shown(entry))
    except OSError as error:
        raise RefusedError(f"{told_path(directory)}: {error.strerror}") from None
    if count:
        more = f" and {count - MOST_TOLD} more" if count > MOST_TOLD else ""
        log.info("%s: left alone: %s%s", told_path(directory), ", ".join(sorted(others)), more)
    return sorted(files)
