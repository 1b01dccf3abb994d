"""The first line of a snapshot file: what kind it is of, and which column stands where."""

import csv
import io
import re
from collections.abc import Iterable
from typing import NamedTuple

from loader.snapshots.grammar import KINDS
from loader.warehouse.columns import ColumnNames, plain_name
from loader.warehouse.errors import RefusedError
from loader.warehouse.text import counted, readable, shortened

# Every column that some kind has.
COLUMNS = sorted({column for fields in KINDS.values() for column in fields})


class SnapshotLayout(NamedTuple):
    """What the rows of a file look like.

    `fields` are the columns in the order of the file, by our names, None for those left out. Where
    a blank follows each comma of the header (`is_spaced`), it is no part of the values either.
    """

    kind: str
    fields: tuple[str | None, ...]
    is_spaced: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are taken."""
        return tuple(field for field in self.fields if field is not None)

    def text_of(self, raw: bytes) -> str:
        """A row's text for quarantine, where a redrive reads it by `columns` alone.

        A row that is none of this layout stays as it is.
        """
        text = readable(raw)
        if None not in self.fields and not self.is_spaced:
            return text
        try:
            [values] = csv.reader([text], strict=True, skipinitialspace=self.is_spaced)
        except (csv.Error, ValueError):
            return text
        if len(values) != len(self.fields):
            return text
        taken = [value for value, field in zip(values, self.fields, strict=True) if field]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(taken)
        return line.getvalue()


def recognise(name: str, header: bytes, names: ColumnNames) -> SnapshotLayout:
    """What a file is, from its header line alone: upper case and blanks around names do no harm.

    Raises RefusedError, naming the file and the columns, when the header is of no kind.
    """
    theirs = _names_in(name, header)
    fields = tuple(names.rename(theirs))
    columns = [field for field in fields if field is not None]
    is_spaced = len(theirs) > 1 and all(each[:1] == " " for each in theirs[1:])
    for kind, known in KINDS.items():
        if set(columns) == known.keys() and len(columns) == len(known):
            return SnapshotLayout(kind, fields, is_spaced)
    raise RefusedError(f"{name}: {_what_is_wrong(theirs, columns)}")


def _names_in(name: str, header: bytes) -> list[str]:
    try:
        text = header.removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{name}: the first line is not a CSV header in UTF-8 (its byte {error.start + 1} is "
            f"0x{header[error.start]:02x}, as in Latin-1 or Windows-1252): save the file as UTF-8"
        ) from None
    try:
        names = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise RefusedError(
            f"{name}: the first line is not a CSV header in UTF-8: a quote or a CR is out of place"
        ) from None
    if not names:
        raise RefusedError(f"{name}: the first line is blank, not a header")
    return names


def _what_is_wrong(theirs: list[str], columns: list[str]) -> str:
    other = re.search(r"[;\t|]", theirs[0]) if len(theirs) == 1 else None
    if other and not set(map(plain_name, theirs[0].split(other[0]))).isdisjoint(COLUMNS):
        return f"column {_told(theirs)}: the delimiter must be a comma, not {other[0]!r}"
    known = set(columns).intersection(COLUMNS)
    if not known and any(re.search(r"\d", column) for column in columns):
        # Most likely a row: what stands in it is nobody's business but the file's.
        return (
            f"the first line is not a header: none of its {counted(len(theirs), 'field')} is the "
            "name of a column, such as user_id"
        )
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        return f"repeated column {_told(repeated)}"
    kind = max(KINDS, key=lambda kind: _likeness(KINDS[kind], columns))
    unknown = [column for column in columns if column not in KINDS[kind]]
    missing = [column for column in KINDS[kind] if column not in columns]
    problems = [f"unknown column {_told(unknown)}"] if unknown else []
    problems += [f"missing column {_told(missing)}"] if missing else []
    advice = ": --columns THEIRS=OURS maps a column, THEIRS= leaves it out" if unknown else ""
    return f"not a snapshot of {kind}: {', '.join(problems)}{advice}"


def _likeness(expected: Iterable[str], columns: list[str]) -> tuple[int, int]:
    wanted = set(expected)
    return len(wanted.intersection(columns)), -len(wanted) - len(columns)


def _told(columns: list[str]) -> str:
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return ", ".join(repr(shortened(column, 80)) for column in columns[:10]) + more
