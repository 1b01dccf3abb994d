"""Snapshot files -> raw records: deposits, withdrawals, events, users and user levels.

A file is read once, in constant memory. Runs of lines that match a strict grammar pass as they
are (`Span`); every other line goes through the exact CSV parser and becomes a good row (`Row`)
or a bad one (`BadRow`). Both ways accept the same values: the grammar is only the fast way.
"""

import csv
import gzip
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from loader.errors import RefusedError, TransientError

CHUNK_BYTES = 1 << 18
# A quoted field may hold line ends; one that runs on for longer is a stray quote.
LONGEST_RECORD_BYTES = 1 << 20
LONGEST_HEADER_BYTES = 1 << 16
# Keys are indexed, and Postgres indexes no more than 2,704 bytes of two texts and a time.
LONGEST_TEXT_BYTES = 1000
GZIP_MAGIC = b"\x1f\x8b"
# The csv module's own limit would call a long field malformed, here and in an edited export.
csv.field_size_limit(1 << 24)


class BadValueError(ValueError):
    """A field that cannot be read: `code` is the quarantine's reason_code."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Span(NamedTuple):
    """Consecutive good lines, ready for COPY: `first_line` counts from 1, the header."""

    first_line: int
    lines: bytes


class Row(NamedTuple):
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


# --- fields -----------------------------------------------------------------------------------

_DATE = (
    rb"(?:(?:19|20)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    rb"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rb"|20(?:[02468][048]|[13579][26])-02-29)"
)
_TIME = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6}+)?+"
_ZONE = rb"(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?+)?+"
# Printable ASCII without comma, quote and backslash, not starting with a space.
_TEXT = rb"[!#-+\--\[\]-~][ !#-+\--\[\]-~]{0,199}+"

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_INTEGER = re.compile(r"\d{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def _text(value: str) -> str:
    if not value.strip():
        raise BadValueError("missing_value", "is empty")
    if len(value.encode()) > LONGEST_TEXT_BYTES:
        raise BadValueError("too_long", f"is longer than {LONGEST_TEXT_BYTES} bytes")
    return value


def _integer(value: str, largest: int = 2**63 - 1) -> str:
    _text(value)
    if not _INTEGER.fullmatch(value) or int(value) > largest:
        raise BadValueError("bad_number", f"is not a whole number up to {largest}")
    return value


def _level(value: str) -> str:
    return _integer(value, 2**31 - 1)


def _timestamp(value: str) -> str:
    _text(value)
    parts = _TIMESTAMP.fullmatch(value)
    try:
        if parts:
            # Only to reject days and hours that do not exist; Postgres reads the text itself.
            datetime.fromisoformat(f"{parts[1]} {parts[2]}")
            return value
    except ValueError:
        pass
    raise BadValueError(
        "bad_time", "is not a time like 2023-08-23 10:00:00.123456+00 (zone optional, then UTC)"
    )


def _amount(value: str) -> str | None:
    if value == "":
        return None
    if _DECIMAL.fullmatch(value):
        amount = Decimal(value)
        if not amount:
            return "0"
        _, digits, exponent = amount.as_tuple()
        # Counted by hand: Decimal.normalize() would round to 28 digits first.
        padding = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        decimals = -(int(exponent) + padding)
        if decimals <= 18 and len(digits) - padding - decimals <= 20 and len(value) <= 100:
            return format(amount, "f")
    raise BadValueError("bad_number", "is not a decimal of at most 20 digits and 18 decimals")


@dataclass(frozen=True)
class Field:
    """A column of a file: how the fast grammar and the exact parser read it.

    `parse` takes the decoded field and returns what COPY gets, None for NULL.
    """

    grammar: bytes
    parse: Callable[[str], str | None]


TEXT = Field(_TEXT, _text)
ID = Field(rb"\d{1,18}+", _integer)
LEVEL = Field(rb"\d{1,9}+", _level)
TIMESTAMP = Field(_DATE + rb"[ T]" + _TIME + _ZONE, _timestamp)
AMOUNT = Field(rb"(?:-?+\d{1,20}+(?:\.\d{1,18}+)?+)?+", _amount)

# The five kinds of file: their columns, whose names are those of the raw table too.
KINDS: dict[str, dict[str, Field]] = {
    "deposits": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT,
        "amount": AMOUNT, "currency": TEXT, "tx_status": TEXT,
    },
    "withdrawals": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT,
        "amount": AMOUNT, "interface": TEXT, "currency": TEXT, "tx_status": TEXT,
    },
    "events": {
        "id": ID, "event_timestamp": TIMESTAMP, "user_id": TEXT, "event_name": TEXT,
    },
    "users": {"user_id": TEXT},
    "user_levels": {
        "user_id": TEXT, "jurisdiction": TEXT, "level": LEVEL, "event_timestamp": TIMESTAMP,
    },
}  # fmt: skip


# --- header -----------------------------------------------------------------------------------


def recognise(name: str, header: bytes) -> tuple[str, tuple[str, ...]]:
    """The kind of a file and its columns in their order, from its header line alone.

    Raises RefusedError, naming the file and the columns, when the header is of no kind.
    """
    columns = _header_columns(name, header)
    for kind, fields in KINDS.items():
        if set(columns) == fields.keys() and len(columns) == len(fields):
            return kind, columns
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise RefusedError(f"{name}: repeated column {_names(repeated)}")
    kind = max(KINDS, key=lambda kind: _likeness(KINDS[kind].keys(), columns))
    unknown = [column for column in columns if column not in KINDS[kind]]
    missing = [column for column in KINDS[kind] if column not in columns]
    if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
        raise RefusedError(f"{name}: column {_names(columns)}: the delimiter must be a comma")
    problems = [f"unknown column {_names(unknown)}"] if unknown else []
    problems += [f"missing column {_names(missing)}"] if missing else []
    raise RefusedError(f"{name}: not a snapshot of {kind}: {', '.join(problems)}")


def _header_columns(name: str, header: bytes) -> tuple[str, ...]:
    try:
        text = header.removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r\n")
        columns = tuple(next(csv.reader([text], strict=True), []))
    except (UnicodeDecodeError, csv.Error):
        raise RefusedError(f"{name}: the first line is not a CSV header in UTF-8") from None
    if not columns:
        raise RefusedError(f"{name}: the first line is blank, not a header")
    return columns


def _likeness(expected: object, columns: tuple[str, ...]) -> tuple[int, int]:
    wanted = set(cast("set[str]", expected))
    shared = len(wanted.intersection(columns))
    return shared, -len(wanted) - len(columns)


def _names(columns: object) -> str:
    return ", ".join(repr(column[:80]) for column in cast("list[str]", columns))


# --- rows -------------------------------------------------------------------------------------


def parse_record(kind: str, columns: tuple[str, ...], raw: bytes) -> list[str | None]:
    """Read one CSV record exactly; return its values as Postgres takes them, None for NULL.

    Raises BadValueError with the quarantine's reason.
    """
    if b"\0" in raw:
        raise BadValueError("nul_byte", "the row holds a NUL byte")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadValueError("invalid_utf8", f"byte {error.start + 1} is not UTF-8") from None
    try:
        [values] = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise BadValueError("malformed", "the quotes of the row are not CSV") from None
    if len(values) != len(columns):
        raise BadValueError("field_count", f"the row has {len(values)} fields, not {len(columns)}")
    return [
        _parse_field(column, KINDS[kind][column], value)
        for column, value in zip(columns, values, strict=True)
    ]


def _parse_field(column: str, field: Field, value: str) -> str | None:
    try:
        return field.parse(value)
    except BadValueError as error:
        shown = f" {value[:60]!r}" if value.strip() else ""
        raise BadValueError(error.code, f"{column}{shown} {error.reason}") from None


def copy_line(values: Iterable[str | None]) -> bytes:
    """Values as one line of COPY's text format, comma-separated, without its line end."""
    return b",".join(
        b"" if value is None else _SPECIAL.sub(_escape, value.encode()) for value in values
    )


_SPECIAL = re.compile(rb"[\\,\n\r]")


def _escape(found: re.Match[bytes]) -> bytes:
    return {b"\n": b"\\n", b"\r": b"\\r"}.get(found[0], b"\\" + found[0])


def readable(raw: bytes) -> str:
    r"""Raw bytes as text that Postgres can hold: what it cannot is written as \xNN."""
    return raw.decode(errors="backslashreplace").replace("\0", "\\x00")


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
        # Possessive throughout: a line either matches at once or is left to the exact parser.
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

    def records(self) -> Iterator[Span | Row | BadRow]:
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
                    # The last line may do without its end.
                    buffer, position = buffer[position:] + (chunk or b"\n"), 0
            if twin.digest() != self.sha256:
                raise TransientError(f"{self.name}: the file changed while it was read")

    def _records_of(
        self, buffer: bytes, line: int, *, at_end: bool
    ) -> Generator[Span | Row | BadRow, None, tuple[int, int]]:
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
    ) -> tuple[Row | BadRow | None, int]:
        """Read one record exactly; return it, None when it is blank, and where it ends."""
        raw = buffer[position:stop].rstrip(b"\r\n")
        if not raw.strip():
            return None, stop
        first_line_end = buffer.index(b"\n", position) + 1
        try:
            values = parse_record(self.kind, self.columns, raw)
            return Row(line, copy_line(values), raw), stop
        except BadValueError as error:
            if stop > first_line_end and (
                error.code in {"field_count", "malformed"}
                or self._holds_good_lines(buffer, first_line_end, stop)
            ):
                # A stray quote must not take the good lines after it along.
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


def shown(path: Path) -> str:
    """A file's name as text that any log, JSON or Postgres can hold, on one line."""
    text = os.fsencode(path.name).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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


def open_regular(path: Path) -> BinaryIO:
    """Open without following a link and without waiting on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise RefusedError(f"{shown(path)}: a symbolic link, not a file") from None
        raise RefusedError(f"{shown(path)}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError(f"{shown(path)}: not a regular file")
    return open(descriptor, "rb", buffering=CHUNK_BYTES)
