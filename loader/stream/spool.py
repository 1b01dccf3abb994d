"""Lines that are not in Postgres yet, oldest first, in a file: what a killed process leaves.

Every line is written here before anything else happens to it, and the file is emptied whenever
all of it is in Postgres. A line without its end is of a process that died while writing it.
"""

import contextlib
import fcntl
import logging
import os
import threading
from collections import deque
from pathlib import Path

from loader.warehouse.errors import AlreadyRunningError, TerminalError

# So many lines are kept in memory while the disk is full or broken.
_MOST_IN_MEMORY = 60
_CHUNK_BYTES = 1 << 20

log = logging.getLogger(__name__)


class Spool:
    """A file of `most_bytes` at the most, which one process at a time has open.

    One thread may append while another reads.
    """

    def __init__(self, path: Path, most_bytes: int = 256 << 20) -> None:
        self._path = path
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

        Raises AlreadyRunningError when another process has it, TerminalError when nobody can.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._drop_torn_line()
        except BlockingIOError:
            self.close()
            raise AlreadyRunningError(
                f"another stream run is at work (it holds {self._path}): try again later"
            ) from None
        except OSError as error:
            self.close()
            raise TerminalError(f"{self._path} cannot be used: {error.strerror}") from None

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

    def peek(self, most_bytes: int = _CHUNK_BYTES) -> list[bytes]:
        """The next lines, at least one if there is any, and whole ones only."""
        with self._lock:
            if self._read == self._size:
                return list(self._memory)
            piece = b""
            while not piece.endswith(b"\n"):
                wanted = min(most_bytes, self._size - self._read - len(piece))
                read = os.pread(self._file, wanted, self._read + len(piece)) if wanted else b""
                if not read:
                    break
                piece += read
                if (end := piece.rfind(b"\n")) >= 0:
                    piece = piece[: end + 1]
            return piece.splitlines()

    def advance(self, lines: list[bytes]) -> None:
        """The lines that came first are safe elsewhere."""
        with self._lock:
            if self._read == self._size:
                for _ in lines:
                    self._memory.popleft()
                return
            self._read += sum(len(line) + 1 for line in lines)
            if self._read == self._size:
                self._truncate(0)
                self._read = 0

    def _write(self, data: bytes) -> bool:
        try:
            written = os.pwrite(self._file, data, self._size)
            if written != len(data):
                raise OSError(None, "no space left")
        except OSError as error:
            if not self._is_broken:
                log.warning("%s: %s: going on in memory", self._path, error.strerror)
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

    def _drop_torn_line(self) -> None:
        size = end = os.fstat(self._file).st_size
        while end:
            start = max(0, end - _CHUNK_BYTES)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._file, end)
        self._size = end
