"""An answer as a file of Parquet, a group of rows at a time."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from dashboards.answers import (
    DATE_OID,
    FLAG_OID,
    FLOAT_OIDS,
    INSTANT_OID,
    WHOLE_OIDS,
    AnswerColumn,
    AnswerRow,
)
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.copy import CsvSink
from loader.warehouse.text import quoted

# An amount is text: no decimal type holds every numeric, and programs know 38 digits at most.
_TYPES = {
    FLAG_OID: pa.bool_(),
    **dict.fromkeys(WHOLE_OIDS, pa.int64()),
    **dict.fromkeys(FLOAT_OIDS, pa.float64()),
    DATE_OID: pa.date32(),
    INSTANT_OID: pa.timestamp("us", tz="UTC"),
}
_FROM_TEXT: dict[int, Callable[[str], object]] = {
    **dict.fromkeys(FLOAT_OIDS, float),
    DATE_OID: date.fromisoformat,
    INSTANT_OID: datetime.fromisoformat,
}


class _Sink:
    """Where pyarrow writes to; it is not pyarrow's to close."""

    closed = False

    def __init__(self, out: CsvSink) -> None:
        self._out = out
        self.is_given_up = False

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        return len(data) if self.is_given_up else self._out.write(data)

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """Left to its owner."""


@contextlib.contextmanager
def parquet_writer(
    columns: Sequence[AnswerColumn], out: CsvSink
) -> Iterator[Callable[[list[AnswerRow]], None]]:
    """What writes rows as a row group; the file is complete when the context is left well.

    Raises TerminalError for a time outside of the years 1 to 9999.
    """
    schema = pa.schema([(each.name, _TYPES.get(each.oid, pa.string())) for each in columns])

    def write_group(rows: list[AnswerRow]) -> None:
        values = [
            pa.array([_value(column, row[place]) for row in rows], schema.field(place).type)
            for place, column in enumerate(columns)
        ]
        writer.write_batch(pa.record_batch(values, schema=schema))

    sink = _Sink(out)
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    try:
        yield write_group
        writer.close()
    finally:
        # pyarrow completes what it drops: a part of the rows would be a whole file.
        sink.is_given_up = True


def _value(column: AnswerColumn, value: str | int | None) -> object:
    convert = _FROM_TEXT.get(column.oid)
    if convert is None or not isinstance(value, str):
        return value
    try:
        return convert(value)
    except ValueError:
        raise TerminalError(
            f"parquet cannot hold {quoted(value)} in the column {quoted(column.name)}: ask for csv"
        ) from None
