"""A real Postgres for every test that touches SQL: one embedded server a test process.

Each `warehouse` is a database of its own, copied from a migrated template.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import Endpoint, connect
from loader.warehouse.postgres.embedded import SUPERUSER, Embedded
from loader.warehouse.postgres.migrate import migrate
from loader.warehouse.postgres.profiles import write_profile
from loader.warehouse.postgres.roles import Role
from loader.warehouse.settings import PROJECT_ROOT, get_settings

BIN = Path(sys.executable).parent
# What somebody has in .env is no business of the tests.
os.environ["WAREHOUSE_ENV_FILE"] = os.devnull
# `make coverage` reaches children by a variable: one with an environment of its own needs it too.
MEASURED = {key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")}


@dataclass
class Warehouse:
    """One database under test, and the commands that people type, aimed at it."""

    where: Endpoint
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def activate(self) -> None:
        """Point this process and its children at the database."""
        os.environ.update(
            WAREHOUSE_HOST=self.where.host,
            WAREHOUSE_PORT=str(self.where.port),
            WAREHOUSE_USER=self.where.user,
            WAREHOUSE_PASSWORD=self.where.password,
            WAREHOUSE_DB=self.where.db,
            WAREHOUSE_PROFILES_DIR=str(self.directory),
            DBT_PROFILES_DIR=str(self.directory),
        )
        get_settings.cache_clear()

    def rows(self, query: str, *values: object, role: Role | None = None) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows, if it has any."""
        with closing(connect(role)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a console script of the project to its end."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env={**os.environ, **environment},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def loader(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """`loader ...`."""
        return self.run("loader", *map(str, arguments), **environment)

    def dbt(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`dbt ...` in the project; with `check`, a failure fails the test with dbt's output."""
        done = self.run(
            "dbt", "--warn-error-options", '{"error": ["Deprecations"]}', *arguments,
            "--project-dir", str(PROJECT_ROOT / "dbt_project"),
            "--target-path", str(self.directory.parent / "dbt_target"),
            "--log-path", str(self.directory / "dbt_logs"),
            # It runs nothing of ours, and being watched would take it twice as long.
            COVERAGE_PROCESS_CONFIG="",
        )  # fmt: skip
        if check and done.returncode != 0:
            pytest.fail(f"dbt {' '.join(arguments)}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
        return done


@dataclass(frozen=True)
class Server:
    """The embedded server of this test process."""

    embedded: Embedded
    port: int
    directory: Path

    def admin(self, db: str = "postgres") -> Connection:
        """A connection outside any transaction, as the superuser."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=SUPERUSER,
            password=self.embedded.password, dbname=db,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def database(self, name: str, template: str = "template1") -> Warehouse:
        """A new database, active from now on."""
        with closing(self.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f'create database "{name}" template "{template}"')
        where = Endpoint("127.0.0.1", self.port, SUPERUSER, self.embedded.password, name)
        directory = self.directory / name
        directory.mkdir()
        warehouse = Warehouse(where, directory)
        warehouse.activate()
        write_profile(directory, where, with_role=True)
        return warehouse

    def drop(self, warehouse: Warehouse) -> None:
        """Drop a database, whoever is still connected."""
        with closing(self.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f'drop database if exists "{warehouse.where.db}" with (force)')


def migrated_server(embedded: Embedded, directory: Path) -> Server:
    """Start a server with a migrated database `migrated` to copy from."""
    server = Server(embedded, embedded.start(), directory)
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        # No power will be cut here, and databases come and go all the time.
        cursor.execute("alter system set fsync = off")
        cursor.execute("select pg_reload_conf()")
    server.database("migrated")
    migrate()
    with closing(connect()) as connection:
        assert privileges.apply(connection) is None
    return server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of this test process."""
    directory = tmp_path_factory.mktemp("server")
    embedded = Embedded(directory / "home")
    try:
        yield migrated_server(embedded, directory)
    finally:
        embedded.stop()


_names = iter(range(1_000_000))


@pytest.fixture
def warehouse(server: Server) -> Iterator[Warehouse]:
    """An empty warehouse for one test."""
    warehouse = server.database(f"test_{next(_names)}", "migrated")
    yield warehouse
    server.drop(warehouse)


@pytest.fixture(scope="module")
def module_warehouse(server: Server) -> Iterator[Warehouse]:
    """An empty warehouse that the tests of a module fill and read together."""
    warehouse = server.database(f"module_{next(_names)}", "migrated")
    yield warehouse
    server.drop(warehouse)


@pytest.fixture(scope="session")
def _sampled(server: Server) -> Warehouse:
    warehouse = server.database("sampled", "migrated")
    for command in (["snapshots", "seeds/sample"], ["replay", "seeds/market"]):
        assert warehouse.loader(command[0], PROJECT_ROOT / command[1]).returncode == 0
    warehouse.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    return warehouse


@pytest.fixture(scope="module")
def sampled(_sampled: Warehouse) -> Warehouse:
    """What `make run` leaves behind; only read by those who use it."""
    _sampled.activate()
    return _sampled
