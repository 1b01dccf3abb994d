"""The quarantine as a CSV file, for somebody to edit its column `raw`: written, and read again."""

import csv
import io
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.files import open_regular
from loader.warehouse.ledger import quarantine
from loader.warehouse.ledger.quarantine import OpenRow
from loader.warehouse.postgres.connection import connect
from loader.warehouse.text import shown, shown_path

EXPORTED = ("quarantine_id", "source", "location", "reason_code", "reason", "raw")
# A reply was once taken up to 16 MiB, and quotes take two characters.
LONGEST_LINE = 33 << 20
# What is held in memory at a time.
BATCH_ROWS = 1_000
BATCH_CHARACTERS = 4_000_000


def export_rows(path: Path) -> int:
    """Write the rows in quarantine; returns how many.

    Raises UsageError where the file cannot be made, or is there: somebody may have edited it.
    """
    rows = 0
    try:
        with closing(connect("loader")) as connection, _made(path) as file:
            writer = csv.writer(file)
            writer.writerow(EXPORTED)
            for page in quarantine.open_pages(connection):
                writer.writerows(_fields(row) for row in page)
                rows += len(page)
    except FileExistsError:
        raise UsageError(
            f"{shown_path(path)}: there is such a file, which may hold edits: name another one"
        ) from None
    except OSError as error:
        raise UsageError(f"{shown_path(path)}: {error.strerror}") from None
    return rows


@contextmanager
def _made(path: Path) -> Iterator[TextIO]:
    """A new file, which is there when all is written."""
    with path.open("x", newline="", encoding="utf-8") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _fields(row: OpenRow) -> Iterable[object]:
    return (getattr(row, name) for name in EXPORTED)


def edited_texts(path: Path) -> Iterator[dict[int, str]]:
    """The texts of an edited export by the id of their row, some at a time.

    Raises UsageError where there is no such file, RefusedError, before the first of them, where
    it is no export.
    """
    with _opened(path) as file:
        # All of it before any: what is wrong at its end is no reason to begin.
        ids = sorted(array("q", (number for number, _ in _rows(path, file))))
        if any(first == second for first, second in pairwise(ids)):
            raise RefusedError(f"{shown(path)}: some row is in it twice: which text is right?")
        del ids
        file.seek(0)
        texts: dict[int, str] = {}
        characters = 0
        for number, text in _rows(path, file):
            texts[number] = text
            characters += len(text)
            if len(texts) == BATCH_ROWS or characters > BATCH_CHARACTERS:
                yield texts
                texts, characters = {}, 0
        if texts:
            yield texts


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if not path.is_symlink() and not path.exists():
        raise UsageError(f"{shown_path(path)}: no such file")
    with open_regular(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        yield text


def _rows(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    csv.field_size_limit(LONGEST_LINE)
    try:
        reader = csv.reader(_lines(file), strict=True)
        header = next(reader, [])
        id_at, raw_at = header.index("quarantine_id"), header.index("raw")
        for row in filter(None, reader):
            # Another number of fields: most likely a raw text that lost its quotes.
            fields = dict(zip(range(len(header)), row, strict=True))
            yield _id(fields[id_at]), fields[raw_at]
    except (ValueError, csv.Error):
        raise RefusedError(
            f"{shown(path)}: not an export of the quarantine: it needs the columns "
            "quarantine_id and raw, one row a line"
        ) from None


def _id(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**63:
        raise ValueError(text)
    return number


def _lines(file: TextIO) -> Iterator[str]:
    """Its lines, none of which is kept in memory when it does not end."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ValueError("a line too long")
        yield line
