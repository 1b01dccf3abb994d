"""Files of old lakes, CSV and Parquet."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import (
    BESIDE,
    REFUSED,
    TAKEN,
    WHOLE,
    FileKind,
    as_file,
    bring,
    whole_files,
)
from tests.faults.misplaced import PLACES
from tests.faults.place import Place
from tests.faults.values import CUT, ENCODED, TEXTS, numbers_of_csv, with_field
from tests.odd_values import NOISE

CSV, PARQUET = "lake CSV", "lake Parquet"
HEADER = "orderbook_timestamp,book,bid,ask,spread"
ROWS = [f"2024-03-02T10:00:0{n}+00:00,btc_mxn,45500{n},457250,0.4" for n in range(3)]
TIME, BOOK, BID = 0, 1, 2
COUNT = "select count(*) from raw.spread_observations"
HELD = "raw.spread_observations"
# A small file is read whole before anything is asked of Postgres.
READ_BEFORE = Holds((0, 1, 75), (0, 3))


def _file(*rows: bytes | str, header: str = HEADER) -> bytes:
    lines = [header, *rows] if header else [*rows]
    return b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)


LAKE_CSV = FileKind("a.csv", _file(*ROWS), ("lake", "import"), COUNT, HELD)


def _beside(row: bytes) -> bytes:
    return _file(ROWS[0], row, ROWS[2])


def _csv_cases() -> Iterator[Case]:
    for name, value in numbers_of_csv().items():
        yield Case(CSV, "numbers", name, _beside(with_field(ROWS[1], BID, value)), BESIDE)
    for name, value in TEXTS.items():
        kind = "size" if name[0] == "1" else "text"
        yield Case(CSV, kind, name, _beside(with_field(ROWS[1], BOOK, value)), BESIDE)
    for name, value in {
        "the year 1": "0001-01-01T00:00:00+14:00", "the year 9999": "9999-12-31T23:59:59-14:00",
        "no such day": "2024-02-30 00:00:00", "milliseconds": "1709373600000",
    }.items():  # fmt: skip
        yield Case(CSV, "numbers", name, _beside(with_field(ROWS[1], TIME, value)), BESIDE)
    for name, encode in ENCODED.items():
        yield Case(CSV, "encoding", name, encode(LAKE_CSV.good), WHOLE)
    yield from _csv_shapes()
    yield from whole_files(CSV, LAKE_CSV)
    yield Case(CSV, "lost", "it grows while it is read", LAKE_CSV.good, READ_BEFORE)


def _csv_shapes() -> Iterator[Case]:
    swapped = [f"{a},{b},{d},{c},{e}" for a, b, c, d, e in (row.split(",") for row in ROWS)]
    for name, header, rows, holds in (
        ("too few fields", HEADER, [ROWS[0], "2024-03-02T10:00:01,btc_mxn", ROWS[2]], BESIDE),
        ("too many fields", HEADER, [ROWS[0], ROWS[1] + ",x,y,z", ROWS[2]], BESIDE),
        ("a stray quote", HEADER, [ROWS[0], '"' + ROWS[1], ROWS[2]], BESIDE),
        ("further columns", HEADER + ",trace", [f"{row},x" for row in ROWS], TAKEN),
        ("no bid", HEADER.replace("bid", "offer"), ROWS, REFUSED),
        ("no names", "a,b,c,d,e", ROWS, REFUSED),
        ("a column twice", HEADER.replace("ask", "bid"), ROWS, REFUSED),
        ("no good row at all", HEADER, [row.replace("T", " at ") for row in ROWS], REFUSED),
    ):
        yield Case(CSV, "shape", name, _file(*rows, header=header), holds)
    yield Case(CSV, "shape", "no header", _file(*ROWS, header=""), TAKEN)
    theirs = HEADER.replace("bid,ask", "best_ask,best_bid")
    yield Case(CSV, "order", "ask before bid", _file(*swapped, header=theirs), TAKEN)
    turned = [",".join(reversed(line.split(","))) for line in (HEADER, *ROWS)]
    yield Case(CSV, "order", "columns reversed", _file(*turned[1:], header=turned[0]), TAKEN)
    yield Case(CSV, "order", "rows reversed", _file(*reversed(ROWS)), TAKEN)
    yield Case(CSV, "duplication", "a row twice", _file(*ROWS, ROWS[1]), TAKEN)
    yield Case(CSV, "duplication", "the header again", _file(ROWS[0], HEADER, *ROWS[1:]), TAKEN)
    yield Case(CSV, "size", "a line of 3 MB", _beside(b"x" * 3_000_000), WHOLE)
    many = as_file(lambda: _file(*(f"x{n},btc_mxn,1,2,3" for n in range(400_000))))
    yield Case(CSV, "size", "400 000 bad rows", many, REFUSED, is_dear=True)


def _bring_csv(place: Place, case: Case) -> None:
    bring(LAKE_CSV, place, case)
    crossed = place.rows("select count(*) from raw.spread_observations where bid > ask")
    assert crossed == [(0,)], f"bid and ask have changed places in {crossed[0][0]} rows"


# --- Parquet ----------------------------------------------------------------------------------

MOMENTS = [datetime(2024, 3, 2, 10, 0, n, tzinfo=UTC) for n in range(3)]


def parquet(**columns: Any) -> bytes:
    """A file with three good rows, some of its columns replaced; None leaves one out."""
    good: dict[str, Any] = {
        "orderbook_timestamp": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
        "book": pa.array(["btc_mxn"] * 3),
        "bid": pa.array([455000.0, 455001.0, 455002.0]),
        "ask": pa.array([457250.0] * 3),
        "spread": pa.array([0.4] * 3),
    }
    kept = {name: values for name, values in {**good, **columns}.items() if values is not None}
    sink = io.BytesIO()
    pq.write_table(pa.table(kept), sink)
    return sink.getvalue()


LAKE_PARQUET = FileKind("a.parquet", parquet(), ("lake", "import"), COUNT, HELD)
_NUMBERS = [Decimal(455000), Decimal(455001), Decimal(455002)]
# Every type that means the same.
TYPES: dict[str, dict[str, Any]] = {
    "bids as decimal": {"bid": pa.array(_NUMBERS, pa.decimal128(38, 18))},
    "bids as decimal256": {"bid": pa.array(_NUMBERS, pa.decimal256(60, 18))},
    "bids as float32": {"bid": pa.array([1.5, 2.5, 3.5], pa.float32())},
    "bids as int64": {"bid": pa.array([1, 2, 3])},
    "bids as text": {"bid": pa.array(["1.5", "2.5", "3.5"])},
    "books as a dictionary": {"book": pa.array(["btc_mxn"] * 3).dictionary_encode()},
    "books as large_string": {"book": pa.array(["btc_mxn"] * 3, pa.large_string())},
    "books as string_view": {"book": pa.array(["btc_mxn"] * 3, pa.string_view())},
    "bids as large_string": {"bid": pa.array(["1.5", "2.5", "3.5"], pa.large_string())},
    **{
        f"times in {unit}": {"orderbook_timestamp": pa.array(MOMENTS, pa.timestamp(unit, "UTC"))}
        for unit in ("s", "ms", "us", "ns")
    },
    "times without a zone": {
        "orderbook_timestamp": pa.array([m.replace(tzinfo=None) for m in MOMENTS],
                                        pa.timestamp("us"))},
    "times elsewhere": {
        "orderbook_timestamp": pa.array(MOMENTS, pa.timestamp("ms", "America/Mexico_City"))},
}  # fmt: skip
ODD: dict[str, tuple[str, dict[str, Any], Holds]] = {
    "NaN": ("numbers", {"bid": pa.array([1.0, float("nan"), 3.0])}, BESIDE),
    "infinity": ("numbers", {"bid": pa.array([1.0, float("inf"), 3.0])}, BESIDE),
    "1e308": ("numbers", {"bid": pa.array([1.0, 1e308, 3.0])}, BESIDE),
    "no value": ("numbers", {"bid": pa.array([1.0, None, 3.0])}, BESIDE),
    "below zero": ("numbers", {"bid": pa.array([1.0, -1.0, 3.0])}, BESIDE),
    "a huge time": ("numbers", {"orderbook_timestamp": pa.array(
        [MOMENTS[0].timestamp(), 1e300, MOMENTS[2].timestamp()], pa.float64())}, WHOLE),
    "a time past all years": ("numbers", {"orderbook_timestamp": pa.array(
        [1709373600000000, 2**61, 1709373602000000]).cast(pa.timestamp("us"))}, WHOLE),
    "NUL": ("text", {"book": pa.array(["btc_mxn", "a\0b", "btc_mxn"])}, BESIDE),
    "escapes": ("text", {"book": pa.array(["btc_mxn", "\x1b[2J\x07", "btc_mxn"])}, BESIDE),
    "line ends": ("text", {"book": pa.array(["btc_mxn", "a\nb,c\r", "btc_mxn"])}, BESIDE),
    "bytes that are no text": ("encoding", {"book": pa.array([b"btc_mxn", b"\xff\xfe", b"x"])},
                               WHOLE),
    "10 kB": ("size", {"book": pa.array(["btc_mxn", NOISE, "btc_mxn"])}, BESIDE),
    "a list": ("shape", {"bid": pa.array([[1.0], [2.0], [3.0]])}, REFUSED),
    "a struct": ("shape", {"bid": pa.array([{"a": 1.0}] * 3)}, REFUSED),
    "no bid": ("shape", {"bid": None}, REFUSED),
    "true": ("shape", {"bid": pa.array([True] * 3)}, Holds((0, 1), (0,))),
    "further columns": ("shape", {"event_date": pa.array(["x"] * 3)}, TAKEN),
    "a row twice": ("duplication", {
        "bid": pa.array([1.0, 1.0, 3.0]),
        "orderbook_timestamp": pa.array([MOMENTS[0], MOMENTS[0], MOMENTS[2]])}, Holds((0,), (2,))),
}  # fmt: skip


def _long_value() -> bytes:
    """A few kB that unpack to a text of 256 MB."""
    return _packed({"book": pa.array(["btc_mxn", "x" * (256 << 20), "btc_mxn"])})


def _packed(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    table = pq.read_table(io.BytesIO(LAKE_PARQUET.good))
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    return sink.getvalue()


def _parquet_cases() -> Iterator[Case]:
    for name, columns in TYPES.items():
        yield Case(PARQUET, "version", name, parquet(**columns), TAKEN)
    for name, (kind, columns, holds) in ODD.items():
        yield Case(PARQUET, kind, name, parquet(**columns), holds)
    order = pq.read_table(io.BytesIO(LAKE_PARQUET.good)).select([4, 3, 2, 1, 0])
    sink = io.BytesIO()
    pq.write_table(order, sink)
    yield Case(PARQUET, "order", "columns reversed", sink.getvalue(), TAKEN)
    for name, cut in CUT.items():
        yield Case(PARQUET, "cut", name, cut(LAKE_PARQUET.good), WHOLE)
    yield Case(PARQUET, "cut", "a damaged footer", _damaged(-40), WHOLE)
    yield Case(PARQUET, "cut", "a damaged page", _damaged(60), WHOLE)
    yield Case(PARQUET, "cut", "text", b"hello\n" * 10, REFUSED)
    yield Case(PARQUET, "size", "a text of 256 MB", as_file(_long_value), WHOLE, is_dear=True)
    yield Case(PARQUET, "place", "a pipe", PLACES["a pipe"], Holds((1, 2), (0,)))
    grown = LAKE_PARQUET.good
    yield Case(PARQUET, "lost", "it grows while it is read", grown, READ_BEFORE)


def _damaged(at: int) -> bytes:
    data = bytearray(LAKE_PARQUET.good)
    for byte in range(at, at + 20):
        data[byte] ^= 0x5A
    return bytes(data)


LAKE_SURFACES = [
    Surface(CSV, list(_csv_cases()), _bring_csv, {
        "time": "a file is there or is not; one that does not end is a pipe or a device (place)",
        "version": "CSV has none: other columns are another shape",
        "full disk": "nothing of an import is written to a file",
    }),
    Surface(PARQUET, list(_parquet_cases()), lambda place, case: bring(LAKE_PARQUET, place, case), {
        "time": "as with CSV",
        "permission": "as with CSV: both are opened by one function",
        "full disk": "nothing of an import is written to a file",
    }),
]  # fmt: skip
