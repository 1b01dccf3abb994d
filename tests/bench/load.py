r"""Loading deposits: `loader snapshots` against psql's bare \\copy, and others against both."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from psycopg2.extras import execute_batch, execute_values

from loader.warehouse.postgres.connection import connect
from tests.bench.stage import generate, median, psql, seconds, show
from tests.conftest import Server, Warehouse

BARE = (
    "create table if not exists public.bare (id bigint, event_timestamp timestamptz, "
    "user_id text, amount numeric(38,18), currency text, tx_status text)"
)
INSERT = "insert into public.bare values "


def load(server: Server, directory: Path, rows: int, repeats: int) -> None:
    r"""The whole loader, process start included, against \\copy of the same file."""
    options = ("--deposits", rows, "--users", 200_000, "--events", 10, "--busiest-percent", 0)
    clean = generate(directory / "clean", *options, "--clean") / "deposits.csv"
    quirky = generate(directory / "quirky", *options) / "deposits.csv"
    times: dict[str, list[float]] = {"copy": [], "loader": [], "quirky": []}
    for _ in range(repeats):
        with fresh(server) as warehouse:
            times["copy"].append(seconds(partial(_copy, warehouse, clean)))
            times["loader"].append(seconds(partial(_load, warehouse, clean)))
        with fresh(server) as warehouse:
            times["quirky"].append(seconds(partial(_load, warehouse, quirky)))
    base = median(times["copy"])
    show(
        f"Load of {rows:,} deposits, median of {repeats} (ratio to psql \\copy, bare typed table)",
        [
            (name, f"{median(times[key]):.2f} s", f"{median(times[key]) / base:.2f}")
            for key, name in (
                ("copy", "psql \\copy"),
                ("loader", "loader snapshots"),
                ("quirky", "loader snapshots, with bad and repeated rows"),
            )
        ],
    )


def others(server: Server, directory: Path, rows: int, repeats: int) -> None:
    """What people use instead, on a smaller file: they take minutes for the big one."""
    options = ("--deposits", rows, "--users", 20_000, "--events", 10, "--clean")
    file = generate(directory / "small", *options) / "deposits.csv"
    contenders: dict[str, Callable[[Warehouse, Path], object]] = {
        "loader snapshots": _load,
        "execute_values, page 1,000": _execute_values,
        "execute_batch, page 1,000": _execute_batch,
        "pandas.to_sql": _pandas,
        "dlt, rows of a csv.DictReader": _dlt,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            with fresh(server) as warehouse:
                times[name].append(seconds(partial(contender, warehouse, file)))
    base = median(times["loader snapshots"])
    show(
        f"Load of {rows:,} deposits, median of {repeats} (ratio to loader snapshots)",
        [(name, f"{median(t):.2f} s", f"{median(t) / base:.1f}") for name, t in times.items()],
    )


class fresh:  # noqa: N801 (reads as a call)
    """A migrated database for one measurement."""

    count = 0

    def __init__(self, server: Server) -> None:
        fresh.count += 1
        self._server = server

    def __enter__(self) -> Warehouse:
        self._warehouse = self._server.database(f"bench_{fresh.count}", "migrated")
        psql(self._warehouse, BARE)
        return self._warehouse

    def __exit__(self, *_: object) -> None:
        self._server.drop(self._warehouse)


def _copy(warehouse: Warehouse, file: Path) -> None:
    psql(warehouse, f"\\copy public.bare from '{file}' csv header")


def _load(warehouse: Warehouse, file: Path) -> None:
    done = warehouse.loader("snapshots", file)
    assert done.returncode == 0, done.stderr


def _rows(file: Path) -> Iterator[list[str | None]]:
    with file.open(newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        for row in reader:
            yield [value or None for value in row]


def _execute_values(_: Warehouse, file: Path) -> None:
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        execute_values(cursor, INSERT + "%s", _rows(file), page_size=1000)


def _execute_batch(_: Warehouse, file: Path) -> None:
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        execute_batch(cursor, f"{INSERT}({', '.join(['%s'] * 6)})", _rows(file), page_size=1000)


def url(warehouse: Warehouse) -> str:
    """Where it is, for those who take a URL."""
    where = warehouse.where
    return f"postgresql://{where.user}:{where.password}@{where.host}:{where.port}/{where.db}"


def _pandas(warehouse: Warehouse, file: Path) -> None:
    import pandas as pd  # noqa: PLC0415 (installed by `make bench` only)
    from sqlalchemy import create_engine  # noqa: PLC0415

    engine = create_engine(url(warehouse).replace(":", "+psycopg2:", 1))
    frame = pd.read_csv(file, dtype={"amount": str})
    frame.to_sql("bare", engine, schema="public", if_exists="append", index=False)
    engine.dispose()


def _dlt(warehouse: Warehouse, file: Path) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt  # noqa: PLC0415 (installed by `make bench` only)

    def deposits() -> Iterator[dict[str, Any]]:
        with file.open(newline="") as lines:
            yield from csv.DictReader(lines)

    pipeline: Any = dlt.pipeline(
        "bench",
        pipelines_dir=str(file.parent / f"dlt-{warehouse.where.db}"),
        destination=dlt.destinations.postgres(url(warehouse)),
        dataset_name="bench",
    )
    pipeline.run(deposits(), table_name="deposits")
    with suppress(Exception):
        pipeline.drop()
