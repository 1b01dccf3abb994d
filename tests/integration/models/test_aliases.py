"""Other names of a book: one that comes, changes or goes reaches what was imported before it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests import market
from tests.conftest import Warehouse
from tests.market import Quote

START = datetime(2024, 5, 28, 23, 30, tzinfo=UTC)
TABLES = (
    "target.quotes", "target.books", "marts.spread_hourly", "marts.spread_alerts",
    "marts.spread_observations", "marts.book_names",
)  # fmt: skip
COUNTS = "select book, feed, count(*) from target.quotes group by 1, 2 order by 1, 2"


@pytest.fixture
def imported(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """A lake that names one book in two ways, partly at the same instants, beside live quotes."""
    warehouse.dbt("seed")
    for name, pcts in (("mxn_sol", (3, 2)), ("sol_mxn", (1, 4)), ("usd_mxn", (2, 2))):
        lines = ["orderbook_timestamp,book,bid,ask,spread\n"]
        for n in range(100):
            at = START + timedelta(seconds=n * 60 + (n % 3) * (name == "sol_mxn"))
            lines.append(f"{at},{name},{1000 - 10 * pcts[n % 2]},1000,\n")
        (tmp_path / f"{name}.csv").write_text("".join(lines))
    done = warehouse.call("loader", "lake", "import", tmp_path)
    assert done.returncode == 0, done.stderr
    # One of the names is also seen live, in the same seconds: then it is a book by itself.
    live = [
        Quote("sol_mxn", START + timedelta(minutes=n), "ticker", Decimal(995), Decimal(1000))
        for n in range(0, 100, 10)
    ]
    market.load(warehouse, live)
    market.build(warehouse)
    return warehouse


def rename(warehouse: Warehouse, change: str, *values: object) -> None:
    """Change an alias and build; a full refresh says the same."""
    warehouse.rows(change, *values)
    market.build(warehouse)
    added = market.digests(warehouse, TABLES)
    market.build(warehouse, "--full-refresh")
    assert market.digests(warehouse, TABLES) == added


def test_an_alias_that_comes_changes_and_goes(imported: Warehouse) -> None:
    apart = market.digests(imported, TABLES)
    usd = ("usd_mxn", "lake", 100)
    live = ("sol_mxn", "ticker", 10)
    assert imported.rows(COUNTS) == [
        ("mxn_sol", "lake", 100), ("sol_mxn", "lake", 100), live, usd,
    ]  # fmt: skip
    # As a person would after all: a lake's old name is said to be that of a book.
    rename(imported, "insert into reference.book_aliases values ('mxn_sol', 'sol_mxn')")
    assert imported.rows(COUNTS) == [("sol_mxn", "lake", 200), live, usd]
    assert imported.rows("select book from target.books order by 1") == [("sol_mxn",), ("usd_mxn",)]
    assert imported.rows("select distinct book from marts.spread_alerts order by 1") == [
        ("sol_mxn",), ("usd_mxn",),
    ]  # fmt: skip
    # Of another book, that nothing else names.
    rename(imported, "update reference.book_aliases set book = 'sol_usd' where alias = 'mxn_sol'")
    assert imported.rows(COUNTS) == [
        ("sol_mxn", "lake", 100), live, ("sol_usd", "lake", 100), usd,
    ]  # fmt: skip
    rename(imported, "delete from reference.book_aliases where alias = 'mxn_sol'")
    assert market.digests(imported, TABLES) == apart


def test_what_raw_has_forgotten_keeps_its_name(imported: Warehouse) -> None:
    [(month,)] = imported.rows(
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'raw.spread_observations'::regclass"
    )
    imported.rows(f"drop table {month}")
    imported.rows("insert into reference.book_aliases values ('mxn_sol', 'sol_mxn')")
    before = market.digests(imported, ["target.quotes", "target.books", "marts.spread_hourly"])
    market.build(imported)
    assert market.digests(imported, before.keys()) == before


def test_an_import_that_comes_with_its_alias_is_there_once(
    imported: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "more.csv").write_text(
        "orderbook_timestamp,book,bid,ask,spread\n"
        f"{START},mxn_sol,900,1000,\n{START + timedelta(hours=5)},mxn_sol,900,1000,\n"
    )
    done = imported.call("loader", "lake", "import", tmp_path / "more.csv")
    assert done.returncode == 0, done.stderr
    rename(imported, "insert into reference.book_aliases values ('mxn_sol', 'sol_mxn')")
    assert ("sol_mxn", "lake", 202) in imported.rows(COUNTS)
