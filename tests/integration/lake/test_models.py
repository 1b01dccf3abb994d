"""The lake from its command line to the marts: in, joined with what was seen live, and out."""

import signal
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from loader.warehouse.postgres.connection import connect
from tests import market
from tests.conftest import BIN, Warehouse
from tests.waiting import wait_for_lock

HEADER = "orderbook_timestamp,book,bid,ask,spread"
START = datetime(2024, 5, 28, 23, 18, tzinfo=UTC)


def write_day(root: Path, name: str, book: str, pct: str, seconds: int = 120) -> None:
    """A file of an observation a second, of the same spread all along."""
    bid = 1000 - 10 * Decimal(pct)
    lines = [f"{START + timedelta(seconds=n)},{book},{bid},1000,{pct}\n" for n in range(seconds)]
    (root / name).write_text("".join([HEADER + "\n", *lines]))


def build(warehouse: Warehouse) -> None:
    """The models, for the first time."""
    warehouse.dbt("seed")
    market.build(warehouse)


def test_an_old_lake_joins_the_marts(warehouse: Warehouse, tmp_path: Path) -> None:
    write_day(tmp_path, "a.csv", "mxn_btc", "0.7")
    write_day(tmp_path, "b.csv", "usd_mxn", "0.05")
    done = warehouse.loader("lake", "import", tmp_path)
    assert "lake import: a.csv ... b.csv: 240 rows loaded, 0 duplicate" in done.stdout
    live = [
        market.Quote("btc_mxn", START + timedelta(seconds=n), "ticker", Decimal(999), Decimal(1000))
        for n in range(0, 120, 60)
    ]
    market.load(warehouse, live)
    warehouse.dbt("build", "--select", *market.SELECTION, "--exclude", "resource_type:unit_test")
    assert warehouse.rows(
        "select book, feed, is_primary, count(*), min(spread) from marts.spread_observations "
        "group by 1, 2, 3 order by 1, 2, 3"
    ) == [
        ("btc_mxn", "lake", False, 2, Decimal("0.7")),
        ("btc_mxn", "lake", True, 118, Decimal("0.7")),
        ("btc_mxn", "ticker", True, 2, Decimal("0.1")),
        ("usd_mxn", "lake", True, 120, Decimal("0.05")),
    ]
    episodes = warehouse.rows(
        "select book, threshold_pct, opened_at, observations from marts.spread_alerts "
        "where threshold_pct = 0.5 order by opened_at"
    )
    assert episodes == [
        ("btc_mxn", Decimal("0.5"), START + timedelta(seconds=1), 59),
        ("btc_mxn", Decimal("0.5"), START + timedelta(seconds=61), 59),
    ]
    before = warehouse.rows("select * from marts.spread_observations order by 1, 2, 3, 4")
    done = warehouse.loader("lake", "import", tmp_path / "a.csv")
    assert "0 rows loaded, 120 duplicate, 0 quarantined" in done.stdout
    market.build(warehouse)
    assert warehouse.rows("select * from marts.spread_observations order by 1, 2, 3, 4") == before


def test_two_quotes_of_one_instant_are_one_observation(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    lines = [
        f"2024-03-02 10:00:0{second},btc_mxn,{bid},100,"
        for second, bids in enumerate([(99.99, 99), (99.6, 99.7), (99.99, 99.98), (98, 98)])
        for bid in bids
    ]
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *lines, ""]))
    done = warehouse.loader("lake", "import", tmp_path)
    assert "7 rows loaded, 1 duplicate" in done.stdout
    build(warehouse)
    assert warehouse.rows("select count(*) from target.quotes") == [(7,)]
    assert warehouse.rows(
        "select opened_at, closed_at, observations from marts.spread_alerts "
        "where threshold_pct = 0.1 order by 1"
    ) == [
        (moment(0), moment(2), 2),
        (moment(3), None, 1),
    ]
    assert warehouse.rows(
        "select observations, breaches from marts.spread_hourly where threshold_pct = 0.5"
    ) == [(4, 2)]


def moment(second: int) -> datetime:
    """A second of the test above."""
    return datetime(2024, 3, 2, 10, 0, second, tzinfo=UTC)


def test_mended_rows_are_loaded_once(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "bid,ask,orderbook_timestamp,book\n"
        "1,2,yesterday,btc_mxn\n-1,2,2024-05-28 00:00:00,btc_mxn\n3,4,2024-05-28,btc_mxn\n"
        "5,6,2024-05-28 00:00:01,btc_mxn\n"
    )
    done = warehouse.loader("lake", "import", tmp_path)
    assert "1 row loaded, 0 duplicate, 3 quarantined" in done.stdout
    edited = tmp_path / "edited.txt"
    warehouse.loader("quarantine", "export", edited)
    text = edited.read_text()
    assert '"yesterday,btc_mxn,1,2,"' in text
    edited.write_text(
        text.replace("yesterday", "2024-05-28T00:00:02+00:00").replace(
            "2024-05-28,btc_mxn,3,4", "2024-05-28T00:00:01,btc_mxn,5.0,6.0"
        )
    )
    done = warehouse.loader("quarantine", "redrive", edited)
    assert done.stdout == "1 row loaded, 1 were loaded already, 1 stay in quarantine\n"
    assert done.stderr == "a.csv:3: bid is not above zero: -1\n"
    assert warehouse.rows(
        "select received_at, file_name, line_number from raw.spread_observations "
        "inner join raw.lake_files using (file_id) order by 1"
    ) == [
        (datetime(2024, 5, 28, 0, 0, 1, tzinfo=UTC), "a.csv", 5),
        (datetime(2024, 5, 28, 0, 0, 2, tzinfo=UTC), "a.csv", 2),
    ]
    assert warehouse.loader("quarantine", "redrive", edited).stdout.startswith("0 rows loaded")


def test_modelled_months_can_be_dropped(warehouse: Warehouse, tmp_path: Path) -> None:
    write_day(tmp_path, "a.csv", "btc_mxn", "0.7", seconds=3000)
    assert warehouse.loader("lake", "import", tmp_path).returncode == 0
    setting = {"WAREHOUSE_KEEP_DAYS_SPREAD_OBSERVATIONS": "30"}
    done = warehouse.loader("prune", **setting)
    assert "kept raw.spread_observations_202405: not known to be modelled" in done.stderr
    build(warehouse)
    # What has been seen last ends in the middle of the month: more of it may still come.
    done = warehouse.loader("prune", **setting)
    assert "kept raw.spread_observations_202405: modelled until 2024-05-29 00:07" in done.stderr
    (tmp_path / "b.csv").write_text(f"{HEADER}\n2024-06-01 00:00:00,btc_mxn,1,2,50\n")
    assert warehouse.loader("lake", "import", tmp_path).returncode == 0
    market.build(warehouse)
    assert "dropped raw.spread_observations_202405" in warehouse.loader("prune", **setting).stdout
    assert warehouse.loader("prune").stdout == "0 days dropped, 0 kept\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export"], 2, "say where, with --to or WAREHOUSE_LAKE"),
        (["export", "--to", "x", "--since", "lately"], 2, "is not a time such as 2026-11-01"),
        (["export", "--to", "x", "--since", "0001-01-01T00:00+14"], 2, "is not a time such as"),
        (["export", "--to", "x", "--since", "2026-11-01T00:01"], 2, "not at a whole ten minutes"),
        (["export", "--to", "x", "--by", "colour"], 2, "colour: not a layout (book-date, "),
        (["export", "--to", "x", "--format", "avro"], 2, "'avro' is not one of 'parquet', 'csv'"),
        (["export", "--to", "nope://key:secret@x"], 2, "--to is not an address such as s3://"),
        (["export", "--to", "x"], 1, "run `loader init` and `loader transform` first"),
        (["import", "nowhere"], 2, "nowhere: no such file or directory"),
        (["import"], 2, "Missing argument 'DIR|FILE'."),
    ],
)
def test_what_is_typed_wrong_gets_one_line(
    module_warehouse: Warehouse, arguments: list[str], code: int, message: str
) -> None:
    module_warehouse.activate()
    done = module_warehouse.call("loader", "lake", *arguments)
    assert message in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert "secret" not in done.stderr


def test_a_place_that_cannot_be_written_is_said(warehouse: Warehouse, tmp_path: Path) -> None:
    market.load(warehouse, market.market(3))
    build(warehouse)
    (tmp_path / "file").touch()
    done = warehouse.loader("lake", "export", "--to", tmp_path / "file")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Not a directory" in done.stderr
    [(status, error)] = warehouse.rows(
        "select status, error from ops.runs where job = 'lake export'"
    )
    assert status == "failed"
    assert "Not a directory" in error
    assert warehouse.rows("select from ops.cursors where job = 'lake export'") == []


def test_a_killed_import_leaves_nothing_half_done(warehouse: Warehouse, tmp_path: Path) -> None:
    write_day(tmp_path, "a.csv", "btc_mxn", "0.7")
    with (tmp_path / "a.csv").open("a") as file:
        file.write("yesterday,btc_mxn,1,2,3\n")
    count = "select count(*) from raw.spread_observations"
    with closing(connect()) as holder, holder.cursor() as cursor:
        # The rows are in when it comes to the bad one, and there it stays.
        cursor.execute("lock table ops.quarantine in share mode")
        killed = subprocess.Popen(
            [BIN / "loader", "lake", "import", tmp_path],
            cwd=warehouse.directory, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_lock(warehouse, "quarantine")
        second = warehouse.loader("lake", "import", tmp_path)
        assert (second.returncode, second.stderr.count("\n")) == (75, 1)
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        holder.rollback()
    assert warehouse.rows(count) == [(0,)]
    done = warehouse.loader("lake", "import", tmp_path)
    assert "a.csv: 120 rows loaded, 0 duplicate, 1 quarantined" in done.stdout
    assert warehouse.rows(count) == [(120,)]


def test_a_killed_export_leaves_whole_files_only(warehouse: Warehouse, tmp_path: Path) -> None:
    day = [
        market.Quote("btc_mxn", START + timedelta(seconds=n), "ticker", Decimal(n + 1), Decimal(9))
        for n in range(0, 30_000, 20)
    ]
    market.load(warehouse, day)
    build(warehouse)
    assert warehouse.loader("lake", "export", "--to", tmp_path / "whole").returncode == 0
    whole = contents(tmp_path / "whole")
    warehouse.rows("delete from ops.cursors")
    killed = subprocess.Popen(
        [BIN / "loader", "lake", "export", "--to", tmp_path / "killed"], cwd=warehouse.directory
    )
    while not contents(tmp_path / "killed"):
        assert killed.poll() is None
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    left = contents(tmp_path / "killed")
    assert 0 < len(left) < len(whole)
    assert left.items() <= whole.items()
    again = warehouse.loader("lake", "export", "--to", tmp_path / "killed")
    assert again.returncode == 0
    assert contents(tmp_path / "killed") == whole


def contents(root: Path) -> dict[str, bytes]:
    """What a reader of the lake sees: hidden files are nobody's."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("[!.]*.parquet")}
