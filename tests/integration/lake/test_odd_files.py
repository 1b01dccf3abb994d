"""Whatever lies in a lake: each file that is none costs itself, is named once, the others load."""

import gzip
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.lake import rows as lake_rows
from loader.lake.load import import_lake
from loader.warehouse.errors import RefusedError
from loader.warehouse.ledger.quarantine import BAD_ROWS_ALLOWED
from tests.conftest import BIN, Warehouse
from tests.faults import launcher
from tests.packing import PACKED

HEADER = "orderbook_timestamp,book,bid,ask,spread"
FILES = (
    "select file_name, count(*) from raw.spread_observations "
    "inner join raw.lake_files using (file_id) group by 1 order by 1"
)


@pytest.fixture
def lake(module_warehouse: Warehouse, tmp_path: Path) -> Path:
    """A directory to fill; what a test before has imported is gone."""
    module_warehouse.activate()
    module_warehouse.rows(
        "truncate raw.spread_observations, raw.lake_files, ops.runs, ops.quarantine cascade"
    )
    return tmp_path


def row(second: int, bid: str = "1.5") -> str:
    return f"2024-05-28T23:{second // 60:02}:{second % 60:02}+00:00,btc_mxn,{bid},2,25\n"


def good(path: Path, second: int = 0) -> Path:
    path.write_text(HEADER + "\n" + row(second))
    return path


def imported(
    warehouse: Warehouse, *arguments: object, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = warehouse.call("loader", "lake", "import", *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.replace("\n", "").isprintable()
    assert done.stdout.replace("\n", "").isprintable()
    return done


def test_what_is_no_file_is_refused_at_once_and_the_others_go_on(
    module_warehouse: Warehouse, lake: Path
) -> None:
    good(lake / "a.csv")
    os.mkfifo(lake / "pipe.csv")
    (lake / "nowhere.csv").symlink_to("gone.csv")
    (lake / "circle.parquet").symlink_to("circle.parquet")
    (lake / "link.csv").symlink_to("a.csv")
    (lake / "folder.csv").mkdir()
    (lake / "linked.csv").symlink_to("folder.csv")
    (lake / "spark.csv").mkdir()
    good(lake / "spark.csv" / "part-0.csv", 1)
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(lake / "socket.csv"))
        done = imported(module_warehouse, lake, code=1)
    assert module_warehouse.rows(FILES) == [("a.csv", 1), ("spark.csv/part-0.csv", 1)]
    refused = {
        "pipe.csv": "a pipe", "nowhere.csv": "a symbolic link", "circle.parquet": "a symbolic link",
        "link.csv": "a symbolic link", "folder.csv": "a directory", "socket.csv": "a socket",
        "linked.csv": "a symbolic link",
    }  # fmt: skip
    for name, kind in refused.items():
        assert done.stderr.count(f"{name}: {kind}, not a file\n") == 1
    assert done.stderr.endswith("loader: 7 of 9 files refused\n")
    # An empty directory by itself is one of files.
    for name in [*refused.keys() - {"folder.csv"}, "/dev/zero"]:
        alone = imported(module_warehouse, lake / name, code=1)
        assert alone.stderr.count("\n") == 1


def test_what_lies_beside_data_is_named_and_no_error(
    module_warehouse: Warehouse, lake: Path
) -> None:
    good(lake / "a.csv")
    beside = [".a.csv.crc", ".DS_Store", "_SUCCESS", "README", "notes.txt", "b.csv.part"]
    for name in beside:
        (lake / name).write_text("x")
    (lake / "_temporary").mkdir()
    good(lake / "_temporary" / "c.csv")
    (lake / "latest").symlink_to(lake)
    done = imported(module_warehouse, lake)
    assert done.stderr.count("\n") == 1
    assert ": left alone: " in done.stderr
    for name in [*beside, "_temporary", "latest"]:
        assert name in done.stderr
    assert module_warehouse.rows(FILES) == [("a.csv", 1)]
    for number in range(100):
        (lake / f"{number}.txt").touch()
    assert " and 98 more\n" in imported(module_warehouse, lake).stderr


def test_any_name_is_read_and_shown_on_one_line(module_warehouse: Warehouse, lake: Path) -> None:
    names = [b"line\nend.csv", b"\x1b[2Jescape.csv", b"latin\xf1.csv", b"x" * 251 + b".csv"]
    names += ["ñandú \u202egpj.csv".encode(), b"; drop table.csv", b"-rf.csv", b"%s%n.csv"]
    for second, name in enumerate(names):
        good(Path(os.fsdecode(os.fsencode(lake) + b"/" + name)), second)
    deep = lake.joinpath(*["d" * 250] * 13)
    deep.mkdir(parents=True)
    good(deep / "deep.csv", 90)
    (deep / "bad.csv").write_text("<html>")
    done = imported(module_warehouse, lake, code=1)
    assert max(map(len, done.stderr.splitlines())) < 1500
    found = module_warehouse.rows(FILES)
    assert len(found) == len(names) + 1
    assert all(name.isprintable() and rows == 1 for name, rows in found)
    assert imported(module_warehouse, deep / "deep.csv").stdout.startswith(
        "lake import: deep.csv: 0 rows loaded, 1 duplicate"
    )
    # Beyond what the system opens, one line all the same.
    inside = os.open(deep, os.O_RDONLY)
    for _ in range(4):
        os.mkdir("f" * 250, dir_fd=inside)
        outside, inside = inside, os.open("f" * 250, os.O_RDONLY, dir_fd=inside)
        os.close(outside)
    os.close(inside)
    done = imported(module_warehouse, lake, code=1)
    assert done.stderr.count("cannot be looked into: File name too long") == 1
    done = imported(module_warehouse, deep / ("e" * 300), code=2)
    assert "file name too long" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "A.CSV.ZIP", "a.parquet"])
def test_packed_files_are_found_and_read_by_their_content(
    module_warehouse: Warehouse, lake: Path, name: str
) -> None:
    plain = good(lake / "content").read_bytes()
    if name == "a.parquet":
        table = pa.table({"timestamp": ["2024-05-28T23:00:00"], "book": ["btc_mxn"], "bid": [1.5],
                          "ask": [2]})  # fmt: skip
        pq.write_table(table, lake / "content")
        plain = (lake / "content").read_bytes()
    (lake / "content").unlink()
    for pack in PACKED.values():
        (lake / name).write_bytes(pack(plain))
        imported(module_warehouse, lake)
        assert module_warehouse.rows(FILES) == [(name, 1)]


def test_a_damaged_archive_and_what_only_looks_like_data(
    module_warehouse: Warehouse, lake: Path
) -> None:
    content = good(lake / "a.csv").read_bytes()
    (lake / "half.csv.gz").write_bytes(gzip.compress(content * 500)[:-9])
    (lake / "text.parquet").write_bytes(content)
    (lake / "empty.csv").touch()
    (lake / "blank.csv").write_text("\n" * 70_000)
    (lake / "zeros.csv").write_bytes(bytes(9_000))
    (lake / "utf16.csv").write_bytes(content.decode().encode("utf-16"))
    (lake / "mac.csv").write_bytes(content.replace(b"\n", b"\r"))
    done = imported(module_warehouse, lake, code=1)
    for said in (
        "half.csv.gz: the compressed file ends early: it is half-written",
        "text.parquet: not a Parquet file: it does not begin with PAR1",
        "empty.csv: the file is empty",
        "blank.csv: the file is empty",
        "zeros.csv: there is no",
        "loader: 5 of 8 files refused",
    ):
        assert done.stderr.count(said) == 1, done.stderr
    assert "1 row loaded, 2 duplicate, 0 quarantined" in done.stdout


def test_the_first_reasons_are_said_where_no_row_can_be_read(
    module_warehouse: Warehouse, lake: Path
) -> None:
    # As BigQuery writes times.
    lines = ["2024-04-02 10:03:07 UTC,btc_mxn,1.5,1.0,33.3", "2024-04-02 10:03:08,x,1,2,3"]
    (lake / "lake.csv").write_text("\n".join([HEADER, *lines]))
    done = imported(module_warehouse, lake, code=1)
    assert done.stderr == (
        "loader: lake.csv: none of its 2 rows can be read: row 2: orderbook_timestamp is not a "
        "time such as 2024-05-28T23:18:01+00:00: 2024-04-02 10:03:07 UTC; row 3: book is not the "
        "name of a book such as btc_mxn: x\n"
    )
    assert module_warehouse.rows("select status, rows_inserted from ops.runs") == [("refused", 0)]
    assert module_warehouse.rows("select from ops.quarantine") == []


def test_the_first_bad_rows_of_a_run_are_told_once(module_warehouse: Warehouse, lake: Path) -> None:
    for name in "abcd":
        (lake / f"{name}.csv").write_text(f"{row(0)}{row(1, 'x')}{row(2, '-1')}")
    done = imported(module_warehouse, lake)
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        "a.csv:2", "a.csv:3", "b.csv:2",
    ]  # fmt: skip
    assert "1 row loaded, 3 duplicate, 8 quarantined" in done.stdout


@pytest.mark.parametrize("batch", [7, 200_000])
def test_too_many_bad_rows_refuse_a_file_and_leave_nothing_of_it(
    module_warehouse: Warehouse, lake: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(lake_rows, "BATCH_ROWS", batch)
    monkeypatch.setattr("loader.lake.reading.CHUNK_ROWS", 10)
    good_rows = [row(second) for second in range(60)]
    bad = [row(0, bid=f"-{n}") for n in range(BAD_ROWS_ALLOWED + 1)]
    good(lake / "a.csv", 3000)
    (lake / "b.csv").write_text("".join([HEADER + "\n", *good_rows, *bad[1:]]))
    (lake / "c.csv").write_text("".join([HEADER + "\n", *good_rows, *bad]))
    good(lake / "d.csv", 3001)
    done = imported(module_warehouse, lake, code=1)
    assert (
        "c.csv: 21 of 81 rows are bad, more than 1 %: row 62: bid is not above zero" in done.stderr
    )
    assert module_warehouse.rows(FILES) == [("a.csv", 1), ("b.csv", 60), ("d.csv", 1)]
    [counted] = module_warehouse.rows(
        "select rows_read, rows_inserted, rows_duplicate, rows_quarantined from ops.runs"
    )
    assert counted == (82, 62, 0, 20)
    # As many as one likes, where one says so; what was loaded before is loaded.
    done = module_warehouse.call("loader", "lake", "import", lake, WAREHOUSE_BAD_ROWS_PERCENT="26")
    assert (done.returncode, "0 rows loaded, 142 duplicate, 21" in done.stdout) == (0, True)


@pytest.mark.parametrize("batch", [7, 200_000])
def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    module_warehouse: Warehouse, lake: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(lake_rows, "BATCH_ROWS", batch)
    monkeypatch.setattr("loader.lake.reading.CHUNK_ROWS", 10)
    good(lake / "a.csv", 3000)
    changing = lake / "b.csv"
    changing.write_text("".join([HEADER + "\n", *(row(second) for second in range(60))]))
    hold = lake_rows.ObservationRows._hold

    def hold_and_write(self: lake_rows.ObservationRows, place: str, chunk: object) -> None:
        hold(self, place, chunk)  # type: ignore[arg-type]
        if place == "b.csv":
            with changing.open("a") as file:
                file.write(row(61))

    monkeypatch.setattr(lake_rows.ObservationRows, "_hold", hold_and_write)
    with pytest.raises(RefusedError, match="1 of 2 files refused"):
        list(import_lake(lake))
    assert module_warehouse.rows(FILES) == [("a.csv", 1)]
    [(refused,)] = module_warehouse.rows("select detail -> 'refused' from ops.runs")
    assert refused == {"b.csv": "b.csv: the file changed while it was read"}
    monkeypatch.undo()
    assert [run.rows_inserted for run in import_lake(lake)] == [61]


def test_columns_that_nobody_knows_are_mapped_or_left_out_by_name(
    module_warehouse: Warehouse, lake: Path
) -> None:
    file = lake / "lake.csv"
    file.write_text("fecha,libro,venta,compra,nota\n2024-05-28 00:00:00,btc_mxn,2,1,x\n")
    said = imported(module_warehouse, file, code=1).stderr
    assert said == (
        "loader: lake.csv: there is no column orderbook_timestamp, book, bid, ask among its "
        "columns fecha, libro, venta, compra, nota: say which they are with --columns "
        "THEIRS=orderbook_timestamp,THEIRS=book,THEIRS=bid,THEIRS=ask\n"
    )
    columns = "fecha=orderbook_timestamp,libro=book,compra=bid,venta=ask"
    done = imported(module_warehouse, file, "--columns", columns)
    assert done.stderr == "lake.csv: columns left out: nota\n"
    [prices] = module_warehouse.rows("select bid, ask from raw.spread_observations")
    assert prices == (1, 2)
    [(detail,)] = module_warehouse.rows("select detail -> 'left_out' from ops.runs "
                                        "where status = 'succeeded'")  # fmt: skip
    assert detail == ["nota"]
    wrong = imported(module_warehouse, file, "--columns", "compra=bdi", code=2)
    assert "did you mean bid?" in wrong.stderr


def test_a_large_file_of_any_kind_takes_150_mb(module_warehouse: Warehouse, lake: Path) -> None:
    seconds = 300_000
    moments = pa.array(range(1716854400, 1716854400 + seconds)).cast(pa.timestamp("s"))
    price = pa.array([1000 + (n * 7919 % 100_003) / 100 for n in range(seconds)])
    book = pa.repeat(pa.scalar("btc_mxn"), seconds)
    columns = {"timestamp": moments, "book": book, "bid": price, "ask": price}
    pq.write_table(pa.table(columns), lake / "one-row-group.parquet", row_group_size=seconds)
    # A text of a megabyte on every row, which is there once.
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 8_000), pa.array(["x" * (1 << 20)]))
    table = pa.table({name: column[:8_000] for name, column in columns.items()} | {"book": long})
    pq.write_table(table, lake / "long-text.parquet", row_group_size=seconds)
    with gzip.open(lake / "blank.csv.gz", "wb", 1) as file:
        file.write(b"\n" * (20 << 20))
    with (lake / "bad.csv").open("w") as text:
        text.write(f"{HEADER}\n{row(0)}" + "x\n" * 20_000 + ("y" * 500_000 + "\n") * 30)
    report = lake.parent / "report"
    done = subprocess.run(
        [sys.executable, launcher.__file__, report, "0", "all", BIN / "loader", "lake", "import",
         lake],
        env={**os.environ, "WAREHOUSE_BAD_ROWS_PERCENT": "100"}, cwd=module_warehouse.directory,
        stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    code, _, kilobytes = report.read_text().splitlines()[-1].split()
    assert (code, done.stderr.splitlines()[-1]) == ("1", "loader: 2 of 4 files refused")
    assert int(kilobytes) <= 150 << 10
    counted = module_warehouse.rows("select rows_inserted, rows_quarantined from ops.runs")
    assert counted == [(seconds + 1, 20_030)]
