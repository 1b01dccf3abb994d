"""Rows of a Parquet file as the lines that they would be in a file of CSV.

Parquet is read from its end, so a packed file is unpacked into a temporary one first. Its values
are read in pieces of some MiB, however large its row groups are.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loader.lake.header import FileColumns, columns_of_names
from loader.lake.lines import COLUMNS
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError, TransientError
from loader.warehouse.files import Unpacked
from loader.warehouse.text import printable, quoted, shortened
from loader.warehouse.values import MAX_DIGITS

log = logging.getLogger(__name__)

# What a file begins with; the second where its footer is encrypted, which is not read.
MAGIC = (b"PAR1", b"PARE")
PIECE_ROWS = 1 << 13
PIECE_BYTES = 1 << 20
# On the average of a row group, whatever else its rows hold.
LARGEST_ROW = 4 << 20
# Of a column's pages, what is read at once.
BUFFER_BYTES = 1 << 18
LARGEST_SPOOL = 1 << 30
# No value of a row is longer, in bytes.
LONGEST_TEXT = MAX_DIGITS + 24

# Everything pyarrow is known to raise of a damaged file.
DAMAGE = (pa.ArrowException, OSError, OverflowError, ValueError, KeyError, TypeError, IndexError)

_WANTED = {
    "orderbook_timestamp": "time", "book": "name", "bid": "number", "ask": "number",
    "spread": "number",
}  # fmt: skip
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# The years 1 to 9999, as most programs can show them.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


def is_parquet(file: Unpacked) -> bool:
    """Whether a file that lies unpacked on disk is one of Parquet."""
    return not file.is_packed and os.pread(file.raw.fileno(), 4, 0) in MAGIC


def spooled(file: Unpacked, start: bytes) -> BinaryIO:
    """The content of a packed file, of which the start is read already, on disk.

    Raises RefusedError where it is too large, TransientError where there is no room for it.
    """
    spool = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    size, piece = 0, start
    try:
        while piece:
            size += len(piece)
            if size > LARGEST_SPOOL:
                raise RefusedError(
                    f"a Parquet file of over {LARGEST_SPOOL >> 30} GiB in a packed one: unpack it "
                    "before"
                )
            spool.write(piece)
            piece = file.read(1 << 20)
        spool.flush()
    except OSError as error:
        spool.close()
        raise TransientError(f"no room to unpack a Parquet file: {error.strerror}") from None
    except BaseException:
        spool.close()
        raise
    return spool


class ParquetRows(NamedTuple):
    """A file that is opened: its columns, and what it calls each of ours."""

    source: BinaryIO
    footer: Any
    columns: FileColumns
    names: dict[str, str]


def open_parquet(source: BinaryIO, given: ColumnNames, path_book: str | None) -> ParquetRows:
    """Find the columns of a file by their names.

    Raises RefusedError for a file that is damaged, or whose columns are not what they should be.
    """
    try:
        parquet: Any = pq.ParquetFile(source)
        fields = list(parquet.schema_arrow)
    except DAMAGE as error:
        raise _damage(error) from None
    found = columns_of_names([field.name for field in fields], given, path_book)
    names: dict[str, str] = {}
    for ours, field in zip(found.columns, fields, strict=True):
        if ours is None:
            continue
        if not _is_readable(ours, field.type):
            raise RefusedError(
                f"the column {quoted(field.name)} is of the type {quoted(field.type)}, which is "
                f"no {_WANTED[ours]}"
            )
        if pa.types.is_date(field.type):
            # Of many rows of a day all but the first may be taken for copies of it.
            log.warning(
                "the column %s is of the type %s, which has no time of day: its rows are of "
                "midnight UTC", quoted(field.name), quoted(field.type),
            )  # fmt: skip
        names[ours] = field.name
    # Its rows come with the usual columns, whatever it calls them.
    columns = replace(found, columns=COLUMNS, names=())
    return ParquetRows(source, parquet.metadata, columns, names)


def lines_of_parquet(file: ParquetRows) -> Iterator[pa.StringArray]:
    """The rows of a file as lines with COLUMNS; raises RefusedError where it is damaged."""
    names = list(file.names.values())
    try:
        parquet: Any = pq.ParquetFile(
            file.source,
            metadata=file.footer,
            # Of a text that stands on many rows one copy.
            read_dictionary=names,
            buffer_size=BUFFER_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",
        )
        rows = _rows_at_once(file.footer)
        for batch in parquet.iter_batches(rows, columns=names, use_threads=False):
            texts = {ours: _as_text(batch[theirs]) for ours, theirs in file.names.items()}
            yield from _lines(texts, len(batch), file.columns.path_book)
    except DAMAGE as error:
        raise _damage(error) from None


def _damage(error: BaseException) -> RefusedError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = printable(shortened(lines[0], 120))
    return RefusedError(f"not a Parquet file, or a damaged one: {reason}")


def _rows_at_once(footer: Any) -> int:
    """So many rows that their values take about PIECE_BYTES.

    Raises RefusedError where a single one takes far more: pyarrow reads a value whole.
    """
    widest = 1
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        # Not asked of each column: of a damaged one, pyarrow ends the process.
        widest = max(widest, group.total_byte_size // max(group.num_rows, 1))
    if widest > LARGEST_ROW:
        raise RefusedError(f"its rows take {widest >> 20} MiB each: no observation does")
    return max(1, min(PIECE_ROWS, PIECE_BYTES // widest))


def _lines(
    texts: dict[str, pa.Array], rows: int, path_book: str | None
) -> Iterator[pa.StringArray]:
    """The rows of a batch as lines, in pieces that stay small however long its texts are."""
    length = sum(_longest(values) for values in texts.values())
    step = max(1, min(rows, PIECE_BYTES // max(length, 1)))
    for start in range(0, rows, step):
        size = min(step, rows - start)
        missing = pa.repeat(pa.scalar(""), size)
        fields = [
            _decoded(texts[ours].slice(start, size)) if ours in texts else missing
            for ours in COLUMNS
        ]
        if path_book:
            fields[1] = pc.if_else(pc.equal(fields[1], ""), path_book, fields[1])
        yield pc.replace_substring(pc.binary_join_element_wise(*fields, ","), "\0", "\\x00")


def _decoded(values: pa.Array) -> pa.StringArray:
    is_coded = pa.types.is_dictionary(values.type)
    return pc.fill_null(values.dictionary_decode() if is_coded else values, "")


def _longest(values: pa.Array) -> int:
    texts = values.dictionary if pa.types.is_dictionary(values.type) else values
    return pc.max(pc.binary_length(texts)).as_py() or 0


# --- types ------------------------------------------------------------------------------------


def _is_readable(ours: str, kind: pa.DataType) -> bool:
    of = pa.types
    if of.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or of.is_null(kind):
        return True
    if ours == "orderbook_timestamp":
        return bool(of.is_timestamp(kind) or of.is_date(kind))
    is_number = of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind)
    return bool(is_number and ours != "book")


def _is_text(kind: pa.DataType) -> bool:
    """Hive, Impala and old Sparks write texts as bytes that do not say that they are text."""
    of = pa.types
    is_bytes = of.is_binary(kind) or of.is_large_binary(kind) or of.is_binary_view(kind)
    return bool(
        is_bytes or of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind)
    )


def _as_text(values: pa.Array) -> pa.Array:
    """Values as in a CSV file: floats, of either width, as the shortest text that means them."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(values.indices, _as_text(values.dictionary))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _times(values)
    if _is_text(kind):
        # Whether they are UTF-8 is seen where they are read; a cast would look, and fail for all.
        return _cut(values.cast(pa.binary()).view(pa.string()))
    return _cut(values.cast(pa.string()))


def _times(values: pa.Array) -> pa.StringArray:
    """Times in UTC, never finer than Postgres; of those that no year has, the number."""
    if pa.types.is_date32(values.type):
        numbers, per_second = pc.multiply(values.cast(pa.int32()).cast(pa.int64()), 86_400), 1
    else:
        # A date has milliseconds too. With a zone the numbers are UTC already.
        unit = values.type.unit if pa.types.is_timestamp(values.type) else "ms"
        numbers, per_second = values.cast(pa.int64()), _PER_SECOND[unit]
    first = max(_FIRST_SECOND * per_second, -(2**63))
    last = min(_LAST_SECOND * per_second, 2**63 - 1)
    is_time = pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
    known = pc.if_else(is_time, numbers, 0)
    microseconds = (
        pc.divide(known, per_second // 10**6)
        if per_second > 10**6
        else pc.multiply(known, 10**6 // per_second)
    )
    texts = microseconds.cast(pa.timestamp("us")).cast(pa.string())
    return pc.if_else(is_time, texts, numbers.cast(pa.string()))


def _cut(texts: pa.StringArray) -> pa.StringArray:
    """No longer texts than any value is; a mark at the end of those that are cut keeps them bad."""
    if _longest(texts) <= LONGEST_TEXT:
        return texts
    # As bytes, for a cut need not fall between two characters.
    content = texts.view(pa.binary())
    start = pc.binary_slice(content, 0, LONGEST_TEXT)
    marked = pc.binary_join_element_wise(start, "…".encode(), b"")
    is_long = pc.greater(pc.binary_length(content), LONGEST_TEXT)
    return pc.if_else(is_long, marked, content).view(pa.string())
