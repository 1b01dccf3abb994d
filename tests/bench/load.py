r"""Loading deposits: `loader snapshots` against psql's bare \\copy, and others against both."""

import csv
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from psycopg2.extras import execute_batch, execute_values

from loader.warehouse.postgres.connection import connect
from tests.bench.figures import Table, median
from tests.bench.stage import Stage, Work, generate, psql
from tests.conftest import Warehouse

BARE = (
    "create table if not exists public.bare (id bigint, event_timestamp timestamptz, "
    "user_id text, amount numeric(38,18), currency text, tx_status text)"
)
INSERT = "insert into public.bare values "


def load(stage: Stage, *, rows: int, users: int, runs: int) -> Iterator[Table]:
    r"""The whole loader, process start included, against \\copy of the same file."""
    directory = stage.directory
    options = ("--deposits", rows, "--users", users, "--events", 10, "--busiest-percent", 0)
    clean = generate(directory / "clean", *options, "--clean") / "deposits.csv"
    quirky = generate(directory / "quirky", *options) / "deposits.csv"
    contenders: dict[str, Work] = {
        "psql \\copy": partial(_copy, file=clean),
        "loader snapshots": partial(_load, file=clean),
        "loader snapshots, with bad and repeated rows": partial(_load, file=quirky),
    }
    times = stage.race(contenders, runs, make_bare)
    base = median(times["psql \\copy"])
    yield Table(
        f"Load of {rows:,} deposits, median of {runs} (ratio to psql \\copy, bare typed table)",
        [
            (name, f"{median(taken):.2f} s", f"{median(taken) / base:.2f}")
            for name, taken in times.items()
        ],
        {"rows": rows, "seconds": times},
    )


def others(stage: Stage, *, rows: int, users: int, runs: int) -> Iterator[Table]:
    """What people use instead, on a smaller file: they take minutes for the big one."""
    options = ("--deposits", rows, "--users", users, "--events", 10, "--clean")
    file = generate(stage.directory / "small", *options) / "deposits.csv"
    contenders: dict[str, Work] = {
        "loader snapshots": partial(_load, file=file),
        "execute_values, page 1,000": partial(_execute_values, file=file),
        "execute_batch, page 1,000": partial(_execute_batch, file=file),
        "pandas.to_sql": partial(_pandas, file=file),
        "dlt, rows of a csv.DictReader": partial(_dlt, file=file),
    }
    times = stage.race(contenders, runs, make_bare)
    base = median(times["loader snapshots"])
    yield Table(
        f"Load of {rows:,} deposits, median of {runs} (ratio to loader snapshots)",
        [(name, f"{median(t):.2f} s", f"{median(t) / base:.1f}") for name, t in times.items()],
        {"rows": rows, "seconds": times},
    )


def make_bare(warehouse: Warehouse) -> None:
    """A table with types and nothing else."""
    psql(warehouse, BARE)


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
