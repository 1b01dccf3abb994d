"""Lines of an old lake's file as columns: most of them at once, the others one by one."""

from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from loader.lake.lines import (
    COLUMNS,
    VERDICT,
    Observation,
    in_usual_order,
    is_header,
    names_in,
    read_line,
)
from loader.warehouse.values import CLOCK_SKEW, EARLIEST, BadValueError

# In percentage points. A written spread farther than this from that of bid and ask is counted as
# off: no known way of rounding explains it.
SPREAD_TOLERANCE = 0.01

SCHEMA = pa.schema([
    ("received_at", pa.timestamp("us")), ("book", pa.string()), ("bid", pa.string()),
    ("ask", pa.string()), ("spread", pa.string()), ("line_number", pa.int64()),
])  # fmt: skip

_NUMBER = r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?"
_LINE = (
    r"^['\"]?(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ]"
    r"(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)(?:Z|\+00(?::?00)?)?['\"]?,"
    rf"(?P<book>[a-z0-9]{{1,100}}_[a-z0-9]{{1,100}}),(?P<bid>{_NUMBER}),(?P<ask>{_NUMBER}),"
    rf"(?P<spread>(?:-?{_NUMBER})?)(?:,[A-Za-z0-9.]*)?$"
)


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


class LakeLines:
    """Reads lines: most of them by columns, the others one by one."""

    def __init__(self, header: tuple[str, ...] | None, path_book: str | None) -> None:
        self.header = header
        self._path_book = path_book
        # Whether the columns come in the usual order, with or without the verdict.
        self._is_usual = header is None or header in (COLUMNS, (*COLUMNS, VERDICT))

    def read(self, lines: pa.StringArray, first_line: int) -> Chunk:
        """The rows in some lines, of which the first has that number in the file."""
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
                raw = in_usual_order(line, self.header, self._path_book)
                bad_lines.append(BadLine(first_line + at, error.code, str(error), raw))
        if found:
            rows = pa.concat_tables([rows, _table(found)]).sort_by("line_number")
        return Chunk(rows, bad_lines)

    def _is_header_again(self, line: str) -> bool:
        return is_header(line) and names_in(line) in (
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
            # Some line has a day or an hour that does not exist: the exact parser finds which.
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
