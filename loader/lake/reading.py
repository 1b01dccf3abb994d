"""Files of old lakes -> observations: CSV with and without a header, and Parquet, packed or not.

A row is what it says itself; the directories above tell its book where it has none, and nothing
else. Lines that match a strict grammar are read by columns, any other line by the exact parser:
both accept the same values. A row of Parquet is read as the line that it would be in a CSV file.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from loader.lake.columns import Chunk, LakeLines
from loader.lake.finding import book_in_path
from loader.lake.header import columns_of_csv
from loader.lake.parquet import MAGIC, is_parquet, lines_of_parquet, open_parquet, spooled
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import FileChangedError, RefusedError
from loader.warehouse.files import Unpacked
from loader.warehouse.ledger.quarantine import MOST_REASONS, check_bad_rows
from loader.warehouse.plain_text import PlainText
from loader.warehouse.text import shown

TABLE = "spread_observations"
CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 1 << 14
LONGEST_LINE = 1 << 20
# Of a longer one.
KEPT_BYTES = 1 << 13


def read_file(
    path: Path, given: ColumnNames | None = None, place: str | None = None
) -> Iterator[Chunk]:
    """The rows of a file, in bounded memory; `place` is what messages call it.

    Raises RefusedError when it is not a file of observations, or as soon as it proves damaged; at
    its end when it has changed meanwhile, or too many of its rows are bad.
    """
    rows = bad = 0
    reasons: list[str] = []
    try:
        with closing(Unpacked(path)) as file:
            for chunk in _chunks(file, given or ColumnNames(), book_in_path(path)):
                rows += chunk.rows.num_rows + len(chunk.bad)
                bad += len(chunk.bad)
                some = chunk.bad[: MOST_REASONS - len(reasons)]
                reasons += [f"row {line.line}: {line.reason}" for line in some]
                yield chunk
                # Each time: one that grows as it is read would never end.
                file.check_unchanged()
            file.check_unchanged()
        check_bad_rows(shown(path), rows, bad, reasons)
    except (RefusedError, FileChangedError) as error:
        reason = str(error).removeprefix(f"{shown(path)}: ")
        raise RefusedError(f"{place or shown(path)}: {reason}") from None


def _chunks(file: Unpacked, given: ColumnNames, path_book: str | None) -> Iterator[Chunk]:
    if is_parquet(file):
        yield from _read_parquet(file.raw, given, path_book)
        return
    start = file.read(4)
    if start in MAGIC:
        with closing(spooled(file, start)) as spool:
            yield from _read_parquet(spool, given, path_book)
        return
    if ".parquet" in file.path.name.lower():
        raise RefusedError("not a Parquet file: it does not begin with PAR1")
    yield from _read_csv(file, start, given, path_book)


# --- Parquet ----------------------------------------------------------------------------------


def _read_parquet(source: BinaryIO, given: ColumnNames, path_book: str | None) -> Iterator[Chunk]:
    file = open_parquet(source, given, path_book)
    reader, row = LakeLines(file.columns), 1
    for lines in lines_of_parquet(file):
        yield reader.read(lines, row)
        row += len(lines)


# --- CSV --------------------------------------------------------------------------------------


def _read_csv(
    file: Unpacked, start: bytes, given: ColumnNames, path_book: str | None
) -> Iterator[Chunk]:
    reader: LakeLines | None = None
    line_number = 1
    for text in _texts(file, start):
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if reader is None and (first := next(filter(str.strip, lines), None)):
            reader = LakeLines(columns_of_csv(first, given, path_book))
        for at in range(0, len(lines), CHUNK_ROWS):
            if reader is not None:
                some = pa.array(lines[at : at + CHUNK_ROWS], pa.string())
                yield reader.read(some, line_number + at)
        line_number += len(lines)
    if reader is None:
        raise RefusedError("the file is empty")


def _texts(file: Unpacked, start: bytes) -> Iterator[str]:
    """The file in pieces of whole lines, the first bytes of which are read already."""
    plain = PlainText(file.name, start)
    piece = start + file.read(CHUNK_BYTES)
    rest, is_first, is_cut = plain.convert(piece), True, False
    if b"\r" in rest and b"\n" not in rest:
        rest = plain.end_lines_with_cr(rest)
    while piece:
        end = rest.rfind(b"\n") + 1
        if end:
            yield _text(rest[:end], is_first)
            rest, is_first = rest[end:], False
        if len(rest) > LONGEST_LINE:
            # No observation: the mark keeps the price bad, or the time, that was cut.
            rest = rest[:KEPT_BYTES] + "…".encode()
            is_cut = True
        piece = file.read(CHUNK_BYTES)
        more = plain.convert(piece, at_end=not piece)
        if is_cut:
            _, line_end, more = more.partition(b"\n")
            is_cut, more = not line_end, line_end + more
        rest += more
    if rest:
        yield _text(rest, is_first)


def _text(content: bytes, is_first: bool) -> str:
    text = content.decode("utf-8-sig" if is_first else "utf-8", "backslashreplace")
    return text.replace("\r\n", "\n").replace("\0", "\\x00")
