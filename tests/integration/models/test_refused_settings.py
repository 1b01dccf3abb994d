"""Settings that cannot be meant: refused in one line, and nothing of the run is built."""

import shutil
from pathlib import Path

import pytest

from loader.operations.dbt import _complaints
from loader.warehouse.settings import PROJECT_ROOT
from tests import market
from tests.conftest import Warehouse
from tests.market import START

# Rows of a seed as they may be typed, each with what is said of it: values at and past each limit,
# and of each wrong shape.
NO_NUMBERS = ("NaN", "nan", "-0.000000000001", "-1", "Infinity", "-Infinity", "1e6", "abc", "0;5")
NO_COUNTS = ("0", "-1", "1.5", "2147483648", "NaN", "some")
THRESHOLDS = {
    **{f"*,{text},,,default": "threshold_pct is no number" for text in NO_NUMBERS},
    **{f"a{n}_b,1,{text},,default": f"close_below_pct is no number from 0 on: {text}"
       for n, text in enumerate(NO_NUMBERS)},
    **{f"c{n}_d,1,,{text},default": f"min_observations is no whole number from 1 on: {text}"
       for n, text in enumerate(NO_COUNTS)},
    "x_y,0.5,0.500000000001,,default": "close_below_pct is above the threshold: 0.500000000001",
    "x_y,1,,,": "book or channel is missing",
}  # fmt: skip
GOOD_THRESHOLDS = (
    "*,0,,,default", "*,999999.999999999999,,,default", "x_y,0.5,0.5,1,default",
    "x_z,0.5,0,2147483647,default", "*,-0,0.0,,default", "x_v,1e-3,1E-4,,default",
)  # fmt: skip
SEEDS = {
    "spread_thresholds": "book,threshold_pct,close_below_pct,min_observations,channel",
    "feeds": "feed,interval_seconds",
    "book_aliases": "alias,book",
    "known_event_types": "event_name,is_login",
}
BUILT = (
    "select relname, pg_class.oid, relfilenode from pg_class where relnamespace in "
    "('target'::regnamespace, 'marts'::regnamespace) and relkind in ('r', 'i') order by 1"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, whose seeds a test may write."""
    for folder in ("dbt_project", "seeds/reference"):
        shutil.copytree(
            PROJECT_ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("target/*.json")
        )
    return tmp_path


def write(project: Path, seed: str, rows: tuple[str, ...] | list[str]) -> None:
    text = "\n".join([SEEDS[seed], *rows, ""])
    (project / "seeds" / "reference" / f"{seed}.csv").write_text(text)


def build(warehouse: Warehouse, project: Path, *options: str) -> tuple[int, str]:
    """A build as it is typed: its exit code, and the line that `loader transform` makes of it."""
    done = warehouse.run(
        "dbt", "--no-use-colors", "build", "--exclude-resource-type", "test", "unit_test",
        "--project-dir", str(project / "dbt_project"), *options, COVERAGE_PROCESS_CONFIG="",
    )  # fmt: skip
    lines = [line[10:].strip() if line[2:3] == ":" else line for line in done.stdout.splitlines()]
    return done.returncode, next(_complaints(lines), "")


def list_book(warehouse: Warehouse, book: str) -> None:
    """A catalogue of the exchange's with one book."""
    run_id = market.open_run(warehouse, "books")
    warehouse.rows("select raw.ensure_day('bitso_books', %s)", START.date())
    warehouse.rows(
        "insert into raw.bitso_books (received_at, book, payload, run_id) "
        "values (%s, %s, '{}', %s)",
        START, book, run_id,
    )  # fmt: skip
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = 1, "
        "rows_inserted = 1 where run_id = %s",
        run_id,
    )


def test_a_file_that_is_wrong_stops_a_run_before_it_takes_anything_in(
    warehouse: Warehouse, project: Path
) -> None:
    quotes = market.market(3, hours=0.3)
    market.load(warehouse, quotes[::2])
    list_book(warehouse, "usd_mxn")
    # Not even the first run takes an alias for what Bitso lists.
    write(project, "book_aliases", ["usd_mxn,btc_mxn"])
    code, said = build(warehouse, project)
    assert (code, warehouse.rows("select to_regclass('target.quotes')")) == (1, [(None,)])
    assert "book_aliases.csv is refused: usd_mxn: hides the book of that name" in said
    write(project, "book_aliases", ["old_mxn,btc_mxn", "OLD_mxn,usd_mxn"])
    code, said = build(warehouse, project)
    assert code == 1
    assert "book_aliases.csv is refused: old_mxn: is the alias of 2 books" in said
    write(project, "book_aliases", ["usd_mxn,usd_mxn", "mxn_usd,usd_mxn"])
    write(project, "spread_thresholds", GOOD_THRESHOLDS)
    assert build(warehouse, project) == (0, "")

    before = (warehouse.rows(BUILT), market.digests(warehouse, market_tables()))
    market.load(warehouse, quotes)
    write(project, "spread_thresholds", list(THRESHOLDS))
    code, said = build(warehouse, project)
    assert code == 1
    assert "seeds/reference/spread_thresholds.csv is refused: " in said
    assert said.count("; ") == len(THRESHOLDS) - 1
    for fault in THRESHOLDS.values():
        assert fault in said
    assert (warehouse.rows(BUILT), market.digests(warehouse, market_tables())) == before
    # Not loaded either: who runs the models alone goes on with what held.
    assert warehouse.rows("select count(*) from reference.spread_thresholds") == [
        (len(GOOD_THRESHOLDS),)
    ]
    write(project, "spread_thresholds", GOOD_THRESHOLDS)
    write(project, "feeds", [f"feed_{n},{text}" for n, text in enumerate(NO_COUNTS)])
    code, said = build(warehouse, project, "--select", "+marts.spread")
    assert (code, said.count("interval_seconds is no whole number")) == (1, len(NO_COUNTS)), said


def test_no_login_is_lost_to_an_emptied_column(warehouse: Warehouse, project: Path) -> None:
    """Whatever spreadsheet it went through, an event type says whether it is a login."""
    is_neither = "is_login is neither true nor false: "
    no_login = "is_login: no event is a login"
    for rows, faults in (
        (["login,", "logout,maybe", "other,FALSE"],
         [f"login: {is_neither}missing", f"logout: {is_neither}maybe", no_login]),
        ([], [no_login]),
    ):  # fmt: skip
        write(project, "known_event_types", rows)
        code, said = build(warehouse, project, "--select", "known_event_types")
        assert code == 1
        assert "seeds/reference/known_event_types.csv is refused: " in said
        assert [fault for fault in faults if fault not in said] == []
        assert said.count("; ") == len(faults) - 1


@pytest.mark.parametrize("seed", ["spread_thresholds", "book_aliases"])
def test_a_file_with_its_header_only_is_taken_in(
    warehouse: Warehouse, project: Path, seed: str
) -> None:
    """Nobody wants to be told, or no book has another name."""
    market.load(warehouse, market.market(3, hours=0.3))
    write(project, seed, [])
    assert build(warehouse, project, "--select", "+marts.spread") == (0, "")
    assert warehouse.rows(f"select count(*) from reference.{seed}") == [(0,)]
    assert warehouse.rows("select count(*) > 0 from target.quotes") == [(True,)]


def market_tables() -> list[str]:
    return ["target.quotes", "marts.spread_hourly", "marts.spread_alerts"]


def test_a_table_that_is_wrong_stops_a_run_of_models(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    where = "where threshold_pct ="
    for change, said in (
        (f"threshold_pct = 'NaN' {where} 0.5",
         "spread_thresholds.csv is refused: * NaN %: threshold_pct is no number from 0 on"),
        (f"threshold_pct = 0.5, close_below_pct = 0.6 {where} 'NaN'",
         "* 0.500000000000 %: close_below_pct is above the threshold"),
        (f"min_observations = 0, close_below_pct = null {where} 0.5",
         "min_observations is no whole number from 1 on: 0"),
    ):  # fmt: skip
        warehouse.rows(f"update reference.spread_thresholds set {change}")
        done = warehouse.dbt("run", "--select", "book_thresholds", check=False)
        assert said in done.stdout
        assert done.returncode != 0
        assert warehouse.rows("select to_regclass('marts.book_thresholds')") == [(None,)]
    # What the files say mends it.
    warehouse.dbt("build", "--select", "resource_type:seed", "--exclude", "resource_type:test")
    warehouse.dbt("seed")
    assert warehouse.rows("select max(threshold_pct) from reference.spread_thresholds") == [(1,)]
    for emptied in ("null", "false"):
        warehouse.rows(
            f"update reference.known_event_types set is_login = {emptied} where is_login"
        )
        done = warehouse.dbt("run", "--select", "event_types", check=False)
        assert "known_event_types.csv is refused: is_login: no event is a login" in done.stdout
        assert ("; login: is_login is neither true nor false: missing" in done.stdout) == (
            emptied == "null"
        )
        warehouse.rows(
            "update reference.known_event_types set is_login = true where event_name = 'login'"
        )
    assert warehouse.dbt("run", "--select", "event_types", check=False).stdout.count("refused") == 0
