"""Nobody who reads is turned away, whatever is built, fails or is killed meanwhile.

Somebody asks for all relations of marts and all questions without pause; the follower of alerts
looks without pause as well.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT
from tests import market
from tests.conftest import BIN, Server, Warehouse
from tests.readers import RestlessReader
from tests.waiting import wait_for

SAMPLE = PROJECT_ROOT / "seeds" / "sample"
KILLS = 10
FOLLOWER = """
from loader.alerts import sender
from loader.cli.main import main
sender.IDLE_SECONDS = sender.LOOK_SECONDS
main(["alerts", "--follow"])
"""
# As an older version may have left them: each relation that is made whole has another column, views
# have another description, and a function says something else.
OLDER = """
do $$
declare
    name text;
begin
    for name in select oid::regclass::text from pg_class
        where relkind = 'v' and relnamespace in ('staging'::regnamespace, 'marts'::regnamespace,
            'target'::regnamespace)
        order by oid
    loop
        execute format('create or replace view %s as select *, 1 as older from (%s) as older',
            name, rtrim(pg_get_viewdef(name::regclass), ';'));
        execute format('comment on view %s is %L', name, 'as it was');
    end loop;
    for name in select relations.oid::regclass::text from pg_class as relations
        where relkind = 'r' and relnamespace in ('target'::regnamespace, 'marts'::regnamespace)
        and not exists (select from staging.stg_pipeline__progress where model_name = relname)
    loop
        execute format('alter table %s add column older integer', name);
    end loop;
end $$;
alter table reference.known_currencies add column older integer;
update reference.known_event_types set event_name = event_name || ' as it was';
create or replace function marts.is_above(bid numeric, ask numeric, threshold_pct numeric)
returns boolean language sql as 'select (ask - bid) * 100 > threshold_pct * ask';
"""
FAILS = """
create function target.fail() returns trigger language plpgsql as
$$ begin raise exception 'as the test wants it'; end $$;
create trigger fail before insert on target.quotes execute function target.fail()
"""


@pytest.fixture(scope="module")
def read(server: Server, sampled: Warehouse) -> Iterator[Warehouse]:
    """A warehouse that is built, and read all the time."""
    warehouse = server.database("read", sampled.where.db)
    # dbt puts the name of its database into them.
    warehouse.dbt("run-operation", "make_functions")
    market.load(warehouse, market.market(1))
    warehouse.transform()
    yield warehouse
    server.drop(warehouse)


@pytest.fixture(scope="module")
def follower(read: Warehouse) -> Iterator[Path]:
    """The follower at work; what it says."""
    said = read.directory / "follower.log"
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", FOLLOWER], cwd=read.directory, stdin=subprocess.DEVNULL,
            stderr=out,
        )  # fmt: skip
    wait_for(lambda: "watching" in said.read_text(), said.read_text)
    try:
        yield said
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def reader(read: Warehouse, follower: Path) -> Iterator[RestlessReader]:
    """Reads during a test, and is turned away from nothing."""
    read.activate()
    with RestlessReader(read) as reader:
        yield reader
    assert reader.misses == []
    # Where it had to begin again, as after a deadlock, it did.
    said = follower.read_text()
    wait_for(lambda: follower.read_text().count("watching") > said.count("trying again"), said)


@pytest.fixture
def older(read: Warehouse) -> None:
    """The models are those of a version before."""
    read.activate()
    read.rows(OLDER)


def moved(quotes: list[market.Quote], by: timedelta) -> list[market.Quote]:
    return [quote._replace(at=quote.at + by) for quote in quotes]


@pytest.mark.usefixtures("reader")
def test_nothing_new(read: Warehouse) -> None:
    read.transform()


@pytest.mark.usefixtures("reader")
def test_new_rows_and_late_ones(read: Warehouse) -> None:
    for seed, days in ((2, 1), (3, -1)):
        market.load(read, moved(market.market(seed), timedelta(days=days)))
        read.transform()


@pytest.mark.usefixtures("reader")
def test_a_new_snapshot(read: Warehouse, tmp_path: Path) -> None:
    for name in ("deposits", "events", "users", "user_levels", "withdrawals"):
        shutil.copy(SAMPLE / f"{name}.csv", tmp_path)
    deposits = (SAMPLE / "deposits.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "deposits.csv").write_bytes(b"".join(deposits[:-9]))
    done = read.call("loader", "snapshots", tmp_path)
    assert done.returncode == 0, done.stderr
    read.transform()


@pytest.mark.usefixtures("reader")
def test_the_build_by_hand_with_its_tests(read: Warehouse) -> None:
    read.dbt("build")


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("model", ["quotes", "spread_hourly", "users", "exchange_volumes", "books"])
def test_one_model_anew_by_hand(read: Warehouse, model: str) -> None:
    read.dbt("run", "--full-refresh", "--select", model)


@pytest.mark.usefixtures("reader")
def test_all_models_anew_by_hand(read: Warehouse) -> None:
    read.dbt("seed", "--full-refresh")
    read.dbt("run", "--full-refresh")


@pytest.mark.usefixtures("reader")
def test_a_model_that_fails(read: Warehouse) -> None:
    read.rows(FAILS)
    market.load(read, moved(market.market(4), timedelta(days=2)))
    failed = read.dbt("build", check=False)
    assert "as the test wants it" in failed.stdout
    read.rows("drop function target.fail cascade")
    read.transform()


@pytest.mark.usefixtures("older", "reader")
def test_a_version_over_the_one_before(read: Warehouse) -> None:
    # That one noted another project, or none.
    read.rows("update ops.runs set detail = detail - 'built'")
    done = read.call("loader", "init")
    assert done.returncode == 0, done.stderr
    assert "built anew what another version had built" in done.stdout
    assert read.rows("select 1 from information_schema.columns where column_name = 'older'") == []


@pytest.mark.usefixtures("older", "reader")
def test_a_run_that_is_killed(read: Warehouse) -> None:
    lines = transform_until(read, None)
    for number in range(1, KILLS + 1):
        market.load(read, moved(market.market(10 + number), timedelta(hours=5 * number)))
        transform_until(read, lines * number // (KILLS + 1))
    read.transform()


def transform_until(warehouse: Warehouse, line: int | None) -> int:
    """Run `loader transform`, killed with its dbt at a line that it prints; how many it printed."""
    process = subprocess.Popen(
        # With all of dbt's lines, at which it can be killed.
        [BIN / "loader", "-v", "transform"], cwd=warehouse.directory, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    printed = 0
    with process.stderr as said:
        for _ in said:
            printed += 1
            if printed == line:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == (0 if line is None else -signal.SIGKILL)
    return printed
