"""`loader status` names every fault, with what to do, and forgets it when it is mended."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loader.operations.checks.every import CHECKS
from loader.operations.checks.finding import Finding, Scene
from loader.operations.checks.here import FAIL_PERCENT, disk
from loader.warehouse.clock import SystemClock
from loader.warehouse.settings import Settings
from tests.conftest import Server, Warehouse
from tests.integration.operations.status_faults import (
    FAULTS,
    Change,
    World,
    well,
)

NOTHING = "nothing is wrong: "


@pytest.fixture(scope="module")
def filled(server: Server, sampled: Warehouse) -> Iterator[Warehouse]:
    """A copy of what `make run` leaves behind."""
    warehouse = server.database("faulty", sampled.where.db)
    yield warehouse
    server.drop(warehouse)


@pytest.fixture
def world(
    server: Server, filled: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A warehouse that is well."""
    filled.activate()
    world = World(server, filled, tmp_path)
    monkeypatch.setattr(SystemClock, "now", lambda _: world.now())
    monkeypatch.setattr(shutil, "disk_usage", world.disk_usage)
    monkeypatch.setenv("WAREHOUSE_STREAM_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv("WAREHOUSE_STREAM_SPOOL_MIB", "1")
    well(world)
    return world


def change(world: World, change: Change) -> None:
    world.sql(change) if isinstance(change, str) else change(world)


def asked(world: World) -> tuple[int, str, dict[str, Any]]:
    """The exit code, what people are told, and what machines are."""
    told = world.warehouse.call("loader", "status")
    machines = world.warehouse.call("loader", "status", "--format", "json")
    assert (told.returncode, told.stderr) == (machines.returncode, machines.stderr)
    return told.returncode, told.stdout, json.loads(machines.stdout)


def assert_well(world: World) -> None:
    code, told, machines = asked(world)
    assert machines["problems"] == []
    assert (code, told.splitlines()[-1][: len(NOTHING)]) == (0, NOTHING)


def test_every_check_has_a_fault() -> None:
    assert {fault.check for fault in FAULTS.values()} == {check.name for check in CHECKS}
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_once_mended_forgotten(world: World, name: str) -> None:
    fault = FAULTS[name]
    assert_well(world)
    change(world, fault.put)
    code, told, machines = asked(world)
    change(world, fault.mend)
    problems = machines["problems"]
    [found, *_] = [one for one in problems if fault.says in one["what"]]
    assert found["check"] == fault.check
    assert fault.to_do in found["to_do"]
    assert {one["check"] for one in problems} == {fault.check, *fault.also}
    assert found["what"] in told
    assert found["to_do"] in told
    has_failed = any(one["weight"] == "fail" for one in problems)
    assert code == has_failed
    assert (NOTHING in told) == all(one["weight"] == "note" for one in problems)
    assert_well(world)


@pytest.mark.parametrize(
    ("setting", "value", "code", "said"),
    [
        ("WAREHOUSE_PASSWORD", "wrong", 1, "password authentication failed"),
        ("WAREHOUSE_DB", "nowhere", 1, "does not exist"),
        ("WAREHOUSE_PORT", "9", 75, "cannot connect to "),
    ],
)
def test_what_this_host_knows_is_told_also_without_a_warehouse(
    world: World, setting: str, value: str, code: int, said: str
) -> None:
    world.percent = FAIL_PERCENT
    done = world.warehouse.call("loader", "status", **{setting: value})
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert said in done.stderr
    assert f"is {FAIL_PERCENT} % full" in done.stdout
    assert NOTHING not in done.stdout
    done = world.warehouse.call("loader", "status", "--format", "json", **{setting: value})
    machines = json.loads(done.stdout)
    assert said in machines["error"]
    assert [one["check"] for one in machines["problems"]] == ["disk"]


def test_the_disk_of_the_embedded_database_is_looked_at(world: World) -> None:
    """Also before there is any, where it will be."""
    world.percent = FAIL_PERCENT
    settings = Settings(home=world.directory / "not" / "yet", stream_spool_dir=world.directory)
    seen = list(disk(Scene(settings, SystemClock(), world.now())))
    told = [one.what for one in seen if isinstance(one, Finding)]
    assert [what.partition(" (")[0] for what in told] == [
        "the disk of the data", "the disk of the spool",
    ]  # fmt: skip


def test_a_file_that_nobody_knows_is_told_while_it_is_in_the_inbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = world.directory / "inbox"
    inbox.mkdir()
    monkeypatch.setenv("WAREHOUSE_INBOX", str(inbox))
    monkeypatch.setenv("WAREHOUSE_INBOX_REST_SECONDS", "0")
    (inbox / "a.csv").write_bytes(b"nothing,known\n1,2\n")
    for times in ("", " (2 times)"):
        assert world.warehouse.call("loader", "snapshots").returncode == 1
        assert f"snapshots: refused{times}: a.csv: " in asked(world)[1]
    (inbox / "a.csv").unlink()
    assert world.warehouse.call("loader", "snapshots").returncode == 0
    assert_well(world)


def test_of_many_findings_a_few_are_told_and_all_are_for_machines(world: World) -> None:
    world.sql("insert into staging.stg_pipeline__unreadable select 0, 'table' || n, 'x', 1, now() "
              "from generate_series(1, 20) as n")  # fmt: skip
    _, told, machines = asked(world)
    world.sql("delete from staging.stg_pipeline__unreadable where run_id = 0")
    assert len([one for one in machines["problems"] if one["check"] == "unreadable"]) == 20
    lines = [line for line in told.splitlines() if line.startswith("unreadable: ")]
    assert len(lines) == 7
    assert "15 more" in lines[5]
    assert_well(world)
