"""The lake: imports against others, bytes of an observation, and what a query over a year reads.

The year holds two books at 1 Hz in files of ten minutes, as `loader lake export` writes them; in
the other layouts the same files lie elsewhere. Queries run through pyarrow's dataset, which leaves
out files by their directories and rows by the statistics in the files.
"""

import csv
import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from psycopg2.extras import execute_batch

from loader.lake.export import Window
from loader.lake.layouts import DEFAULT, PRESETS, WINDOW, Layout, layout_of
from loader.lake.load import import_lake
from loader.warehouse.postgres.connection import connect
from tests import market
from tests.bench.figures import Table, median
from tests.bench.stage import Stage, Work, psql, seconds

# Each with its price and its smallest step, in ten-thousandths.
BOOKS = {"btc_mxn": (11_341_900_000, 100_000), "usd_mxn": (174_250, 5)}
FIRST_DAY = date(2025, 1, 1)
YEAR = 365
DAY_SECONDS = 86_400
SECONDS_OF_WINDOW = int(WINDOW.total_seconds())
COLUMNS = "received_at timestamptz, book text, bid numeric, ask numeric, spread numeric"
BARE = f"create table public.bare_lake ({COLUMNS})"
INSERT = "insert into public.bare_lake values (%s, %s, %s, %s, %s)"
# What the presets are held against: layouts that know less of a file.
POORER = ("book", "date", "year,month")


def lake(stage: Stage, *, days: int, imported_days: int, runs: int) -> Iterator[Table]:
    """All three."""
    directory = stage.directory / "import"
    yield _imports(stage, directory, imported_days, runs)
    yield _bytes(stage, directory, imported_days * DAY_SECONDS * len(BOOKS))
    yield _queries(stage.directory / "year", days)


def write_lake(root: Path, days: int, kind: str = "csv") -> None:
    """Both books' files as `loader lake export` lays them."""
    content = {"csv": Window.as_csv, "parquet": Window.as_parquet}[kind]
    for window in _windows(days):
        path = root / PRESETS[DEFAULT].path(window.book, window.start, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(window))


# --- imports and bytes ------------------------------------------------------------------------


def _imports(stage: Stage, directory: Path, days: int, runs: int) -> Table:
    """Rows a second of `loader lake import`."""
    for kind in ("csv", "parquet"):
        write_lake(directory / kind, days, kind)
    rows = days * DAY_SECONDS * len(BOOKS)
    one_file = directory / "all.csv"
    one_file.write_bytes(b"".join(window.lines for window in _windows(days)))
    contenders: dict[str, Work] = {
        "loader lake import, Parquet": lambda _: list(import_lake(directory / "parquet")),
        "loader lake import, CSV": lambda _: list(import_lake(directory / "csv")),
        "COPY of one file of CSV, unchecked": lambda warehouse: psql(
            warehouse, f"\\copy public.bare_lake from '{one_file}' (format csv)"
        ),
        "csv.reader and execute_batch": lambda _: _execute_batch(directory / "csv"),
    }
    times = stage.race(contenders, runs, lambda warehouse: psql(warehouse, BARE))
    speeds = {name: rows / median(taken) for name, taken in times.items()}
    others = speeds["csv.reader and execute_batch"]
    return Table(
        f"{rows:,} observations in {days * 144 * len(BOOKS):,} files, median of {runs} "
        "(ratio to execute_batch)",
        [
            ("", "rows/s", "ratio"),
            *((name, f"{speed:,.0f}", f"{speed / others:.2f}") for name, speed in speeds.items()),
        ],
        {"rows": rows, "seconds": times},
    )


def _execute_batch(root: Path) -> None:
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        for path in sorted(root.rglob("*.csv")):
            with path.open(newline="") as file:
                lines = csv.reader(file)
                next(lines)
                execute_batch(cursor, INSERT, lines, page_size=1000)


def _bytes(stage: Stage, directory: Path, rows: int) -> Table:
    """What an observation takes up, in Postgres and in files."""
    with stage.warehouse() as warehouse:
        warehouse.dbt("seed")
        list(import_lake(directory / "parquet"))
        market.build(warehouse)
        in_postgres = {
            "raw.spread_observations, its indexes included": (
                "select sum(pg_total_relation_size(inhrelid)) from pg_inherits "
                "where inhparent = 'raw.spread_observations'::regclass"
            ),
            "target.quotes, its indexes included": (
                "select pg_total_relation_size('target.quotes')"
            ),
        }
        sizes = {name: warehouse.rows(query)[0][0] for name, query in in_postgres.items()}
    for kind in ("parquet", "csv"):
        files = (directory / kind).rglob("*.*")
        sizes[f"{kind}, a file a window"] = sum(path.stat().st_size for path in files)
    book = next(iter(BOOKS))
    day = b"".join(window.lines for window in _windows(1) if window.book == book)
    a_day = len(Window(book, _midnight(FIRST_DAY), day).as_parquet())
    sizes["parquet, were it a file a day"] = a_day * rows / DAY_SECONDS
    year = YEAR * DAY_SECONDS * len(BOOKS)
    return Table(
        "What an observation takes up, and a year of two books at 1 Hz",
        [
            ("", "bytes", "a year"),
            *(
                (name, f"{size / rows:.1f}", f"{float(size) / rows * year / 1e9:.2f} GB")
                for name, size in sizes.items()
            ),
        ],
    )


# --- queries ----------------------------------------------------------------------------------


class Query(NamedTuple):
    """What somebody wants to know of the lake."""

    name: str
    books: list[str]
    since: datetime
    until: datetime


def _queries(directory: Path, days: int) -> Table:
    """Files opened, bytes read and seconds of each query in each layout."""
    write_lake(directory / DEFAULT, days, "parquet")
    books = list(BOOKS)
    day = _midnight(FIRST_DAY + timedelta(days=days // 2))
    asked = (
        Query("a book, a day", books[:1], day, day + timedelta(days=1)),
        Query("all books, an hour", books, day + timedelta(hours=9), day + timedelta(hours=10)),
        Query("a book, 30 days", books[:1], day, day + timedelta(days=30)),
    )
    table: list[tuple[str, ...]] = [
        ("directories", *(column for query in asked for column in (query.name, "MB", "s")))
    ]
    for name in (*PRESETS, *POORER):
        root = directory / name
        if name != DEFAULT:
            _link(directory / DEFAULT, root, layout_of(name), days)
        cells = [cell for query in asked for cell in _ask(root, layout_of(name), query)]
        table.append((name, *cells))
    return Table(
        f"Queries over {days} days of {len(BOOKS)} books: files opened, bytes read, seconds "
        f"(of {days * 144 * len(BOOKS):,} files, listed anew each time)",
        table,
    )


def _ask(root: Path, layout: Layout, query: Query) -> tuple[str, str, str]:
    before = _bytes_read()
    found: list[int] = []
    took = seconds(lambda: found.extend(_run(root, layout, query)))
    files, rows = found
    expected = (query.until - query.since).total_seconds() * len(query.books)
    if rows != expected:
        raise ValueError(f"{layout.name}, {query.name}: {rows} rows, not {expected:.0f}")
    return f"{files:,}", f"{(_bytes_read() - before) / 1e6:.1f}", f"{took:.2f}"


def _run(root: Path, layout: Layout, query: Query) -> tuple[int, int]:
    """Files that are opened, and the rows in question."""
    # In each directory of a path, the names that the query's windows can have there.
    levels = [
        sorted({part(book, start) for book in query.books for start in _starts(query)})
        for part in layout.parts
    ]
    is_hive = "=" in levels[0][0]
    keys = [level[0].partition("=")[0] if is_hive else f"key_{n}" for n, level in enumerate(levels)]
    partitioning: Any = ds.partitioning(
        pa.schema([(key, pa.string()) for key in keys]), flavor="hive" if is_hive else None
    )
    dataset: Any = ds.dataset(root, format="parquet", partitioning=partitioning)
    by_directory = ds.scalar(True)
    for key, level in zip(keys, levels, strict=True):
        by_directory &= ds.field(key).isin([name.rpartition("=")[2] for name in level])
    by_row = (
        ds.field("book").isin(query.books)
        & (ds.field("orderbook_timestamp") >= query.since)
        & (ds.field("orderbook_timestamp") < query.until)
    )
    files = sum(1 for _ in dataset.get_fragments(filter=by_directory))
    rows = dataset.to_table(["orderbook_timestamp", "bid", "ask"], filter=by_directory & by_row)
    return files, rows.num_rows


def _starts(query: Query) -> Iterator[datetime]:
    start = query.since
    while start < query.until:
        yield start
        start += WINDOW


def _bytes_read() -> int:
    """By this process so far, from the page cache too."""
    return int(Path("/proc/self/io").read_text().split()[1])


# --- the year ---------------------------------------------------------------------------------


def _windows(days: int) -> Iterator[Window]:
    """A market that repeats itself day by day: each second a quote, every third one a new one."""
    for book, (price, step) in BOOKS.items():
        chance = random.Random(book)
        quotes = []
        bid, ask = price, price + 9 * step
        for _ in range(DAY_SECONDS):
            if chance.random() < 1 / 3:
                bid += step * chance.randint(-2, 2)
                ask = bid + step * chance.randint(1, 40)
            spread = f"{(ask - bid) * 100 / ask:.12f}"
            quotes.append(f"{book},{bid / 10000:.4f},{ask / 10000:.4f},{spread}\n".encode())
        for day in range(days):
            midnight = _midnight(FIRST_DAY + timedelta(days=day))
            for first in range(0, DAY_SECONDS, SECONDS_OF_WINDOW):
                start = midnight + timedelta(seconds=first)
                hour = start.strftime("%Y-%m-%dT%H:")
                lines = [
                    b"%s%02d:%02d+00:00,%s" % (hour.encode(), *divmod(second % 3600, 60), quote)
                    for second, quote in enumerate(quotes[first : first + SECONDS_OF_WINDOW], first)
                ]
                yield Window(book, start, b"".join(lines))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(tzinfo=UTC))


def _link(source: Path, root: Path, layout: Layout, days: int) -> None:
    """The same files in another layout."""
    for book in BOOKS:
        for n in range(days * DAY_SECONDS // SECONDS_OF_WINDOW):
            start = _midnight(FIRST_DAY) + n * WINDOW
            path = root / layout.path(book, start, "parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / PRESETS[DEFAULT].path(book, start, "parquet"), path)
