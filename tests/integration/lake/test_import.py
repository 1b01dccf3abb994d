"""Old lakes into raw: every layout and its quirks, each observation once."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.lake import load as lake_import
from loader.lake.load import import_lake
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger.runs import LedgerRun
from tests.conftest import Warehouse
from tests.ledger import counts

HEADER = "orderbook_timestamp,book,bid,ask,spread"
ONE = "2024-05-28T23:18:01+00:00,btc_mxn,1134190.5,1134999,0.071"
TWO = "2024-05-28T23:18:02+00:00,btc_mxn,1134190.5,1135000,0.071"
AT_ONE = datetime(2024, 5, 28, 23, 18, 1, tzinfo=UTC)


def write(root: Path, name: str, *lines: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_parquet(root: Path, name: str, **columns: Any) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def held(warehouse: Warehouse) -> list[Any]:
    return warehouse.rows(
        "select received_at, book, bid::text, ask::text, file_name, line_number "
        "from raw.spread_observations inner join raw.lake_files using (file_id) order by 1, 2, 3, 4"
    )


def _hive_day(root: Path) -> None:
    write(root, "book=btc_mxn/year=2024/month=05/day=28/btc_mxn_20240528231000.csv", HEADER, ONE)


def _plain_hour(root: Path) -> None:
    write(root, "btc_mxn/2024-05-28/23/a.csv", HEADER + ",is_above", ONE + ",False")


def _no_header(root: Path) -> None:
    write(root, "date=20240528/order_book=btc_mxn/minutes=1390/part-0.csv", ONE)


def _repeated_header(root: Path) -> None:
    path = "year=2024/month=05/day=28/hour=23/book=btc_mxn/data.csv"
    write(root, path, HEADER, ONE, HEADER, ONE, "", ONE)


def _parquet(root: Path) -> None:
    write_parquet(
        root, "book=btc_mxn/year=2024/month=05/day=28/hour=05/x.parquet",
        orderbook_timestamp=pa.array([AT_ONE], pa.timestamp("ns", "UTC")), book=["btc_mxn"],
        bid=pa.array([1134190.5], pa.float32()), ask=pa.array([1134999.0], pa.float32()),
        spread=[0.071],
    )  # fmt: skip


def _unpadded(root: Path) -> None:
    path = "year=2024/month=5/day=28/hour=23/minute=18/x.csv"
    write(root, path, HEADER, "2024-05-28 23:18:01,BTC_MXN,1.1341905e+06,1134999,7.1e-2")


def _quoted(root: Path) -> None:
    line = "'2024-05-28T23:18:01',1134190.50,1134999.0,0.071"
    write(root, "btc_mxn/20240528/2310/data.csv", line)


@pytest.mark.parametrize(
    "layout",
    [_hive_day, _plain_hour, _no_header, _repeated_header, _parquet, _unpadded, _quoted],
)
def test_every_layout_says_the_same(
    warehouse: Warehouse, tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    layout(tmp_path)
    [run] = import_lake(tmp_path)
    [row] = held(warehouse)
    assert row[:4] == (AT_ONE, "btc_mxn", "1134190.5", "1134999")
    assert (run.rows_inserted, run.rows_quarantined) == (1, 0)
    [again] = import_lake(tmp_path)
    assert counts(again) == (run.rows_read, 0, run.rows_read, 0)
    assert held(warehouse) == [row]


def test_bad_rows_are_set_aside_once_with_their_place(warehouse: Warehouse, tmp_path: Path) -> None:
    bad = [
        ONE.replace("28T23", "32T23"), ONE.replace("1134190.5", "-1"), ONE.replace("btc_mxn", "x"),
        ONE.replace("2024", "1970"), ONE.replace("1134999", "NaN"), "a,b", ONE + ",x,y",
    ]  # fmt: skip
    write(tmp_path, "a.csv", HEADER, ONE, *bad, TWO)
    [run] = import_lake(tmp_path)
    assert counts(run) == (9, 2, 0, 7)
    assert [row[4:] for row in held(warehouse)] == [("a.csv", 2), ("a.csv", 10)]
    rows = warehouse.rows("select location, reason_code, raw from ops.quarantine order by 1")
    assert [(place, raw) for place, _, raw in rows] == [
        (f"a.csv:{line}", raw) for line, raw in enumerate(bad, start=3)
    ]
    assert [code for _, code, _ in rows] == [
        "bad_time", "not_positive", "not_a_book", "bad_time", "not_a_number",
        "wrong_field_count", "wrong_field_count",
    ]  # fmt: skip
    [run] = import_lake(tmp_path)
    assert counts(run) == (9, 0, 9, 0)


def test_floats_are_the_shortest_decimal_that_means_them(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    write_parquet(
        tmp_path, "a.parquet",
        orderbook_timestamp=["2024-05-28T17:18:01-06:00"], book=["usd_mxn"],
        bid=pa.array([20.277], pa.float32()), ask=pa.array([1.2345e-7], pa.float64()),
        spread=[float("nan")],
    )  # fmt: skip
    list(import_lake(tmp_path))
    assert [row[:4] for row in held(warehouse)] == [(AT_ONE, "usd_mxn", "20.277", "0.00000012345")]


def test_a_file_that_is_none_is_refused_and_the_others_load(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    whole = write_parquet(tmp_path, "z.parquet", orderbook_timestamp=[ONE[:19]], bid=[1], ask=[2])
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-9])
    whole.unlink()
    (tmp_path / "junk.csv").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "link.csv").symlink_to(write(tmp_path, "good.csv", ONE))
    write(tmp_path, "wrong.csv", "orderbook_timestamp,bid,ask", "2024-05-28T23:18:01,1,2")
    runs: list[LedgerRun] = []
    with pytest.raises(RefusedError, match="5 of 6 files refused"):
        runs.extend(import_lake(tmp_path))
    assert warehouse.rows("select status, detail -> 'refused' from ops.runs")[0][0] == "succeeded"
    [(refused,)] = warehouse.rows("select detail -> 'refused' from ops.runs")
    assert sorted(refused) == ["cut.parquet", "empty.csv", "junk.csv", "link.csv", "wrong.csv"]
    assert [row[4] for row in held(warehouse)] == ["good.csv"]


def test_a_run_that_is_refused_whole_leaves_the_next_ones_alone(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_import, "RUN_FILES", 1)
    write(tmp_path, "a.csv", "<html>")
    write(tmp_path, "b.csv", ONE)
    with pytest.raises(RefusedError, match="1 of 2 files refused"):
        list(import_lake(tmp_path))
    assert [row[4] for row in held(warehouse)] == ["b.csv"]
    assert warehouse.rows("select status, rows_inserted from ops.runs order by run_id") == [
        ("refused", 0), ("succeeded", 1),
    ]  # fmt: skip


def test_a_big_file_that_breaks_off_leaves_nothing_of_itself(
    warehouse: Warehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("loader.lake.rows.BATCH_ROWS", 10)
    monkeypatch.setattr("loader.lake.reading.CHUNK_BYTES", 1000)
    write(tmp_path, "a.csv", ONE)
    lines = [
        TWO.replace(":02+", f":{n % 60:02}+").replace("18", f"{n // 60:02}") for n in range(600)
    ]
    write(tmp_path, "b.csv", *lines, *["x"] * 21)
    write(tmp_path, "c.csv", TWO)
    with pytest.raises(RefusedError, match="1 of 3 files"):
        list(import_lake(tmp_path))
    # Refused for its end, when much of it had been written.
    assert "b.csv: 21 of 621 rows are bad" in caplog.text
    assert [row[4] for row in held(warehouse)] == ["a.csv", "c.csv"]
    assert warehouse.rows("select rows_read, rows_inserted from ops.runs") == [(2, 2)]


@pytest.mark.parametrize("chunk", [1000, 1 << 20])
def test_a_line_of_megabytes_costs_itself(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("loader.lake.reading.CHUNK_BYTES", chunk)
    for name, long in {"a.csv": "x" * (3 << 20), "b.csv": TWO + "0" * (3 << 20)}.items():
        for lines in ([ONE, long, TWO], [ONE, TWO, long]):
            warehouse.rows("truncate raw.spread_observations, raw.lake_files, ops.runs, "
                           "ops.quarantine cascade")  # fmt: skip
            write(tmp_path, name, *lines)
            [run] = import_lake(tmp_path / name)
            assert (run.rows_inserted, run.rows_quarantined) == (2, 1)
            [(raw,)] = warehouse.rows("select raw from ops.quarantine")
            assert raw.startswith(long[:1000])
            assert len(raw) < 10_000


def test_months_have_partitions(warehouse: Warehouse, tmp_path: Path) -> None:
    write(tmp_path, "a.csv", ONE, ONE.replace("-05-28", "-06-01"))
    list(import_lake(tmp_path))
    assert warehouse.rows(
        "select tableoid::regclass::text from raw.spread_observations order by 1"
    ) == [("raw.spread_observations_202405",), ("raw.spread_observations_202406",)]


@pytest.mark.usefixtures("warehouse")
def test_a_directory_without_files_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "_temporary").mkdir()
    write(tmp_path, "_temporary/a.csv", ONE)
    with pytest.raises(UsageError, match=r"no \.csv or \.parquet file"):
        list(import_lake(tmp_path))
