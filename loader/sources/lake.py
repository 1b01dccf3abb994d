"""Files of old lakes -> observations: CSV with and without a header, and Parquet.

A row is what it says itself; the directories above tell its book where it has none, and nothing
else. Lines that match a strict grammar are read by columns, any other line by the exact parser:
both accept the same values. A row of Parquet is read as the line that it would be in a CSV file.
"""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loader.errors import RefusedError
from loader.sources.records import BadValueError, bad, number, positive
from loader.sources.snapshots import open_regular, shown

TABLE = "spread_observations"
COLUMNS = ("orderbook_timestamp", "book", "bid", "ask", "spread")
# A verdict on the spread that some recorders wrote behind it: it can be had from bid and ask.
VERDICT = "is_above"
NEEDED = {"orderbook_timestamp", "bid", "ask"}

CHUNK_BYTES = 1 << 23
CHUNK_ROWS = 1 << 16
LONGEST_LINE = 1 << 20
# Before the first price of a bitcoin nothing was observed.
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(hours=1)
# What numeric(38, 18), the type of a price in the models, can hold.
TOO_LARGE = Decimal(10**19)
SMALLEST = Decimal("1e-18")
# A written spread that is farther from that of bid and ask, in percentage points, is counted:
# none of the known ways of rounding is.
SPREAD_TOLERANCE = 0.01

SCHEMA = pa.schema([
    ("received_at", pa.timestamp("us")), ("book", pa.string()), ("bid", pa.string()),
    ("ask", pa.string()), ("spread", pa.string()), ("line_number", pa.int64()),
])  # fmt: skip

_NUMBER = r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?"
_LINE = (
    r"^['\"]?(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ]"
    r"(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)(?:Z|\+00(?::?00)?)?['\"]?,"
    rf"(?P<book>[a-z0-9]+_[a-z0-9]+),(?P<bid>{_NUMBER}),(?P<ask>{_NUMBER}),"
    rf"(?P<spread>(?:-?{_NUMBER})?)(?:,[A-Za-z0-9.]*)?$"
)
_BOOK = re.compile(r"[a-z0-9]+_[a-z0-9]+").fullmatch
_NAMED = re.compile(r"([a-z0-9]+_[a-z0-9]+)_\d{8,14}").fullmatch
_DATE = re.compile(r"\d{4}-?\d\d-?\d\d").fullmatch
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
).fullmatch
_NO_VALUE = frozenset({"", "nan", "none", "null"})


class BadLine(NamedTuple):
    """One row for quarantine; `raw` has the columns in their usual order."""

    line: int
    code: str
    reason: str
    raw: str


class Chunk(NamedTuple):
    """Some rows of a file: the good ones as a table (SCHEMA), prices as plain decimals."""

    rows: pa.Table
    bad: list[BadLine]

    @property
    def spreads_off(self) -> int:
        """How many rows say a spread that is not that of their bid and ask."""
        bid, ask, said = (self.rows[name].cast(pa.float64()) for name in ("bid", "ask", "spread"))
        spread = pc.divide(pc.multiply(pc.subtract(ask, bid), 100.0), ask)
        off = pc.greater(pc.abs(pc.subtract(spread, said)), SPREAD_TOLERANCE)
        return int(pc.sum(off).as_py() or 0)


class Observation(NamedTuple):
    """One row, exact."""

    received_at: datetime
    book: str
    bid: str
    ask: str
    spread: str | None


# --- files ------------------------------------------------------------------------------------


def find_files(path: Path) -> tuple[Path, list[Path]]:
    """The root of a lake and its files in the order of their names; of a file, itself.

    Links are not followed; names that begin with a dot or an underscore are nobody's data.
    """
    if not path.is_dir() or path.is_symlink():
        return path.parent, [path]
    files: list[Path] = []
    for directory, names, found in os.walk(path, onerror=_raise):
        names[:] = sorted(name for name in names if name[0] not in "._")
        files += [Path(directory, name) for name in found if _is_data(name)]
    return path, sorted(files)


def _raise(error: OSError) -> None:
    raise error


def _is_data(name: str) -> bool:
    return name[0] not in "._" and Path(name).suffix.lower() in (".csv", ".parquet")


def book_in_path(path: Path) -> str | None:
    """The book that the directories or the name of a file tell, as the known layouts do."""
    parts = [part.lower() for part in path.parts]
    for part in reversed(parts):
        key, _, value = part.partition("=")
        if key in ("book", "order_book") and _BOOK(value):
            return value
    for part, inner in pairwise(parts):
        # B/2024-07-30/10/..., or B/20240730/1030/...
        if _BOOK(part) and _DATE(inner):
            return part
    named = _NAMED(path.stem.lower())
    return named[1] if named else None


def read_file(path: Path) -> Iterator[Chunk]:
    """The rows of a file, in bounded memory.

    Raises RefusedError when it is not a file of observations, or as soon as it proves damaged.
    """
    with open_regular(path) as file:
        read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
        yield from read(file, shown(path), book_in_path(path))


# --- CSV --------------------------------------------------------------------------------------


def _read_csv(file: BinaryIO, name: str, path_book: str | None) -> Iterator[Chunk]:
    reader: _Lines | None = None
    first_line = 1
    for text in _texts(file, name):
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if reader is None:
            header = _header(lines)
            reader = _Lines(header, path_book)
            _check_columns(name, header or COLUMNS, path_book)
        chunk = reader.read(pa.array(lines, pa.string()), first_line)
        if first_line == 1 and reader.header is None and chunk.bad and not chunk.rows.num_rows:
            raise RefusedError(
                f"{name}: no header and no row that can be read ({chunk.bad[0].reason}): "
                "is it a file of observations?"
            )
        yield chunk
        first_line += len(lines)
    if reader is None:
        raise RefusedError(f"{name}: the file is empty")


def _texts(file: BinaryIO, name: str) -> Iterator[str]:
    """The file in pieces of whole lines; blank ones at its start are part of the first piece."""
    rest = b""
    is_first = True
    while chunk := file.read(CHUNK_BYTES):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if len(rest) - end > LONGEST_LINE:
            raise RefusedError(f"{name}: a line of over {LONGEST_LINE >> 20} MiB")
        if rest[:end].strip():
            yield _text(rest[:end], is_first)
            rest, is_first = rest[end:], False
    if rest.strip() or (rest and not is_first):
        yield _text(rest, is_first)


def _text(content: bytes, is_first: bool) -> str:
    text = content.decode("utf-8-sig" if is_first else "utf-8", "backslashreplace")
    return text.replace("\r\n", "\n").replace("\0", "\\x00")


def _header(lines: Sequence[str]) -> tuple[str, ...] | None:
    first = next((line for line in lines if line.strip()), "")
    return _names(first) if _is_header(first) else None


def _is_header(line: str) -> bool:
    return len(NEEDED.intersection(_names(line))) > 1


def _names(line: str) -> tuple[str, ...]:
    return tuple(name.strip(" \t\r'\"").lower() for name in line.split(","))


def _check_columns(name: str, columns: Sequence[str], path_book: str | None) -> None:
    known = {*COLUMNS, VERDICT}
    missing = [
        column
        for column in COLUMNS[:4]
        if column not in columns and not (column == "book" and path_book)
    ]
    if missing:
        raise RefusedError(f"{name}: there is no column {', '.join(missing)}")
    unknown = [column for column in columns if column not in known]
    if unknown or len(set(columns)) < len(columns):
        raise RefusedError(f"{name}: unknown or repeated columns: {', '.join(columns)}")


class _Lines:
    """Reads lines: most of them by columns, the others one by one."""

    def __init__(self, header: tuple[str, ...] | None, path_book: str | None) -> None:
        self.header = header
        self._path_book = path_book
        # Where the usual columns come in their usual order, with or without the verdict.
        self._is_usual = header is None or header in (COLUMNS, (*COLUMNS, VERDICT))

    def read(self, lines: pa.StringArray, first_line: int) -> Chunk:
        numbers = pa.array(range(first_line, first_line + len(lines)), pa.int64())
        rows, is_read = self._by_columns(lines, numbers)
        found: list[tuple[Observation, int]] = []
        bad_lines: list[BadLine] = []
        for at in pc.indices_nonzero(pc.invert(is_read)).to_pylist():
            line = lines[at].as_py()
            if not line.strip() or self._is_header_again(line):
                continue
            try:
                found.append((read_line(line, self.header, self._path_book), first_line + at))
            except BadValueError as error:
                raw = _usual(line, self.header, self._path_book)
                bad_lines.append(BadLine(first_line + at, error.code, str(error), raw))
        if found:
            rows = pa.concat_tables([rows, _table(found)]).sort_by("line_number")
        return Chunk(rows, bad_lines)

    def _is_header_again(self, line: str) -> bool:
        return _is_header(line) and _names(line) in (
            self.header, COLUMNS, (*COLUMNS, VERDICT),
        )  # fmt: skip

    def _by_columns(
        self, lines: pa.StringArray, numbers: pa.Int64Array
    ) -> tuple[pa.Table, pa.BooleanArray]:
        """The rows of those lines that match the grammar, and which those are."""
        nothing = pa.array([False] * len(lines))
        if not self._is_usual:
            return SCHEMA.empty_table(), nothing
        fields = pc.extract_regex(lines, _LINE)
        day, time, book, bid, ask, spread = fields.flatten()
        try:
            moment = pc.binary_join_element_wise(day, time, "T").cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            # A day or an hour that there is not: the exact parser says which line has it.
            return SCHEMA.empty_table(), nothing
        bid, ask = _trimmed(bid), _trimmed(ask)
        is_read = pc.fill_null(
            pc.and_(
                pc.and_(pc.not_equal(bid, "0"), pc.not_equal(ask, "0")),
                pc.and_(
                    pc.greater_equal(moment, _naive(EARLIEST)),
                    pc.less(moment, _naive(datetime.now(UTC) + CLOCK_SKEW)),
                ),
            ),
            False,
        )
        spread = pc.if_else(pc.equal(spread, ""), pa.scalar(None, pa.string()), _trimmed(spread))
        columns = [moment, book, bid, ask, spread, numbers]
        return pa.table(columns, schema=SCHEMA).filter(is_read), is_read


def _naive(instant: datetime) -> pa.Scalar:
    return pa.scalar(instant.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))


def _trimmed(numbers: pa.StringArray) -> pa.StringArray:
    """Equal numbers as equal texts: without zeros at the end of the decimals."""
    short = pc.utf8_rtrim(pc.utf8_rtrim(numbers, characters="0"), characters=".")
    return pc.if_else(pc.match_substring(numbers, "."), short, numbers)


def _table(found: list[tuple[Observation, int]]) -> pa.Table:
    columns = list(zip(*((*row, line) for row, line in found), strict=True))
    columns[0] = tuple(moment.replace(tzinfo=None) for moment in columns[0])
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def _usual(line: str, header: tuple[str, ...] | None, path_book: str | None) -> str:
    """A line with its columns in the usual order, as a redrive reads it; else as it is."""
    fields = line.split(",")
    header = header or _names_of(len(fields), path_book)
    if header is None or header[: len(COLUMNS)] == COLUMNS or len(fields) != len(header):
        return line
    values = {"book": path_book or "", **dict(zip(header, fields, strict=True))}
    return ",".join(values.get(column, "") for column in COLUMNS)


def _names_of(count: int, path_book: str | None) -> tuple[str, ...] | None:
    """The columns of a line without a header that has so many fields."""
    if path_book and count == len(COLUMNS) - 1:
        return tuple(column for column in COLUMNS if column != "book")
    return {len(COLUMNS): COLUMNS, len(COLUMNS) + 1: (*COLUMNS, VERDICT)}.get(count)


def read_line(
    line: str, header: tuple[str, ...] | None = None, path_book: str | None = None
) -> Observation:
    """One line, exactly. Raises BadValueError, saying why it cannot be taken."""
    try:
        [fields] = csv.reader([line.strip()], strict=True)
    except (ValueError, csv.Error):
        bad("not_a_line", "it is not one line of CSV")
    values = _by_name([field.strip(" \t'") for field in fields], header, path_book)
    book = (values.get("book") or path_book or "").lower()
    if not _BOOK(book):
        bad("not_a_book", f"book is not a name like btc_mxn: {book[:40]}")
    return Observation(
        _moment(values["orderbook_timestamp"]),
        book,
        _price("bid", values["bid"]),
        _price("ask", values["ask"]),
        _spread(values.get("spread", "")),
    )


def _by_name(
    fields: list[str], header: tuple[str, ...] | None, path_book: str | None
) -> dict[str, str]:
    header = header or _names_of(len(fields), path_book)
    if header is None or len(header) != len(fields):
        expected = len(header) if header else len(COLUMNS)
        bad("wrong_field_count", f"{len(fields)} fields where {expected} are expected")
    return dict(zip(header, fields, strict=True))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if _TIME(text) else None
    except ValueError:
        moment = None
    if moment is None:
        bad("bad_time", f"orderbook_timestamp is not a time: {text[:40]}")
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not EARLIEST <= utc < datetime.now(UTC) + CLOCK_SKEW:
        bad("bad_time", "orderbook_timestamp lies in the future, or before all markets")
    return utc


def _price(name: str, text: str) -> str:
    price = positive(name, text)
    if price >= TOO_LARGE:
        bad("too_large", f"{name} has over 19 digits before the point")
    with localcontext(prec=60):
        if price.quantize(SMALLEST, ROUND_HALF_UP) == 0:
            bad("not_positive", f"{name} is less than the models can hold: {text[:40]}")
    return _plain(price)


def _spread(text: str) -> str | None:
    """What was written, if it is a number; bid and ask decide, whatever it is."""
    if text.lower() in _NO_VALUE:
        return None
    spread = number("spread", text)
    if abs(spread) >= TOO_LARGE:
        bad("too_large", "spread has over 19 digits before the point")
    with localcontext(prec=60):
        return _plain(spread.quantize(SMALLEST, ROUND_HALF_UP))


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- Parquet ----------------------------------------------------------------------------------


def _read_parquet(file: BinaryIO, name: str, path_book: str | None) -> Iterator[Chunk]:
    try:
        parquet: Any = pq.ParquetFile(file)
        names = [column.lower() for column in parquet.schema_arrow.names]
        _check_columns(name, [column for column in names if column in {*COLUMNS, VERDICT}],
                       path_book)  # fmt: skip
        wanted = [
            (column, parquet.schema_arrow.names[names.index(column)])
            for column in COLUMNS
            if column in names
        ]
        reader = _Lines(None, path_book)
        line = 1
        columns = [column for _, column in wanted]
        for batch in parquet.iter_batches(CHUNK_ROWS, columns=columns, use_threads=False):
            texts = {ours: _as_text(name, ours, batch[theirs]) for ours, theirs in wanted}
            missing = pa.array([""] * len(batch), pa.string())
            fields = [texts.get(column, missing) for column in COLUMNS]
            if path_book:
                fields[1] = pc.if_else(pc.equal(fields[1], ""), path_book, fields[1])
            lines = pc.binary_join_element_wise(*fields, ",")
            yield reader.read(pc.replace_substring(lines, "\0", "\\x00"), line)
            line += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise RefusedError(f"{name}: not a Parquet file, or a damaged one: {reason}") from None


def _as_text(name: str, column: str, values: pa.Array) -> pa.StringArray:
    """Values as in a CSV file: floats, of either width, as the shortest text that means them."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_timestamp(kind):
        # Never finer than Postgres; with a zone the numbers are UTC already.
        values = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        values = values.cast(pa.timestamp("us"))
    elif not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    ):  # fmt: skip
        raise RefusedError(f"{name}: {column} is of the type {kind}, which is no value of it")
    return pc.fill_null(values.cast(pa.string()), "")
