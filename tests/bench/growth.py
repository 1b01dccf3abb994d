"""What `loader transform` takes for new rows of the market, whatever else the warehouse holds."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from loader.warehouse.settings import PROJECT_ROOT
from tests.bench.figures import Table, in_turn, median
from tests.bench.market import NEW_ROWS, extend
from tests.bench.stage import Stage, generate, psql, seconds
from tests.conftest import Warehouse

# Two years of a run a minute come to a million.
RUNS = """
insert into ops.runs (job, started_at, finished_at, status, rows_read, rows_inserted)
select 'stream', moment, moment, 'succeeded', 60, 60
from generate_series(1, %s) as n
cross join lateral (select now() - (%s - n) * interval '1 minute' as moment) as moments
"""


def growth(stage: Stage, *, deposits: int, quotes: int, ledger: int, runs: int) -> Iterator[Table]:
    """The sample alone, and with ever so much of one thing beside it; each in a warehouse."""
    cases: dict[str, dict[str, int]] = {
        "the sample": {},
        f"and {deposits:,} deposits": {"deposits": deposits},
        f"and {quotes:,} quotes": {"quotes": quotes},
        f"and {ledger:,} runs in the ledger": {"ledger": ledger},
    }
    warehouses: dict[str, Warehouse] = {}
    for name, sizes in cases.items():
        warehouse = stage.server.database(f"growth_{len(warehouses)}", "migrated")
        warehouses[name] = warehouse
        _fill(stage, warehouse, **sizes)
    numbers = {name: iter(range(cases[name].get("quotes", 0), 10**9, NEW_ROWS)) for name in cases}

    def once(name: str) -> float:
        warehouse = warehouses[name]
        warehouse.activate()
        extend(warehouse, next(numbers[name]), NEW_ROWS)
        return seconds(partial(_transform, warehouse))

    for name in cases:
        once(name)
    times = in_turn({name: partial(once, name) for name in cases}, runs)
    for warehouse in warehouses.values():
        stage.server.drop(warehouse)
    base = median(times["the sample"])
    yield Table(
        f"loader transform after {NEW_ROWS} new rows, median of {runs}",
        [
            ("", "seconds", "ratio"),
            *(
                (name, f"{median(taken):.2f} s", f"{median(taken) / base:.2f}")
                for name, taken in times.items()
            ),
        ],
        {"seconds": times},
    )


def _fill(
    stage: Stage, warehouse: Warehouse, deposits: int = 0, quotes: int = 0, ledger: int = 0
) -> None:
    """The sample, and what there is to be much of; built once."""
    _typed(warehouse, "snapshots", PROJECT_ROOT / "seeds" / "sample")
    _typed(warehouse, "replay", PROJECT_ROOT / "seeds" / "market")
    if deposits:
        directory = stage.directory / "many"
        generate(directory, "--deposits", deposits, "--users", max(20, deposits // 25), "--clean")
        _typed(warehouse, "snapshots", directory)
    if quotes:
        extend(warehouse, 0, quotes)
    if ledger:
        warehouse.rows(RUNS, ledger, ledger)
    psql(warehouse, "vacuum analyze")
    _transform(warehouse)
    psql(warehouse, "vacuum analyze")


def _transform(warehouse: Warehouse) -> None:
    _typed(warehouse, "transform")


def _typed(warehouse: Warehouse, *command: Any) -> None:
    # dbt reads the project anew when its last run there was about another database.
    own = str(warehouse.directory / "dbt_target")
    done = warehouse.loader(*command, DBT_TARGET_PATH=own)
    assert done.returncode == 0, done.stderr
