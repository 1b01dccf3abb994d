"""A real Postgres for every test that touches SQL: one embedded server a test process.

Each `warehouse` is a database of its own, copied from a migrated template.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2
import pytest
from click.testing import CliRunner
from psycopg2.extensions import connection as Connection

from dashboards.cli import main as dashboards
from loader.cli.main import main as loader
from loader.operations import transform
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import Endpoint, connect
from loader.warehouse.postgres.embedded import SUPERUSER, Embedded
from loader.warehouse.postgres.migrate import migrate
from loader.warehouse.postgres.profiles import write_profile
from loader.warehouse.postgres.roles import Role
from loader.warehouse.settings import PROJECT_ROOT, get_settings
from tests.dbt_in_process import run_dbt
from tests.leftovers_found import threads
from tests.waiting import LAST_RESORT_SECONDS

pytest_plugins = ["tests.in_memory", "tests.leftovers"]
BIN = Path(sys.executable).parent
COMMANDS = {"loader": loader, "dashboards": dashboards}
# What somebody has in .env is no business of the tests.
os.environ["WAREHOUSE_ENV_FILE"] = os.devnull
# `make coverage` reaches children by a variable: one with an environment of its own needs it too.
MEASURED = {key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")}


# Workers share the tests, a module at a time: the last of them must be short ones.
LONGEST_FIRST = (
    "operations/test_transform.py", "readers/test_readers.py", "models/test_market.py",
    "models/test_users.py", "readers/test_swap.py",
    "scheduler/test_scheduler.py", "lake/test_models.py", "metabase/test_provision.py",
    "models/test_coverage.py", "snapshots/test_faults.py", "snapshots/test_load.py",
    "warehouse/test_privileges.py", "alerts/test_report.py", "alerts/test_alerts.py",
    "dashboards/serve/test_browser.py", "dashboards/test_preview.py", "dashboards/test_answers.py",
    "dashboards/test_output.py",
    "stream/test_daemon.py", "stream/test_account.py", "docs/test_docs.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take longest first; `--no-loadscope-reorder` hands them out so."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next(
            (n for n, name in enumerate(LONGEST_FIRST) if path.endswith(name)), len(LONGEST_FIRST)
        )

    items.sort(key=place)


@contextlib.contextmanager
def as_a_process(environment: dict[str, str]) -> Iterator[None]:
    """What a command sets for its process ends with it: settings, signals, where it logs to."""
    root = logging.getLogger()
    handlers, level, on_sigterm = root.handlers, root.level, signal.getsignal(signal.SIGTERM)
    # libpq reads the environment wherever it connects: to change it under a thread that does, as
    # those of the stream do, may take this process down.
    readers = {name for name in threads() if name.startswith("thread stream")}
    assert not (environment and readers), f"{readers} may read the environment meanwhile"
    changed = mock.patch.dict(os.environ, environment) if environment else contextlib.nullcontext()
    try:
        with changed:
            root.handlers = []
            get_settings.cache_clear()
            yield
    finally:
        get_settings.cache_clear()
        root.handlers = handlers
        root.setLevel(level)
        signal.signal(signal.SIGTERM, on_sigterm)


@dataclass
class Warehouse:
    """One database under test, and the commands that people type, aimed at it."""

    where: Endpoint
    directory: Path
    # What measures dbt, or measures beside it, wants a process of its own.
    starts_dbt: bool = False

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
            # dbt would write into the project.
            DBT_TARGET_PATH=str(self.directory.parent / "dbt_target"),
            DBT_LOG_PATH=str(self.directory / "dbt_logs"),
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
            timeout=LAST_RESORT_SECONDS,
        )

    def loader(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """`loader ...`."""
        return self.run("loader", *map(str, arguments), **environment)

    def call(
        self, name: str, *arguments: object, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A console script in this process: where the test is about what it says and leaves."""
        command = [str(each) for each in arguments]
        with contextlib.chdir(self.directory), as_a_process(environment):
            done = CliRunner(catch_exceptions=False).invoke(COMMANDS[name], command)
        return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)

    def dbt(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`dbt ...` in the project; with `check`, a failure fails the test with dbt's output."""
        command = (
            "--warn-error-options", '{"error": ["Deprecations"]}', *arguments,
            "--project-dir", str(PROJECT_ROOT / "dbt_project"),
            "--target-path", str(self.directory.parent / "dbt_target"),
            "--log-path", str(self.directory / "dbt_logs"),
        )  # fmt: skip
        done = (
            # It runs nothing of ours, and being watched would take it twice as long.
            self.run("dbt", *command, COVERAGE_PROCESS_CONFIG="")
            if self.starts_dbt
            else run_dbt(self.where.db, *command)
        )
        if check and done.returncode != 0:
            pytest.fail(f"dbt {' '.join(arguments)}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
        return done

    def transform(self, since: datetime | None = None, until: datetime | None = None) -> LedgerRun:
        """What `loader transform` does, with dbt in this process."""
        with mock.patch.object(transform, "run_dbt", self.dbt):
            return transform.transform(since, until)


@dataclass(frozen=True)
class Server:
    """The embedded server of this test process."""

    embedded: Embedded
    port: int
    directory: Path
    starts_dbt: bool = False

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
            cursor.execute(f'create database "{name}" template "{template}" strategy = file_copy')
        where = Endpoint("127.0.0.1", self.port, SUPERUSER, self.embedded.password, name)
        directory = self.directory / name
        directory.mkdir()
        warehouse = Warehouse(where, directory, starts_dbt=self.starts_dbt)
        warehouse.activate()
        write_profile(directory, where, with_role=True)
        return warehouse

    def drop(self, warehouse: Warehouse) -> None:
        """Drop a database, whoever is still connected."""
        with closing(self.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f'drop database if exists "{warehouse.where.db}" with (force)')


def migrated_server(embedded: Embedded, directory: Path, *, starts_dbt: bool = False) -> Server:
    """Start a server with a migrated database `migrated` to copy from."""
    server = Server(embedded, embedded.start(), directory, starts_dbt)
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        # No power will be cut here, and databases come and go all the time.
        cursor.execute("alter system set fsync = off")
        # Connections too: a password need not be slow to try, nor the one that initdb stored.
        cursor.execute("alter system set scram_iterations = 1")
        cursor.execute("select pg_reload_conf()")
        cursor.execute("set scram_iterations = 1")
        cursor.execute(f"alter role {SUPERUSER} password '{embedded.password}'")
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
    for command, directory in (("snapshots", "sample"), ("replay", "market")):
        done = warehouse.call("loader", command, PROJECT_ROOT / "seeds" / directory)
        assert done.returncode == 0, done.stderr
    warehouse.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    return warehouse


@pytest.fixture(scope="module")
def sampled(_sampled: Warehouse) -> Warehouse:
    """What `make run` leaves behind; only read by those who use it."""
    _sampled.activate()
    return _sampled
