"""`loader status` names every fault, with what to do, and forgets it when it is mended."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loader.operations.checks.every import CHECKS
from loader.warehouse.clock import SystemClock
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
