"""Snapshot files -> raw records: deposits, withdrawals, events, users and user levels.

A file is read once, in constant memory. Runs of lines that match a strict grammar pass as they
are (`Span`); every other line goes through the exact CSV parser and becomes a good row (`Row`)
or a bad one (`BadRow`). Both ways accept the same values: the grammar is only the fast way.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from loader.snapshots.grammar import KINDS, parse_record
from loader.snapshots.header import recognise
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import FileChangedError, RefusedError
from loader.warehouse.files import Unpacked
from loader.warehouse.plain_text import PlainText
from loader.warehouse.text import copy_line
from loader.warehouse.values import BadValueError

CHUNK_BYTES = 1 << 18
# A quoted field may hold line ends; one that runs on for longer is a stray quote.
LONGEST_RECORD_BYTES = 1 << 20
LONGEST_HEADER_BYTES = 1 << 16
# Of a line that is longer than a record may be, for quarantine.
KEPT_BYTES = 1 << 13
# What the fast grammar lets pass in a column that is left out: ASCII without quote, comma.
_LEFT_OUT = rb"[ !#-+\--~]*+"


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

    After that `sha256` and `content_bytes` describe the (unpacked) content. `kind`, `columns` and
    `fields` are those of its layout: what it is, what is taken of it, and what it has.
    """

    def __init__(self, path: Path, names: ColumnNames | None = None) -> None:
        """Open a file, packed or not, and read its header; `names` says what its columns mean.

        Raises RefusedError when it is no file of ours, or cannot be read.
        """
        self.path = path
        self._names = names or ColumnNames()
        self._content = Unpacked(path)
        self.name = self._content.name
        self._hash = hashlib.sha256()
        self.content_bytes = 0
        self._text: PlainText | None = None
        # What was read beyond the header.
        self._rest = b""
        try:
            self._layout = recognise(self.name, self._read_header(), self._names)
        except BaseException:
            self.close()
            raise
        self.kind, self.fields = self._layout.kind, self._layout.fields
        self.columns = self._layout.columns
        line = rb",".join(
            KINDS[self.kind][field].grammar if field else _LEFT_OUT for field in self.fields
        )
        # The grammar never backtracks: a line matches at once or goes to the exact parser.
        self._good_lines = re.compile(rb"(?:" + line + rb"\r?+\n)*+")

    def close(self) -> None:
        """Close the file."""
        self._content.close()

    @property
    def sha256(self) -> str:
        """Hex digest of the content read so far."""
        return self._hash.hexdigest()

    @property
    def stamp(self) -> list[int]:
        """What tells the file, as it was when it was opened, from any other and any other time."""
        return self._content.stamp

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read of the file as it lies on disk, and its size."""
        return self._content.raw.tell(), self._content.size

    def may_hold(self, content_bytes: int) -> bool:
        """Whether its content can have that size, as far as the file tells before it is read."""
        return self._content.is_packed or self._content.size == content_bytes

    def digest(self) -> str:
        """Read to the end for the digest alone."""
        while self.read_chunk():
            pass
        return self.sha256

    def records(self) -> Iterator[Span | ExactRow | BadRow]:
        """Yield the rows in their order; blank lines are no rows.

        Raises FileChangedError when the file changes meanwhile, RefusedError when it ends early.
        """
        line = 2
        rest = b""
        while chunk := self.read_chunk():
            buffer = rest + chunk
            line, used = yield from self._records_of(buffer, line, at_end=False)
            rest = buffer[used:]
            if len(rest) > LONGEST_RECORD_BYTES and b"\n" not in rest:
                start = self._layout.text_of(rest[:KEPT_BYTES])
                # The mark keeps it bad: what was cut may have been of a good row.
                yield BadRow(line, "too_long", "the line is longer than a megabyte", f"{start}…")
                line, rest = line + 1, self._after_line_end()
        if rest:
            yield from self._records_of(rest + b"\n", line, at_end=True)
        self._content.check_unchanged()

    def raw_rows(self, lines: Iterable[int]) -> Iterator[str]:
        """Read the file again for the raw text of good rows, given where they begin, ascending.

        Raises FileChangedError when it is no longer the content that `records()` has read.
        """
        changed = FileChangedError(f"{self.name}: the file changed while it was read")
        with closing(SnapshotFile(self.path, self._names)) as twin:
            buffer, position, line = b"", 0, 2
            for wanted in lines:
                while True:
                    position, line = _skip_lines(buffer, position, line, wanted)
                    end = _record_end(buffer, position, buffer.rfind(b"\n") + 1)
                    if line == wanted and end is not None:
                        yield self._layout.text_of(buffer[position:end].rstrip(b"\r\n"))
                        break
                    chunk = twin.read_chunk()
                    if not chunk and (not buffer or buffer.endswith(b"\n")):
                        raise changed
                    # The last line of a file may lack its line end.
                    buffer, position = buffer[position:] + (chunk or b"\n"), 0
            if twin.digest() != self.sha256:
                raise changed

    def _records_of(
        self, buffer: bytes, line: int, *, at_end: bool
    ) -> Generator[Span | ExactRow | BadRow, None, tuple[int, int]]:
        """Yield the whole records of a buffer; return the next line and the bytes used."""
        position = 0
        end = buffer.rfind(b"\n") + 1
        while position < end:
            good = self._good_lines.match(buffer, position, end)
            stop = good.end() if good else position
            if stop > position:
                lines = buffer[position:stop]
                yield Span(line, self._without_left_out(lines.replace(b"\r\n", b"\n")))
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

    def _without_left_out(self, lines: bytes) -> bytes:
        """Good lines with those of their fields that are taken."""
        if None not in self.fields:
            return lines
        taken = [place for place, field in enumerate(self.fields) if field]
        split = (line.split(b",") for line in lines.splitlines())
        return b"".join(b",".join([each[place] for place in taken]) + b"\n" for each in split)

    def _read_record(
        self, buffer: bytes, position: int, stop: int, line: int
    ) -> tuple[ExactRow | BadRow | None, int]:
        """Read one record exactly; return it, None when it is blank, and where it ends."""
        raw = buffer[position:stop].rstrip(b"\r\n")
        if not raw.strip():
            return None, stop
        first_line_end = buffer.index(b"\n", position) + 1
        try:
            layout = self._layout
            values = parse_record(self.kind, self.fields, raw, is_spaced=layout.is_spaced)
            return ExactRow(line, copy_line(values), raw), stop
        except BadValueError as error:
            if stop > first_line_end and (
                error.code in {"field_count", "malformed"}
                or self._holds_good_lines(buffer, first_line_end, stop)
            ):
                # A stray quote must not swallow the good lines after it.
                return self._read_record(buffer, position, first_line_end, line)
            return BadRow(line, error.code, error.reason, self._layout.text_of(raw)), stop

    def _holds_good_lines(self, buffer: bytes, position: int, stop: int) -> bool:
        while position < stop:
            good = self._good_lines.match(buffer, position, stop)
            if good and good.end() > position:
                return True
            position = buffer.index(b"\n", position) + 1
        return False

    def _read_header(self) -> bytes:
        """The first line; what was read beyond it comes again from `read_chunk`."""
        start = b""
        while b"\n" not in start and len(start) < LONGEST_HEADER_BYTES:
            chunk = self.read_chunk()
            if not chunk:
                break
            start += chunk
        if not start:
            raise RefusedError(f"{self.name}: the file is empty, not even a header")
        assert self._text
        if b"\n" not in start and b"\r" in start:
            start = self._text.end_lines_with_cr(start)
        header, _, self._rest = start.partition(b"\n")
        if len(header) >= LONGEST_HEADER_BYTES:
            raise RefusedError(f"{self.name}: the first line is too long for a header")
        return header

    def _after_line_end(self) -> bytes:
        """Read on to the end of a line; returns what was read beyond it."""
        while chunk := self.read_chunk():
            _, line_end, beyond = chunk.partition(b"\n")
            if line_end:
                return beyond
        return b""

    def read_chunk(self) -> bytes:
        """The next bytes of the content, as UTF-8; none at its end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        # Four bytes tell the encoding.
        while chunk := self._content.read(max(CHUNK_BYTES, 4)):
            self._hash.update(chunk)
            self.content_bytes += len(chunk)
            if self._text is None:
                self._text = PlainText(self.name, chunk)
            if text := self._text.convert(chunk):
                return text
        return self._text.convert(b"", at_end=True) if self._text else b""


def _skip_lines(buffer: bytes, position: int, line: int, wanted: int) -> tuple[int, int]:
    """Move on from the start of `line` to that of `wanted`, or as far as the buffer has ends."""
    whole = buffer.count(b"\n", position)
    if line + whole < wanted:
        # The beginning of a line that is not wanted either, however long it is.
        return len(buffer), line + whole
    if line + whole == wanted:
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
