"""Files that others hand in: opened without being led astray, packed or not."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from loader.warehouse.errors import FileChangedError, RefusedError
from loader.warehouse.text import shown
from loader.warehouse.unpacking import BUFFER_BYTES, DAMAGE, unpacked, what_is_wrong

_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def open_regular(path: Path) -> BinaryIO:
    """Open without following a link and without waiting on a pipe.

    Raises RefusedError, saying what stands there, for anything but a file that can be read.
    """
    try:
        # Looked at first: opening a device may already do something to it.
        _refuse_other_kinds(path, path.lstat().st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise RefusedError(f"{shown(path)}: {error.strerror}") from None
    try:
        _refuse_other_kinds(path, os.fstat(descriptor).st_mode)
    except RefusedError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb", buffering=BUFFER_BYTES)


def _refuse_other_kinds(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise RefusedError(f"{shown(path)}: {kind}, not a file")


def stamp_of(status: os.stat_result) -> list[int]:
    """What tells a file, as it is, from any other and any other time."""
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Unpacked:
    """The content of a file, packed or not, as a stream of bytes that is read once.

    gzip (of several members), zip (of one file) and Zstandard (of several frames) are told by the
    content; `raw` is the file as it lies on disk, `name` what messages call it. Memory is bounded,
    whatever the file says of itself.
    """

    def __init__(self, path: Path) -> None:
        """Open a file; raises RefusedError where it is none, or an archive that is not read."""
        self.path = path
        self.name = shown(path)
        self.raw = open_regular(path)
        self._opened = os.fstat(self.raw.fileno())
        try:
            content = unpacked(self.raw)
        except RefusedError as error:
            self.raw.close()
            raise RefusedError(f"{self.name}: {error}") from None
        except DAMAGE as error:
            self.raw.close()
            raise RefusedError(f"{self.name}: {what_is_wrong(error)}") from None
        self.is_packed = content is not None
        self._content = content or self.raw

    @property
    def size(self) -> int:
        """Bytes on disk when it was opened."""
        return self._opened.st_size

    @property
    def stamp(self) -> list[int]:
        """That of the file as it was when it was opened."""
        return stamp_of(self._opened)

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end of the content; raises RefusedError for damage."""
        return self._guarded(self._content.read, size)

    def readline(self, size: int) -> bytes:
        """The rest of a line with its end, or as much of it; raises RefusedError for damage."""
        return self._guarded(self._content.readline, size)

    def _guarded(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except DAMAGE as error:
            raise RefusedError(f"{self.name}: {what_is_wrong(error)}") from None

    def check_unchanged(self) -> None:
        """Raise FileChangedError if the file is no longer the one that was opened, as it was."""
        try:
            there = self.path.lstat()
        except OSError:
            there = None
        now, then = os.fstat(self.raw.fileno()), self._opened
        if (
            there is None
            or (there.st_dev, there.st_ino) != (then.st_dev, then.st_ino)
            or (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns)
        ):
            raise FileChangedError(f"{self.name}: the file changed while it was read")

    def close(self) -> None:
        """Close the file."""
        self._content.close()
        self.raw.close()
