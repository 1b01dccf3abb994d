"""Lines that are not in Postgres yet, oldest first, in a file: what a killed process leaves.

Every line is written here before anything else happens to it, and the file is emptied whenever
all of it is in Postgres. What is in it, the disk or a lost power may have changed: lines are given
out as they stand, whatever that is.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from loader.warehouse.errors import AlreadyRunningError, TerminalError, TransientError

# Far more than a second of all books takes. What is longer was not written as one line.
LONGEST_LINE_BYTES = 16 << 20
# So many lines are kept in memory while the disk is full or broken.
_MOST_IN_MEMORY = 60
_CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger(__name__)


class SpoolLine(NamedTuple):
    """A line without its end, and how much of the file it takes with it.

    Of one that is too long, only how it begins.
    """

    text: bytes
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return self.size == len(self.text) + 1


class Spool:
    """A file of `most_bytes` at the most, which one process at a time has open.

    One thread may append while another reads.
    """

    def __init__(self, path: Path, most_bytes: int = 256 << 20) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._read = 0
        # Lines that the disk did not take: all of them are younger than those in the file.
        self._memory: deque[bytes] = deque()
        self._is_broken = False

    def open(self) -> None:
        """Take hold of the file, with what is in it.

        Raises AlreadyRunningError when another process has it, TransientError when the disk is
        full, TerminalError when nobody can have it.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = os.open(self.path, flags, 0o600)
            found = os.fstat(self._file)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(None, "not a regular file")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = self._end_last_line(found.st_size)
        except BlockingIOError:
            self.close()
            raise AlreadyRunningError(
                f"another stream run is at work (it holds {self.path}): try again later"
            ) from None
        except OSError as error:
            self.close()
            kind = TransientError if error.errno in _NO_ROOM else TerminalError
            raise kind(f"{self.path} cannot be used: {error.strerror}") from None

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def append(self, line: bytes, *, must: bool = False, sync: bool = False) -> bool:
        """Add a line; False when there is no room for it.

        `must` is for short ones that are to be kept past the bound; with `sync` it is on the disk
        and not only with the system when this returns.
        """
        with self._lock:
            if not must and self._size + len(line) > self._most_bytes:
                return False
            if not self._memory and self._write(line + b"\n"):
                if sync:
                    with contextlib.suppress(OSError):
                        os.fdatasync(self._file)
                return True
            if not must and len(self._memory) >= _MOST_IN_MEMORY:
                return False
            self._memory.append(line)
            return True

    def peek(self, most_bytes: int = _CHUNK_BYTES) -> list[SpoolLine]:
        """The next lines, at least one if there is any."""
        with self._lock:
            if self._read == self._size:
                return [SpoolLine(line, len(line) + 1) for line in self._memory]
            piece = self._bytes(self._read, most_bytes)
            while (end := piece.rfind(b"\n")) < 0 and len(piece) < LONGEST_LINE_BYTES:
                more = self._bytes(self._read + len(piece), most_bytes)
                if not more:
                    break
                piece += more
            if end < 0:
                return [SpoolLine(piece[:_CHUNK_BYTES], self._length_of_line())]
            return [SpoolLine(line, len(line) + 1) for line in piece[:end].split(b"\n")]

    def advance(self, lines: Sequence[SpoolLine]) -> None:
        """The lines that came first are safe elsewhere."""
        with self._lock:
            if self._read == self._size:
                for _ in lines:
                    self._memory.popleft()
                return
            self._read += sum(line.size for line in lines)
            if self._read == self._size:
                self._truncate(0)
                self._read = 0

    def _bytes(self, start: int, most: int) -> bytes:
        return os.pread(self._file, min(most, self._size - start), start)

    def _length_of_line(self) -> int:
        """How much of the file the next line takes, with its end; read in pieces."""
        start = self._read
        while piece := self._bytes(start, _CHUNK_BYTES):
            if (end := piece.find(b"\n")) >= 0:
                return start + end + 1 - self._read
            start += len(piece)
        # Somebody has cut the file off meanwhile.
        return self._size - self._read

    def _write(self, data: bytes) -> bool:
        try:
            written = os.pwrite(self._file, data, self._size)
            if written != len(data):
                raise OSError(None, "no space left")
        except OSError as error:
            if not self._is_broken:
                log.warning("%s: %s: going on in memory", self.path, error.strerror)
            self._is_broken = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            return False
        self._is_broken = False
        self._size += len(data)
        return True

    def _truncate(self, size: int) -> None:
        # If it fails, the file keeps lines that Postgres has already; the account skips them when
        # they are read again.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, size)
        self._size = size

    def _end_last_line(self, size: int) -> int:
        """Give an end to a line that its process died with, so that the next is one of its own."""
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.pwrite(self._file, b"\n", size)
            size += 1
        return size
