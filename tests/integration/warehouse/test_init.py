"""`loader init`: of a database that cannot be one, and by many at once."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from loader.warehouse.postgres.embedded import Embedded
from tests.conftest import BIN, Server, Warehouse
from tests.waiting import end_of

AT_ONCE = 8
LOGINS = {
    f"WAREHOUSE_LOGIN_{name}_PASSWORD": name.lower()
    for name in ("LOADER", "TRANSFORMER", "EXPORTER", "METABASE", "METABASE_READER")
}
MIGRATIONS = sorted(
    file.name
    for file in (resources.files("loader.warehouse.postgres") / "migrations").iterdir()
    if file.name.endswith(".sql")
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, without our roles and logins."""
    directory = tmp_path_factory.mktemp("alone")
    embedded = Embedded(directory / "home")
    try:
        yield Server(embedded, embedded.start(), directory)
    finally:
        embedded.stop()


def init_at_once(*warehouses: Warehouse) -> list[str]:
    """Eight of them, on one database or several; what each of them printed."""
    environments = []
    for number in range(AT_ONCE):
        warehouses[number % len(warehouses)].activate()
        environments.append({**os.environ, **LOGINS})
    started = [
        subprocess.Popen(
            [BIN / "loader", "init"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for environment in environments
    ]  # fmt: skip
    ends = [end_of(each) for each in started]
    assert [(code, err) for code, _, err in ends] == [(0, "")] * AT_ONCE
    return [out for _, out, _ in ends]


def applied(outs: list[str]) -> list[str]:
    return sorted(
        line.removeprefix("applied ")
        for out in outs
        for line in out.splitlines()
        if line.startswith("applied ")
    )


def test_eight_on_an_old_version_and_then_on_four_new_ones(alone: Server) -> None:
    old = alone.database("old")
    first = resources.files("loader.warehouse.postgres") / "migrations" / MIGRATIONS[0]
    with closing(alone.admin("old")) as admin, admin.cursor() as cursor:
        cursor.execute(
            "create schema ops; create table ops.migrations ("
            "name text primary key, applied_at timestamptz not null default now())"
        )
        cursor.execute(first.read_text())
        cursor.execute("insert into ops.migrations (name) values (%s)", (MIGRATIONS[0],))
    assert applied(init_at_once(old)) == MIGRATIONS[1:]
    # Roles, logins and Metabase's database belong to the whole server.
    with closing(alone.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("drop database metabase; ")
    new = [alone.database(f"new_{number}") for number in range(4)]
    assert applied(init_at_once(*new)) == sorted(MIGRATIONS * len(new))
    for warehouse in (old, *new):
        assert Path(warehouse.directory / "profiles.yml").exists()
        assert list(warehouse.directory.glob(".profiles*")) == []


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_utf8_is_refused(server: Server, encoding: str) -> None:
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(
            f"create database template_{encoding} template template0 encoding '{encoding}' "
            "locale_provider libc locale 'C'"
        )
    warehouse = server.database(f"in_{encoding}", f"template_{encoding.lower()}")
    try:
        for command in ("init", "books", "transform", "alerts"):
            done = warehouse.call("loader", command)
            assert done.returncode == 1
            assert f"is encoded in {encoding}, which cannot hold every text: make" in done.stderr
            assert done.stderr.count("\n") == 1
        # There may be something to be had out of it.
        assert warehouse.rows("select 1", role="exporter") == [(1,)]
    finally:
        server.drop(warehouse)
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f"drop database template_{encoding}")
