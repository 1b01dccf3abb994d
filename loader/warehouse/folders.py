"""Which files a call is about: those that are named, and those of a folder that are named so."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.text import shown, told_path

MOST_TOLD = 5

log = logging.getLogger(__name__)


def data_files(suffix: str) -> str:
    """What `files_of` looks for, in words: `no ... in it`."""
    return f".{suffix} file, nor a packed one (.{suffix}.gz, .{suffix}.zip, .{suffix}.zst)"


def find_files(paths: Sequence[Path], suffix: str) -> list[list[Path]]:
    """The files of each path of the call, those of a folder by name.

    Raises UsageError for a path that is not there and for a folder without such files.
    """
    files: list[list[Path]] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir() raises for a name that is too long
            found = files_of(path, suffix)
            if not found:
                raise UsageError(f"{told_path(path)}: no {data_files(suffix)} in it")
            files.append(found)
        else:
            try:
                path.lstat()
            except OSError as error:
                reason = str(error.strerror)
                raise UsageError(f"{told_path(path)}: {reason[0].lower()}{reason[1:]}") from None
            files.append([path])
    return files


def files_of(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder that end so, packed or not; what else is in it is named in the log.

    For `csv` these are a.csv, a.csv.gz and, as a desktop packs it, a.zip. What somebody is still
    writing has another ending (.part, .tmp, .crdownload) or a leading dot.
    """
    packed = r"\.(gz|zip|zst)"
    is_data = re.compile(
        rf"[^.].*\.{suffix}({packed})?|[^.]+{packed}", re.IGNORECASE | re.DOTALL
    ).fullmatch
    files: list[Path] = []
    others: list[str] = []
    count = 0
    try:
        for entry in folder.iterdir():
            if is_data(entry.name):
                files.append(entry)
                continue
            count += 1
            if count <= MOST_TOLD:
                others.append(shown(entry))
    except OSError as error:
        raise RefusedError(f"{told_path(folder)}: {error.strerror}") from None
    if count:
        more = f" and {count - MOST_TOLD} more" if count > MOST_TOLD else ""
        log.info("%s: left alone: %s%s", told_path(folder), ", ".join(sorted(others)), more)
    return sorted(files)
