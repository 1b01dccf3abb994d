"""Rows that could not be loaded, each with its reason: set aside, counted, taken out again."""

import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import RefusedError
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.postgres.statements import statement
from loader.warehouse.redaction import KEYS
from loader.warehouse.settings import get_settings
from loader.warehouse.text import copy_line, counted, storable

# A file with more bad rows than this is looked at: so many never refuse it, however small it is.
BAD_ROWS_ALLOWED = 20
# Of those that make a file refused.
MOST_REASONS = 3
# What of them is in memory at a time; a single row may be larger.
PAGE_ROWS = 1_000
PAGE_BYTES = 4_000_000
COPIED = ("run_id", "source", "location", "line_number", "reason_code", "reason", "raw")


class SetAside(NamedTuple):
    """A row for quarantine: `code` is one word for counting, `reason` a sentence for people.

    `location` says where it came from: a file and its line, or what a source calls it. A reply
    has the instant at which it was received, a file the line.
    """

    location: str
    code: str
    reason: str
    raw: str
    line_number: int | None = None
    received_at: datetime | None = None

    def as_storable(self) -> "SetAside":
        """The same, its texts such as Postgres can hold and without any key of ours."""
        location, reason, raw = (
            storable(KEYS.taken_out(text)) for text in (self.location, self.reason, self.raw)
        )
        return SetAside(location, self.code, reason, raw, self.line_number, self.received_at)


class OpenRow(NamedTuple):
    """A row in quarantine that no redrive has loaded yet."""

    quarantine_id: int
    run_id: int
    source: str
    location: str
    line_number: int | None
    reason_code: str
    reason: str
    raw: str
    received_at: datetime | None


class ShownRow(NamedTuple):
    """A row in quarantine for people to see, its texts cut."""

    quarantine_id: int
    location: str
    reason_code: str
    reason: str
    raw: str


def set_aside(
    cursor: Any, run_id: int, source: str, rows: Sequence[SetAside], *, once: bool = True
) -> int:
    """Write rows of a source; returns how many were written.

    With `once`, a row that is there already (the same place, instant and text) is not written
    again, so that a repeated load adds none. Text that Postgres cannot hold is escaped.
    """
    columns = list(zip(*(row.as_storable() for row in rows), strict=True))
    if not columns:
        return 0
    locations, codes, reasons, raws, lines, instants = map(list, columns)
    cursor.execute(
        statement(__package__, "set_aside"),
        {
            "run_id": run_id, "source": source, "once": once, "codes": codes, "lines": lines,
            "instants": instants, "locations": locations, "reasons": reasons, "raws": raws,
        },
    )  # fmt: skip
    return int(cursor.rowcount)


def check_bad_rows(name: str, rows: int, bad: int, reasons: Sequence[str]) -> None:
    """Raise RefusedError where so many rows of a file are bad that it is no file of ours.

    `reasons` are the first ones, each with the place of its row.
    """
    percent = get_settings().bad_rows_percent
    if bad and bad == rows:
        what = f"none of its {counted(rows, 'row')} can be read"
    elif bad > BAD_ROWS_ALLOWED and bad * 100 > percent * rows:
        what = f"{bad} of {rows} rows are bad, more than {percent:g} %"
    else:
        return
    more = " ..." if bad > len(reasons) else ""
    raise RefusedError(f"{name}: {what}: {'; '.join(reasons)}{more}")


class QuarantineFile:
    """Rows on their way to quarantine while COPY is busy with good ones: they wait on disk."""

    def __init__(self, run: LedgerRun, source: str) -> None:
        self._run = run
        self._source = source
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (close() does)

    def add(self, row: SetAside) -> None:
        """Keep a row, and count it."""
        self._run.rows_quarantined += 1
        row = row.as_storable()
        values = (
            str(self._run.run_id), self._source, row.location, str(row.line_number), row.code,
            row.reason, row.raw,
        )  # fmt: skip
        self._file.write(copy_line(values) + b"\n")

    def write(self, connection: Connection) -> None:
        """Write them all to Postgres."""
        self._file.seek(0)
        copy_rows(connection, sql.Identifier("ops", "quarantine"), COPIED, self._file)

    def close(self) -> None:
        """Forget them."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_pages(connection: Connection, ids: Sequence[int] | None = None) -> Iterator[list[OpenRow]]:
    """The rows still in quarantine, or those of some ids, oldest first.

    In pages that memory holds, whatever is in the rows; a row closed meanwhile is left out.
    """
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                statement(__package__, "open_rows"),
                {
                    "after": after, "ids": None if ids is None else list(ids),
                    "rows": PAGE_ROWS, "bytes": PAGE_BYTES,
                },
            )  # fmt: skip
            page = [OpenRow(*row) for row in cursor]
        if not page:
            return
        yield page
        after = page[-1].quarantine_id


def unknown_ids(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of some ids that no row ever had."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id from ops.quarantine where quarantine_id = any(%s)", (list(ids),)
        )
        return sorted(set(ids).difference(number for (number,) in cursor))


def first_open(connection: Connection, limit: int, longest: int) -> list[ShownRow]:
    """The first rows still in quarantine, their texts no longer than so many characters."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select quarantine_id, left(location, %(longest)s), reason_code, "
            "left(reason, %(longest)s), left(raw, %(longest)s) "
            "from ops.quarantine where redriven_by is null order by quarantine_id limit %(limit)s",
            {"limit": limit, "longest": longest},
        )
        return [ShownRow(*row) for row in cursor]


def count_open(connection: Connection, sources: Sequence[str] | None = None) -> int:
    """How many rows are still in quarantine; with `sources`, of these only."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from ops.quarantine where redriven_by is null "
            "and (%(sources)s is null or source = any(%(sources)s))",
            {"sources": None if sources is None else list(sources)},
        )
        [(rows,)] = cursor.fetchall()
    return int(rows)


def close_rows(cursor: Any, ids: Sequence[int], run_id: int) -> None:
    """Take rows out: the run has loaded them, or found that they are loaded."""
    cursor.execute(
        "update ops.quarantine set redriven_by = %s where quarantine_id = any(%s)",
        (run_id, list(ids)),
    )
