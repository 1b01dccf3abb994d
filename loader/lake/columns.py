"""Lines of an old lake's file as columns: most of them at once, the others one by one."""

from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from loader.lake.header import FileColumns
from loader.lake.lines import Observation, in_usual_order, read_line
from loader.warehouse.values import CLOCK_SKEW, EARLIEST, BadValueError

# In percentage points. A written spread farther than this from that of bid and ask is counted as
# off: no known way of rounding explains it.
SPREAD_TOLERANCE = 0.01
# Up to here neither of its two parts can be too long.
LONGEST_BOOK = 101

SCHEMA = pa.schema([
    ("received_at", pa.timestamp("us")), ("book", pa.string()), ("bid", pa.string()),
    ("ask", pa.string()), ("spread", pa.string()), ("line_number", pa.int64()),
])  # fmt: skip

_NUMBER = r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?"
# What a field of a usual line is; None is a column that is left out.
_FIELDS: dict[str | None, str] = {
    "orderbook_timestamp": (
        r"'?(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ]"
        r"(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)(?:Z|\+00(?::?00)?)?'?"
    ),
    # Counted afterwards: a limit in here takes long to compile, for each file anew.
    "book": r"(?P<book>[A-Za-z0-9]+_[A-Za-z0-9]+)",
    "bid": rf"(?P<bid>{_NUMBER})",
    "ask": rf"(?P<ask>{_NUMBER})",
    "spread": rf"(?P<spread>(?:-?{_NUMBER})?)",
    None: r'[^",\r\n]*',
}


class BadLine(NamedTuple):
    """One row for quarantine; `raw` has the columns in their usual order."""

    line: int
    code: str
    reason: str
    raw: str


class Chunk(NamedTuple):
    """Some rows of a file: the good ones as a table (SCHEMA), prices as plain decimals.

    `left_out` names the columns of the file that are none of ours.
    """

    rows: pa.Table
    bad: list[BadLine]
    left_out: tuple[str, ...] = ()

    @property
    def spreads_off(self) -> int:
        """How many rows say a spread that is not that of their bid and ask."""
        bid, ask, said = (self.rows[name].cast(pa.float64()) for name in ("bid", "ask", "spread"))
        spread = pc.divide(pc.multiply(pc.subtract(ask, bid), 100.0), ask)
        off = pc.greater(pc.abs(pc.subtract(spread, said)), SPREAD_TOLERANCE)
        return int(pc.sum(off).as_py() or 0)

    @property
    def bytes(self) -> int:
        """About how much memory it takes; a bad row is written as texts, several times over."""
        return int(self.rows.nbytes) + sum(6 * (len(line.raw) + 200) for line in self.bad)


class LakeLines:
    """Reads the lines of one file: most of them by columns, the others one by one."""

    def __init__(self, file: FileColumns) -> None:
        self._file = file
        self._grammar = "^" + ",".join(_FIELDS[column] for column in file.columns) + "$"

    def read(self, lines: pa.StringArray, first_line: int) -> Chunk:
        """The rows in some lines, of which the first has that number in the file.

        Raises RefusedError for a header in their midst that is not that of the file.
        """
        numbers = pa.array(range(first_line, first_line + len(lines)), pa.int64())
        rows, is_read = self._by_columns(lines, numbers)
        columns, path_book = self._file.columns, self._file.path_book
        found: list[tuple[Observation, int]] = []
        bad_lines: list[BadLine] = []
        # A file may be blank lines for the most part.
        is_left = pc.and_not(pc.not_equal(lines, ""), is_read)
        for at in pc.indices_nonzero(is_left).to_pylist():
            # What a Parquet file calls a text need not be one.
            line = lines[at].as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
            if not line.strip() or self._file.is_header_again(line):
                continue
            try:
                found.append((read_line(line, columns, path_book), first_line + at))
            except BadValueError as error:
                raw = in_usual_order(line, columns, path_book)
                bad_lines.append(BadLine(first_line + at, error.code, str(error), raw))
        if found:
            rows = pa.concat_tables([rows, _table(found)]).sort_by("line_number")
        return Chunk(rows, bad_lines, self._file.left_out)

    def _by_columns(
        self, lines: pa.StringArray, numbers: pa.Int64Array
    ) -> tuple[pa.Table, pa.BooleanArray]:
        """The rows of those lines that match the grammar, and which those are."""
        fields = pc.extract_regex(lines, self._grammar)
        by_name = dict(zip([field.name for field in fields.type], fields.flatten(), strict=True))
        try:
            moment = pc.binary_join_element_wise(by_name["day"], by_name["time"], "T")
            moment = moment.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            # Some line has a day or an hour that does not exist: the exact parser finds which.
            return SCHEMA.empty_table(), pa.array([False] * len(lines))
        bid, ask = _trimmed(by_name["bid"]), _trimmed(by_name["ask"])
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
        if "book" in by_name:
            book = pc.ascii_lower(by_name["book"])
            is_read = pc.and_(
                is_read, pc.less_equal(pc.fill_null(pc.binary_length(book), 0), LONGEST_BOOK)
            )
        else:
            book = pa.repeat(pa.scalar(self._file.path_book, pa.string()), len(lines))
        if "spread" in by_name:
            said = by_name["spread"]
            spread = pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), _trimmed(said))
        else:
            spread = pa.nulls(len(lines), pa.string())
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
