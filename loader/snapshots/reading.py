"""Snapshot files -> raw records: deposits, withdrawals, events, users and user levels.

A file is read once, in constant memory. Runs of lines that match a strict grammar pass as they
are (`Span`); every other line goes through the exact CSV parser and becomes a good row (`Row`)
or a bad one (`BadRow`). Both ways accept the same values: the grammar is only the fast way.
"""

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from loader.snapshots.grammar import KINDS, parse_record, recognise
from loader.warehouse.errors import RefusedError, TransientError
from loader.warehouse.files import open_regular
from loader.warehouse.text import copy_line, readable, shown
from loader.warehouse.values import BadValueError

CHUNK_BYTES = 1 << 18
# A quoted field may hold line ends; one that runs on for longer is a stray quote.
LONGEST_RECORD_BYTES = 1 << 20
LONGEST_HEADER_BYTES = 1 << 16
GZIP_MAGIC = b"\x1f\x8b"


class Span(NamedTuple):
    """Consecutive good lines, ready for COPY: `first_line` counts from 1, the header."""

    first_line: int
    lines: bytes


class ExactRow(NamedTuple):
    """One good row that needed the exact parser: `text` is ready for COPY (no line end)."""

    line: int
    text: bytes
    raw: bytes


class BadRow(NamedTuple):
    """One row that cannot be loaded, and why."""

    line: int
    code: str
    reason: str
    raw: str


class SnapshotFile:
    """One file, opened and recognised; iterate `records()` once.

    After that `sha256` and `content_bytes` describe the (unpacked) content.
    """

    def __init__(self, path: Path) -> None:
        """Open a regular file and read its header.

        Raises RefusedError when it is no file of ours, TransientError when it cannot be read.
        """
        self.path = path
        self.name = shown(path)
        self._raw = open_regular(path)
        packed = os.pread(self._raw.fileno(), 2, 0) == GZIP_MAGIC
        self._stat = os.fstat(self._raw.fileno())
        self._content = cast(BinaryIO, gzip.GzipFile(fileobj=self._raw) if packed else self._raw)
        self._hash = hashlib.sha256()
        self.content_bytes = 0
        try:
            self.kind, self.columns = recognise(self.name, self._read_header())
        except BaseException:
            self.close()
            raise
        line = rb",".join(KINDS[self.kind][column].grammar for column in self.columns)
        # The grammar never backtracks: a line matches at once or goes to the exact parser.
        self._good_lines = re.compile(rb"(?:" + line + rb"\r?+\n)*+")

    def close(self) -> None:
        """Close the file."""
        self._content.close()
        self._raw.close()

    @property
    def sha256(self) -> str:
        """Hex digest of the content read so far."""
        return self._hash.hexdigest()

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read of the file as it lies on disk, and its size."""
        return self._raw.tell(), self._stat.st_size

    @property
    def likely_content_bytes(self) -> int:
        """The content's size as far as the file tells before it is read."""
        if self._content is self._raw:
            return self._stat.st_size
        size = os.pread(self._raw.fileno(), 4, max(0, self._stat.st_size - 4))
        return int.from_bytes(size, "little")

    def digest(self) -> str:
        """Read to the end for the digest alone."""
        while self.read_chunk():
            pass
        return self.sha256

    def records(self) -> Iterator[Span | ExactRow | BadRow]:
        """Yield the rows in their order; blank lines are no rows.

        Raises TransientError when the file changes meanwhile, RefusedError when it ends early.
        """
        line = 2
        rest = b""
        while chunk := self.read_chunk():
            buffer = rest + chunk
            line, used = yield from self._records_of(buffer, line, at_end=False)
            rest = buffer[used:]
        if rest:
            yield from self._records_of(rest + b"\n", line, at_end=True)
        now = os.fstat(self._raw.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise TransientError(f"{self.name}: the file changed while it was read")

    def raw_rows(self, lines: Iterable[int]) -> Iterator[str]:
        """Read the file again for the raw text of good rows, given where they begin, ascending.

        Raises TransientError when it is no longer the content that `records()` has read.
        """
        with closing(SnapshotFile(self.path)) as twin:
            buffer, position, line = b"", 0, 2
            for wanted in lines:
                while True:
                    position, line = _skip_lines(buffer, position, line, wanted)
                    end = _record_end(buffer, position, buffer.rfind(b"\n") + 1)
                    if line == wanted and end is not None:
                        yield readable(buffer[position:end].rstrip(b"\r\n"))
                        break
                    chunk = twin.read_chunk()
                    if not chunk and (not buffer or buffer.endswith(b"\n")):
                        raise TransientError(f"{self.name}: the file changed while it was read")
                    # The last line of a file may lack its line end.
                    buffer, position = buffer[position:] + (chunk or b"\n"), 0
            if twin.digest() != self.sha256:
                raise TransientError(f"{self.name}: the file changed while it was read")

    def _records_of(
        self, buffer: bytes, line: int, *, at_end: bool
    ) -> Generator[Span | ExactRow | BadRow, None, tuple[int, int]]:
        """Yield the whole records of a buffer; return the next line and the bytes used."""
        position = 0
        end = buffer.rfind(b"\n") + 1
        if end == 0 and len(buffer) > LONGEST_RECORD_BYTES:
            raise RefusedError(f"{self.name}: line {line} is longer than a megabyte")
        while position < end:
            good = self._good_lines.match(buffer, position, end)
            stop = good.end() if good else position
            if stop > position:
                lines = buffer[position:stop]
                yield Span(line, lines.replace(b"\r\n", b"\n") if b"\r" in lines else lines)
                line += lines.count(b"\n")
                position = stop
                continue
            record_end = _record_end(buffer, position, end)
            if record_end is None:
                if not at_end and len(buffer) - position < LONGEST_RECORD_BYTES:
                    break
                record_end = buffer.index(b"\n", position) + 1
            record, stop = self._read_record(buffer, position, record_end, line)
            if record is not None:
                yield record
            line += buffer.count(b"\n", position, stop)
            position = stop
        return line, position

    def _read_record(
        self, buffer: bytes, position: int, stop: int, line: int
    ) -> tuple[ExactRow | BadRow | None, int]:
        """Read one record exactly; return it, None when it is blank, and where it ends."""
        raw = buffer[position:stop].rstrip(b"\r\n")
        if not raw.strip():
            return None, stop
        first_line_end = buffer.index(b"\n", position) + 1
        try:
            values = parse_record(self.kind, self.columns, raw)
            return ExactRow(line, copy_line(values), raw), stop
        except BadValueError as error:
            if stop > first_line_end and (
                error.code in {"field_count", "malformed"}
                or self._holds_good_lines(buffer, first_line_end, stop)
            ):
                # A stray quote must not swallow the good lines after it.
                return self._read_record(buffer, position, first_line_end, line)
            return BadRow(line, error.code, error.reason, readable(raw)), stop

    def _holds_good_lines(self, buffer: bytes, position: int, stop: int) -> bool:
        while position < stop:
            good = self._good_lines.match(buffer, position, stop)
            if good and good.end() > position:
                return True
            position = buffer.index(b"\n", position) + 1
        return False

    def _read_header(self) -> bytes:
        try:
            header = self._content.readline(LONGEST_HEADER_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise RefusedError(f"{self.name}: {_unreadable(error)}") from None
        if not header:
            raise RefusedError(f"{self.name}: the file is empty, not even a header")
        if len(header) == LONGEST_HEADER_BYTES:
            raise RefusedError(f"{self.name}: the first line is too long for a header")
        self._count(header)
        return header

    def read_chunk(self) -> bytes:
        """The next bytes of the content, none at its end."""
        try:
            chunk = self._content.read(CHUNK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise RefusedError(f"{self.name}: {_unreadable(error)}") from None
        self._count(chunk)
        return chunk

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.content_bytes += len(chunk)


def _skip_lines(buffer: bytes, position: int, line: int, wanted: int) -> tuple[int, int]:
    """Move on from the start of `line` to that of `wanted`, or as far as the buffer has ends."""
    whole = buffer.count(b"\n", position)
    if line + whole <= wanted:
        return buffer.rfind(b"\n") + 1 if whole else position, line + whole
    for _ in range(wanted - line):
        position = buffer.index(b"\n", position) + 1
    return position, wanted


def _record_end(buffer: bytes, position: int, end: int) -> int | None:
    """Where the record ends: at the first line end outside quotes; None when there is none."""
    stop = position
    quotes = 0
    while stop < end and stop - position < LONGEST_RECORD_BYTES:
        line_end = buffer.index(b"\n", stop) + 1
        quotes += buffer.count(b'"', stop, line_end)
        stop = line_end
        if quotes % 2 == 0:
            return stop
    return None


def _unreadable(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the compressed file ends early: it is half-written"
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return "not a gzip file, or a damaged one"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
