"""A pooler that mixes sessions is noticed at once and named; one that keeps them does."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import psycopg2
import pytest

from loader.operations.dbt import run_dbt
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.roles import ROLES
from tests.conftest import Warehouse
from tests.environment import settings
from tests.local_server import free_port
from tests.pooler import pooling
from tests.snapshot_files import good_rows, write
from tests.waiting import wait_for

PGBOUNCER = shutil.which("pgbouncer")
REAL = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
NAMED = "is a pooler that gives each transaction another session (pgbouncer's pool_mode = trans"
Pooler = Callable[[Warehouse, str], AbstractContextManager[int]]


@contextmanager
def miniature(warehouse: Warehouse, mode: str) -> Iterator[int]:
    assert mode in ("session", "transaction")
    with pooling(warehouse.where.port, "session" if mode == "session" else "transaction") as port:
        yield port


@contextmanager
def pgbouncer(warehouse: Warehouse, mode: str) -> Iterator[int]:
    """A real one, which refuses to run as root."""
    directory = warehouse.directory / f"pgbouncer-{mode}"
    directory.mkdir()
    where, port = warehouse.where, free_port()
    (directory / "users.txt").write_text(f'"{where.user}" "{where.password}"\n')
    mode, _, more = mode.partition(" ")
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={where.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = users.txt\npool_mode = {mode}\n{more}\n"
    )
    user = None
    if os.geteuid() == 0:
        user = "nobody"
        account = pwd.getpwnam(user)
        for path in (directory, *directory.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        [str(PGBOUNCER), "-q", "pgbouncer.ini"], cwd=directory, user=user, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _is_up(where.user, where.password, where.db, port), "pgbouncer")
        yield port
    finally:
        process.terminate()
        process.wait()


def _is_up(user: str, password: str, db: str, port: int) -> bool:
    try:
        psycopg2.connect(
            host="127.0.0.1", port=port, user=user, password=password, dbname=db
        ).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    ("pooler", "mode"),
    [
        (miniature, "transaction"),
        pytest.param(pgbouncer, "transaction", marks=REAL),
        # The sessions are handed out in turn.
        pytest.param(pgbouncer, "transaction server_round_robin = 1", marks=REAL),
        pytest.param(pgbouncer, "transaction default_pool_size = 1", marks=REAL),
        pytest.param(pgbouncer, "statement", marks=REAL),
    ],
)
def test_one_that_mixes_sessions_is_named(warehouse: Warehouse, pooler: Pooler, mode: str) -> None:
    with pooler(warehouse, mode) as port, settings(WAREHOUSE_PORT=str(port)):
        for role in (None, *ROLES):
            with pytest.raises(TerminalError) as info:
                connect(role)
            assert NAMED in str(info.value)
        for command in (("loader", "init"), ("loader", "status"), ("dashboards", "ask", "books")):
            done = warehouse.call(*command)
            assert done.returncode == 1
            assert NAMED in done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("pooler", [miniature, pytest.param(pgbouncer, marks=REAL)])
def test_one_that_keeps_them_does(warehouse: Warehouse, pooler: Pooler) -> None:
    with pooler(warehouse, "session") as port, settings(WAREHOUSE_PORT=str(port)):
        with closing(connect("loader")) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user, current_setting('timezone')")
            assert cursor.fetchall() == [("warehouse_loader", "UTC")]
        assert warehouse.call("loader", "status").returncode == 0
        done = warehouse.call("loader", "prune")
        assert done.returncode == 0, done.stderr


@REAL
def test_a_whole_day_by_way_of_pgbouncer(warehouse: Warehouse) -> None:
    """Loading, dbt, asking: COPY, locks, roles, and settings that pgbouncer would refuse."""
    users = write(warehouse.directory, "users.csv", "users", good_rows("users", 3))
    with pgbouncer(warehouse, "session") as port, settings(WAREHOUSE_PORT=str(port)):
        assert warehouse.call("loader", "init").returncode == 0
        done = warehouse.call("loader", "snapshots", users)
        assert done.returncode == 0, done.stderr
        run_dbt("run", "--select", "+users")
        assert warehouse.rows("select count(*) from target.users", role="exporter") == [(3,)]
