"""Parquet of any type that says a value is read, of any other refused; no damage does more."""

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.lake.parquet import LARGEST_SPOOL, LONGEST_TEXT, PIECE_ROWS
from loader.lake.reading import read_file
from loader.warehouse.errors import RefusedError
from tests.packing import PACKED

AT = datetime(2024, 5, 28, 23, 18, 1, tzinfo=UTC)
SECOND = int(AT.timestamp())
GOOD = {
    "timestamp": pa.array([AT], pa.timestamp("us", "UTC")), "book": pa.array(["btc_mxn"]),
    "best_bid": pa.array(["1.5"]), "best_ask": pa.array(["2.25"]),
}  # fmt: skip


def write(directory: Path, **columns: pa.Array) -> Path:
    path = directory / "a.parquet"
    pq.write_table(pa.table({**GOOD, **columns}), path)
    return path


def read(path: Path) -> list[tuple[Any, ...]]:
    rows = [row for chunk in read_file(path) for row in chunk.rows.to_pylist()]
    return [(row["received_at"], row["book"], row["bid"], row["ask"]) for row in rows]


def times() -> Iterator[pa.Array]:
    """The instant in every type of a time that there is."""
    for per_second, unit in ((1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")):
        for zone in (None, "UTC", "America/Mexico_City", "+05:30", "Mars/Phobos"):
            yield pa.array([SECOND * per_second], pa.timestamp(unit, zone))
    for text in ("2024-05-28T23:18:01", "2024-05-28 17:18:01-06", "2024-05-28T23:18:01.000Z"):
        yield from _texts(text)


def _texts(text: str) -> Iterator[pa.Array]:
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield pa.array([text], kind)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield pa.array([text.encode()], kind)
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        yield pa.array([text.encode()], kind).dictionary_encode()


def numbers() -> Iterator[pa.Array]:
    """Three and a half, or three, in every type of a number that there is."""
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        yield pa.array([3.5]).cast(kind)
    for kind in (
        pa.decimal32(9, 1), pa.decimal64(18, 17), pa.decimal128(38, 37), pa.decimal256(76, 75),
    ):  # fmt: skip
        yield pa.array([Decimal("3.5")], kind)
    for text in ("3.5", "35e-1", " 3.50"):
        yield from _texts(text)
    for bits in (8, 16, 32, 64):
        for sign in ("", "u"):
            yield pa.array([3], pa.type_for_alias(f"{sign}int{bits}"))


def test_every_type_of_a_value_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for values in times():
        found = read(write(tmp_path, timestamp=values))
        assert found == [(AT.replace(tzinfo=None), "btc_mxn", "1.5", "2.25")], values.type
    assert caplog.text == ""
    for kind in (pa.date32(), pa.date64()):
        [row] = read(write(tmp_path, timestamp=pa.array([date(2024, 5, 28)], kind)))
        assert row[0] == datetime(2024, 5, 28)  # noqa: DTZ001 (as the table has it)
        assert "of the type date32[day], which has no time of day" in caplog.text
        caplog.clear()
    for values in numbers():
        [row] = read(write(tmp_path, best_bid=values))
        assert row[2] == ("3" if pa.types.is_integer(values.type) else "3.5"), values.type
    for values in _texts("btc_mxn"):
        assert read(write(tmp_path, book=values))[0][1] == "btc_mxn", values.type


NONE_OF_A_VALUE: list[tuple[pa.DataType, Any]] = [
    (pa.list_(pa.float64()), [1.0]), (pa.large_list(pa.string()), ["1"]),
    (pa.struct([("a" * 99, pa.int32())]), {"a" * 99: 1}),
    (pa.map_(pa.string(), pa.int32()), [("a", 1)]),
    (pa.binary(1), b"1"), (pa.bool_(), True), (pa.time32("ms"), 1),
    (pa.time64("us"), 1), (pa.duration("s"), 1),
]  # fmt: skip


def test_any_other_type_is_refused_by_its_name(tmp_path: Path) -> None:
    others: dict[str, list[pa.Array]] = {
        "timestamp": [pa.array([SECOND]), pa.array([1.5])],
        "book": [pa.array([1]), GOOD["timestamp"]],
        "best_bid": [GOOD["timestamp"], pa.array([date(2024, 5, 28)])],
    }
    for column, arrays in others.items():
        for values in [*arrays, *(pa.array([value], kind) for kind, value in NONE_OF_A_VALUE)]:
            path = write(tmp_path, **{column: values})
            kind = str(pq.read_schema(path).field(column).type)[:39]
            with pytest.raises(
                RefusedError, match=f"the column {column} is of the type"
            ) as refused:
                read(path)
            assert kind in str(refused.value)
            # Beside the columns of an observation anything may stand.
            assert len(read(write(tmp_path, extra=values))) == 1


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("timestamp", pa.array([2**62]).cast(pa.timestamp("us")), "46116860184"),
        ("timestamp", pa.array([-(2**62)]).cast(pa.timestamp("ms")), "-46116860184"),
        ("timestamp", pa.array([-(2**62)]).cast(pa.timestamp("ns")), "1823-11-12"),
        ("timestamp", pa.array([None], pa.timestamp("s")), "is not a time"),
        ("best_bid", pa.array([None]), "bid is not a number: "),
        ("best_bid", pa.array([float("inf")]), "bid is not a number: inf"),
        ("best_bid", pa.array(["5" + " " * LONGEST_TEXT + "x"]), "bid is not a number: 5"),
        ("best_bid", pa.array(["1,5"]), "6 fields where 5 are expected"),
        ("best_bid", pa.array(["1\n5"]), "it is not one line of CSV"),
        ("book", pa.array([b"btc_\xff"]).view(pa.string()), r"such as btc_mxn: btc_\xff"),
        ("book", pa.array([b"btc_\xff"]), r"such as btc_mxn: btc_\xff"),
        ("book", pa.array([b"btc_\xff"], pa.large_binary()), r"such as btc_mxn: btc_\xff"),
        ("book", pa.array([b"btc_\xff"]).dictionary_encode(), r"such as btc_mxn: btc_\xff"),
        ("best_bid", pa.array([b"1.5\xff"]), r"bid is not a number: 1.5\xff"),
        ("timestamp", pa.array([b"\0\xff"]), "is not a time"),
        ("book", pa.array([b"\xff" * 5000]).view(pa.string()), r"such as btc_mxn: \xff\xff"),
    ],
)
def test_a_value_that_is_none_is_a_bad_row(
    tmp_path: Path, column: str, values: pa.Array, reason: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        read(write(tmp_path, **{column: values}))
    assert "none of its 1 row can be read: row 1: " in str(refused.value)
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_text_that_is_longer_than_any_value_is_kept_in_part(tmp_path: Path) -> None:
    columns = {name: pa.concat_arrays([column] * 2) for name, column in GOOD.items()}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**columns, "best_bid": pa.array(["1.5", "ñ" * 99_999])}), path)
    [bad] = [line for chunk in read_file(path) for line in chunk.bad]
    assert (bad.line, bad.code) == (2, "not_a_number")
    assert LONGEST_TEXT // 2 < len(bad.raw) < 2 * LONGEST_TEXT


def test_rows_are_counted_over_all_row_groups_and_pieces(tmp_path: Path) -> None:
    rows, bad = 3 * PIECE_ROWS, 2 * PIECE_ROWS + 17
    bids = pa.array([None if row == bad else 1.5 for row in range(1, rows + 1)])
    columns = {name: pa.concat_arrays([column] * rows) for name, column in GOOD.items()}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**columns, "best_bid": bids}), path, row_group_size=PIECE_ROWS + 1)
    chunks = list(read_file(path))
    assert [line.line for chunk in chunks for line in chunk.bad] == [bad]
    numbers = [number for chunk in chunks for number in chunk.rows["line_number"].to_pylist()]
    assert numbers == [row for row in range(1, rows + 1) if row != bad]


def test_packed_in_any_way_it_is_read_by_its_content(tmp_path: Path) -> None:
    content = write(tmp_path).read_bytes()
    for name in ("a.parquet.gz", "a.csv", "anything"):
        for pack in PACKED.values():
            path = tmp_path / name
            path.write_bytes(pack(content))
            assert len(read(path)) == 1


def test_a_packed_one_takes_no_more_room_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(PACKED["gzip"](b"PAR1" + bytes(10_000)))
    with pytest.raises(RefusedError, match="not a Parquet file, or a damaged one"):
        read(path)
    monkeypatch.setattr("loader.lake.parquet.LARGEST_SPOOL", 9_999)
    with pytest.raises(RefusedError, match="in a packed one: unpack it before"):
        read(path)
    assert LARGEST_SPOOL == 1 << 30


def test_damage_anywhere_is_refused_or_a_row(tmp_path: Path) -> None:
    content = write(tmp_path, best_bid=pa.array([1.5]), extra=pa.array([[1, 2]])).read_bytes()
    chance = random.Random(1)
    path = tmp_path / "a.parquet"
    outcomes: Counter[int] = Counter()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        for changed in (bytes(damaged), content[:place]) if place % 4 == 0 else (bytes(damaged),):
            path.write_bytes(changed)
            rows = 0
            with contextlib.suppress(RefusedError):
                rows = len(read(path))
            outcomes[rows] += 1
    assert {*outcomes} == {0, 1}
