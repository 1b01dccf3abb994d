"""The spool of a warehouse in a backup, and in the place of the warehouse that is made from it."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from loader.stream.seconds import beginning
from loader.warehouse.errors import RefusedError, TransientError
from loader.warehouse.text import told_path

_ATTEMPTS = 20
_CHUNK_BYTES = 1 << 20


def copy_spool(spool: Path, to: Path) -> bool:
    """Copy the whole lines of a spool that somebody may be writing; False where there is none.

    To be called before the snapshot of Postgres is taken: what the stream takes out of the file
    from then on is in that snapshot. It empties the file at once, and what was read half before
    and half after that would be no line: so it is read again until it has stood still.
    """
    if not spool.exists():
        return False
    for _ in range(_ATTEMPTS):
        with spool.open("rb") as source, to.open("w+b") as copy:
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            size = copy.tell()
            if _digest(source, size) == _digest(copy, size):
                copy.truncate(_end_of_lines(copy, size))
                copy.flush()
                os.fsync(copy.fileno())
                return True
    raise TransientError(f"{told_path(spool)} does not stand still: try again later")


def _digest(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """Of so many bytes from its beginning, fewer where it has become shorter."""
    digest = hashlib.sha256()
    file.seek(0)
    left = size
    while left and (piece := file.read(min(left, _CHUNK_BYTES))):
        digest.update(piece)
        left -= len(piece)
    return left, digest.digest()


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last whole line ends: what comes after it is being written."""
    start = size
    while start:
        start = max(0, start - _CHUNK_BYTES)
        file.seek(start)
        if (end := file.read(min(_CHUNK_BYTES, size - start)).rfind(b"\n")) >= 0:
            return start + end + 1
    return 0


def assert_no_spool(spool: Path) -> None:
    """Raise RefusedError where seconds wait in the place of a spool."""
    if spool.exists() and spool.stat().st_size:
        raise RefusedError(
            f"{told_path(spool)} holds seconds of another warehouse: name another directory in "
            "WAREHOUSE_STREAM_SPOOL_DIR, or move the file away"
        )


def restamp(copy: Path, to: Path, old: str, new: str) -> None:
    """Write the lines of a copied spool for another warehouse, whole or not at all.

    Only the id that a line begins with is another one: damaged lines stay as they are.
    """
    before, after = beginning(old), beginning(new)
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = to.with_name(f".{to.name}.part")
    with copy.open("rb") as lines, beside.open("wb") as out:
        beside.chmod(0o600)
        for line in lines:
            out.write(after + line[len(before) :] if line.startswith(before) else line)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(to)
