"""Which column is which: by its name and never by its place, or the file is refused."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.lake.columns import BadLine
from loader.lake.header import SYNONYMS
from loader.lake.lines import COLUMNS, read_line
from loader.lake.reading import read_file
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError
from loader.warehouse.values import BadValueError

VALUES = {
    "orderbook_timestamp": "2024-04-02 10:00:07", "book": "btc_mxn", "bid": "457240",
    "ask": "457250", "spread": "0.002187",
}  # fmt: skip
NEEDED = [column for column in COLUMNS if column != "spread"]


def write(directory: Path, *lines: str, name: str = "lake.csv") -> Path:
    path = directory / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def read(path: Path, columns: str = "") -> list[Any]:
    chunks = read_file(path, ColumnNames.parse(columns))
    rows = [row for chunk in chunks for row in chunk.rows.to_pylist()]
    return [(row["book"], row["bid"], row["ask"]) for row in rows]


def bad_rows(path: Path) -> list[BadLine]:
    return [line for chunk in read_file(path) for line in chunk.bad]


def left_out(path: Path, columns: str = "") -> set[str]:
    chunks = read_file(path, ColumnNames.parse(columns))
    return {name for chunk in chunks for name in chunk.left_out}


def refusal(path: Path, columns: str = "") -> str:
    with pytest.raises(RefusedError) as refused:
        read(path, columns)
    message = str(refused.value)
    assert message.startswith(f"{path.name}: ")
    assert message.isprintable()
    return message


SPELLINGS = [
    (ours, spelling)
    for ours, names in SYNONYMS.items()
    for name in (ours, *names)
    for spelling in (name, name.upper(), f" {name}\t", f'"{name}"', name.replace("_", " "))
]


def test_every_name_in_every_spelling_is_read_by_name(tmp_path: Path) -> None:
    for ours, spelling in SPELLINGS:
        # Ask before bid: whoever reads by place has them the wrong way round.
        columns = ["orderbook_timestamp", "book", "ask", "bid", "spread"]
        header = ",".join(spelling if column == ours else column for column in columns)
        row = ",".join(VALUES[column] for column in columns)
        path = write(tmp_path, f"\ufeff{header}", row)
        assert read(path) == [("btc_mxn", "457240", "457250")], header
        assert left_out(path) == set()


@given(
    st.permutations([*COLUMNS, "volume", "", "is_above"]),
    st.sampled_from(["", "x y", "7", "2024-01-01", "NaN", "a'b", "'"]),
    st.sampled_from(["BTC_MXN", "btc_mxn", "\u212a_mxn", "b\x1b_mxn"]),
)
@settings(max_examples=200, deadline=None)
def test_in_any_order_both_readers_take_the_same(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], other: str, book: str
) -> None:
    values = {**VALUES, "book": book}
    line = ",".join(values.get(column, other) for column in columns)
    ours = tuple(column if column in COLUMNS else None for column in columns)
    try:
        exact = read_line(line, ours)
    except BadValueError:
        exact = None
    path = write(tmp_path_factory.getbasetemp(), ",".join(columns), line, line + ",", line)
    try:
        rows = read(path)
    except RefusedError:
        rows = []
    assert rows == ([exact[1:4]] * 2 if exact else [])
    assert (exact is not None) == (book in ("BTC_MXN", "btc_mxn"))


def test_without_one_that_is_needed_the_file_is_refused(tmp_path: Path) -> None:
    for missing in NEEDED:
        names = [f"su_{column}" if column == missing else column for column in NEEDED]
        path = write(tmp_path, ",".join(names), ",".join(VALUES[column] for column in NEEDED))
        message = refusal(path)
        assert f"there is no column {missing} among its columns {', '.join(names)}" in message
        assert f"--columns THEIRS={missing}" in message
        assert read(path, f"SU_{missing}={missing}") == [("btc_mxn", "457240", "457250")]


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        ("orderbook_timestamp,book,bid,ask,best_bid", "", "bid, best_bid are both bid"),
        ("time,timestamp,book,bid,ask", "", "time, timestamp are both orderbook_timestamp"),
        ("timestamp,book,bid,ask,BID", "", "bid, BID are both bid"),
        ("timestamp,book,bid,ask,ask", "", "ask, ask are both ask: keep one"),
        ("timestamp,book,bid,compra,ask", "compra=bid", "bid, compra are both bid"),
        ("timestamp;book;bid;ask", "", "the delimiter of its header must be a comma"),
        ("fecha,libro,compra,venta", "", "among its columns fecha, libro, compra, venta"),
        ("<html>", "", "among its columns <html>"),
        ("\x1b[31mtimestamp,book", "", r"\x1b[31mtimestamp"),
        (",".join(f"c{n}" for n in range(5000)), "", "c19, ...: say"),
    ],
)
def test_a_header_that_does_not_say_which_is_which(
    tmp_path: Path, header: str, columns: str, said: str
) -> None:
    assert said in refusal(write(tmp_path, header, *([",".join(VALUES.values())] * 3)), columns)


def test_what_is_none_of_ours_is_left_out_and_named(tmp_path: Path) -> None:
    names = ["", "time", "book", "bid", "ask", "best_bid", "event_date", "\x1b[2J"]
    row = ["0", *(VALUES[column] for column in NEEDED), "1", "2024-04-02", "x"]
    path = write(tmp_path, ",".join(names), ",".join(row))
    assert left_out(path, "best_bid=") == {"''", "best_bid", "event_date", r"\x1b[2J"}
    assert read(path, "best_bid=,event_date=") == [("btc_mxn", "457240", "457250")]


@pytest.mark.parametrize(
    "first",
    [
        "2024-04-02 10:00:07,btc_mxn,457240,457250,1", "'2024-04-02T10:00:07',btc_mxn,1,2,3",
        "yesterday,btc_mxn,1,2,3", "x,y,-.5,,", "02/04/2024 10:00,a,b,c,d", "0,1,2,3,4",
    ],
)  # fmt: skip
def test_a_first_line_with_a_number_or_a_time_is_a_row(tmp_path: Path, first: str) -> None:
    path = write(tmp_path, first, ",".join(VALUES.values()))
    assert read(path)[-1] == ("btc_mxn", "457240", "457250")


def test_a_name_that_is_a_number_makes_no_row_of_a_header(tmp_path: Path) -> None:
    row = "2024-04-02 10:00:07,btc_mxn,457250,457240,1"
    path = write(tmp_path, "timestamp,book,ask,bid,0", row)
    assert read(path) == [("btc_mxn", "457240", "457250")]


def test_another_header_in_the_midst_is_refused(tmp_path: Path) -> None:
    row = ",".join(VALUES.values())
    same = write(tmp_path, ",".join(COLUMNS), row, "TIMESTAMP,book,best_bid,best_ask,spread", row)
    assert len(read(same)) == 2
    for other in permutations(("orderbook_timestamp", "bid", "ask", "book")):
        path = write(tmp_path, ",".join(COLUMNS), row, ",".join(other), row)
        assert "another header in the midst of the file" in refusal(path)


def test_one_field_too_many_or_too_few_is_a_bad_row(tmp_path: Path) -> None:
    good = ",".join(VALUES.values())
    for header in ([",".join(COLUMNS)], []):
        wrong = [f"{good},x", f"{good},True", f"{good},", good.rpartition(",")[0]]
        path = write(tmp_path, *header, good, *wrong)
        assert [line.code for line in bad_rows(path)] == ["wrong_field_count"] * len(wrong)
        assert len(read(path)) == 1


def test_a_bad_row_is_never_read_by_place_when_it_is_redriven(tmp_path: Path) -> None:
    good = "2024-04-02 10:00:07,btc_mxn,457250,457240"
    path = write(tmp_path, "timestamp,book,ask,bid", good, f"{good},9", good.replace("57250", "x"))
    too_long, not_a_number = bad_rows(path)
    for line in (too_long, not_a_number):
        with pytest.raises(BadValueError, match=line.reason.partition(":")[0]):
            read_line(line.raw)
    # Mended by hand, both are read by their names.
    assert read_line(too_long.raw.removesuffix(",9"))[2:4] == ("457240", "457250")
    assert read_line(not_a_number.raw.replace("4x", "457250"))[2:4] == ("457240", "457250")


def as_parquet(directory: Path, names: Sequence[str], values: Sequence[str]) -> Path:
    path = directory / "lake.parquet"
    arrays = [pa.array([value]) for value in values]
    pq.write_table(pa.Table.from_arrays(arrays, list(names)), path)
    return path


def test_parquet_is_read_by_name_too(tmp_path: Path) -> None:
    names = ["Best_Ask", "extra", "BEST_BID", "book", "Timestamp", "extra"]
    values = ["457250", "x", "457240", "btc_mxn", "2024-04-02 10:00:07", "y"]
    path = as_parquet(tmp_path, names, values)
    assert read(path) == [("btc_mxn", "457240", "457250")]
    assert left_out(path) == {"extra"}
    for names[1] in ("bid", "best_bid"):
        assert "are both bid" in refusal(as_parquet(tmp_path, names, values))
    names[1:3] = "extra", "compra"
    path = as_parquet(tmp_path, names, values)
    assert "there is no column bid" in refusal(path)
    assert read(path, "compra=bid") == [("btc_mxn", "457240", "457250")]
