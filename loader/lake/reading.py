"""Files of old lakes -> observations: CSV with and without a header, and Parquet.

A row is what it says itself; the directories above tell its book where it has none, and nothing
else. Lines that match a strict grammar are read by columns, any other line by the exact parser:
both accept the same values. A row of Parquet is read as the line that it would be in a CSV file.
"""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loader.lake.columns import Chunk, LakeLines
from loader.lake.lines import BOOK, COLUMNS, VERDICT, header_of
from loader.warehouse.errors import RefusedError
from loader.warehouse.files import open_regular
from loader.warehouse.text import shown

TABLE = "spread_observations"
CHUNK_BYTES = 1 << 23
CHUNK_ROWS = 1 << 16
LONGEST_LINE = 1 << 20
_NAMED = re.compile(r"([a-z0-9]+_[a-z0-9]+)_\d{8,14}").fullmatch
_DATE = re.compile(r"\d{4}-?\d\d-?\d\d").fullmatch
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
        if key in ("book", "order_book") and BOOK(value):
            return value
    for part, inner in pairwise(parts):
        # B/2024-07-30/10/..., or B/20240730/1030/...
        if BOOK(part) and _DATE(inner):
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
    reader: LakeLines | None = None
    first_line = 1
    for text in _texts(file, name):
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if reader is None:
            header = header_of(lines)
            reader = LakeLines(header, path_book)
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
        reader = LakeLines(None, path_book)
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
