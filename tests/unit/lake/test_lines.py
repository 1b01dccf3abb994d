"""Lines of lakes: the quick reader takes what the exact one takes; what goes out comes back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loader.lake.columns import LakeLines
from loader.lake.export import HEADER, Window
from loader.lake.header import FileColumns
from loader.lake.lines import COLUMNS, read_line
from loader.lake.reading import read_file
from loader.warehouse.values import BadValueError

START = datetime(2024, 5, 28, 23, 10, tzinfo=UTC)

TIMES = st.sampled_from([
    "2024-05-28T23:18:01", "2024-05-28 23:18:01", "2024-05-28T23:18:01Z", "2024-05-28T23:18:01.5",
    "2024-05-28T23:18:01.123456+00:00", "'2024-05-28T23:18:01'", '"2024-05-28 23:18:01+00"',
    "2024-05-28T17:18:01-06:00", "2024-05-28T23:18:01.1234567", "2024-05-28T24:00:00",
    "2024-02-30T00:00:00", "2024-05-28", "2009-12-31T23:59:59", "2999-01-01T00:00:00", "", "now",
])  # fmt: skip
BOOKS = st.sampled_from(["btc_mxn", "BTC_MXN", "1inch_usd", " usd_mxn", "btc", "", "a_b_c", "é_é"])
NUMBERS = st.one_of(
    st.sampled_from([
        "1", "0", "-1", "1.50", "0.000", "00.1", ".5", "1.", "1e5", "1E-7", "nan", "NaN", "inf", "",
        "None", " 1", "1134190.5", "9" * 19, "9" * 20, "0." + "0" * 17 + "1", "0." + "0" * 18 + "9",
        "0." + "1" * 19, "1_000", "\uff11",
    ]),
    st.decimals(min_value=0, max_value=10**12, allow_nan=False).map(str),
)  # fmt: skip
LINES = st.one_of(
    st.tuples(TIMES, BOOKS, NUMBERS, NUMBERS, NUMBERS).map(",".join),
    st.tuples(TIMES, BOOKS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["True", "", "0", "x y"]))
    .map(",".join),
    st.sampled_from(["", ",".join(HEADER), "a,b", '"', ",,,,"]),
)  # fmt: skip


@given(st.lists(LINES, max_size=8))
@example(["2024-05-28T23:18:01,btc_mxn,1.0,2,", "2024-05-28T99:18:01,btc_mxn,1.0,2,"])
@settings(max_examples=400, deadline=None)
def test_both_readers_take_the_same(lines: list[str]) -> None:
    expected: list[tuple[Any, ...]] = []
    for number, line in enumerate(lines, start=1):
        if line not in ("", ",".join(HEADER)):
            try:
                expected.append((*read_line(line), number))
            except BadValueError as error:
                expected.append((number, error.code))
    chunk = LakeLines(FileColumns(COLUMNS)).read(pa.array(lines, pa.string()), 1)
    found = [(line.line, line.code) for line in chunk.bad]
    rows = chunk.rows.to_pylist()
    for row in rows:
        row["received_at"] = row["received_at"].replace(tzinfo=UTC)
    read = [*(tuple(row.values()) for row in rows), *found]
    assert sorted(read, key=lambda row: row[-1] if len(row) > 2 else row[0]) == expected


SPREADS = st.none() | st.decimals(min_value=-(10**13), max_value=100, places=12)
PRICES = st.decimals(min_value=Decimal("1e-18"), max_value=10**19 - 1, places=18)


@given(
    st.lists(
        st.tuples(st.integers(0, 599_999_999), PRICES, PRICES, SPREADS),
        min_size=1, max_size=20,
    )
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_what_is_exported_is_imported_the_same(
    rows: list[tuple[int, Decimal, Decimal, Decimal | None]],
) -> None:
    observations = [
        (START + timedelta(microseconds=microseconds), "btc_mxn", bid, ask)
        for microseconds, bid, ask, _ in rows
    ]
    lines = [
        f"{at.isoformat()},{book},{_trimmed(bid)},{_trimmed(ask)},"
        f"{'' if spread is None else _trimmed(spread)}\n"
        for (at, book, bid, ask), (_, _, _, spread) in zip(observations, rows, strict=True)
    ]
    window = Window("btc_mxn", START, "".join(lines).encode())
    with TemporaryDirectory() as directory:
        for content, name in ((window.as_parquet(), "a.parquet"), (window.as_csv(), "a.csv")):
            path = Path(directory, name)
            path.write_bytes(content)
            [chunk] = read_file(path)
            assert chunk.bad == []
            assert [
                (row["received_at"].replace(tzinfo=UTC), row["book"], Decimal(row["bid"]),
                 Decimal(row["ask"]))
                for row in chunk.rows.to_pylist()
            ] == observations  # fmt: skip
            assert window.as_parquet() == window.as_parquet()
    assert COLUMNS == HEADER


def _trimmed(number: Decimal) -> str:
    """As Postgres writes a number that is as short as it can be."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
