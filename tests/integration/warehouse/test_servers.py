"""Whole servers that are not as usual: full of connections, a standby, one that starts or ends."""

import subprocess
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.connection import Endpoint, connect
from loader.warehouse.postgres.embedded import BIN as POSTGRES
from loader.warehouse.postgres.embedded import SUPERUSER, Embedded
from tests.conftest import BIN, Server, Warehouse, migrated_server
from tests.local_server import free_port
from tests.waiting import read_until, wait_for

MOST_CONNECTIONS = 12


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A small server that a standby may follow."""
    directory = tmp_path_factory.mktemp("primary")
    embedded = Embedded(directory / "home")
    try:
        server = migrated_server(embedded, directory)
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            for setting in (
                f"max_connections = {MOST_CONNECTIONS}", "wal_level = replica",
                "max_wal_senders = 2", "default_transaction_isolation = serializable",
            ):  # fmt: skip
                cursor.execute(f"alter system set {setting}")
        embedded.stop()
        # It ends and comes back to its port: none of those that others take meanwhile.
        yield Server(embedded, embedded.start(free_port()), directory)
    finally:
        embedded.stop()


@pytest.fixture
def warehouse(primary: Server) -> Warehouse:
    """The migrated database of that server."""
    return at(primary, primary.port)


def at(server: Server, port: int) -> Warehouse:
    where = Endpoint("127.0.0.1", port, SUPERUSER, server.embedded.password, "migrated")
    warehouse = Warehouse(where, server.directory)
    warehouse.activate()
    return warehouse


def test_a_server_full_of_connections_is_waited_for(primary: Server, warehouse: Warehouse) -> None:
    held = []
    try:
        while True:
            held.append(primary.admin())
    except psycopg2.OperationalError:
        done = warehouse.call("loader", "status")
        asked = warehouse.call("dashboards", "ask", "books")
    finally:
        for connection in held:
            connection.close()
    for each in (done, asked):
        assert each.returncode == 75
        assert "too many clients already" in each.stderr
        assert each.stderr.count("\n") == 1


def test_a_standby_answers_and_takes_nothing(primary: Server) -> None:
    """Whoever follows alerts outlives it, until the standby is promoted."""
    home = primary.directory / "standby"
    home.mkdir()
    standby = Embedded(home)
    launch = primary.embedded._launch()
    standby._launch()  # the directory is for the same user
    where = (
        f"host=127.0.0.1 port={primary.port} user={SUPERUSER} password={primary.embedded.password}"
    )
    copied = launch.run(
        str(POSTGRES / "pg_basebackup"), "-d", where, "-D", str(standby.data), "-R", "-c", "fast"
    )
    assert copied.returncode == 0, copied.stderr
    try:
        following = at(primary, standby.start())
        assert following.rows("select pg_is_in_recovery()", role="reader") == [(True,)]
        assert following.call("dashboards", "ask", "books").returncode == 1  # no models yet
        for command in (["init"], ["snapshots", __file__], ["transform"], ["alerts"]):
            done = following.call("loader", *command)
            assert done.returncode == 75, done.stderr
            assert "recovery" in done.stderr or "read-only" in done.stderr
            assert done.stderr.count("\n") == 1
        follower = subprocess.Popen(
            [BIN / "loader", "alerts", "--follow"], stderr=subprocess.PIPE, text=True
        )
        try:
            read_until(follower.stderr, "the server takes no writes: it is a standby")
            launch.run(str(POSTGRES / "pg_ctl"), "promote", "-D", str(standby.data))
            read_until(follower.stderr, "watching")
        finally:
            follower.terminate()
            follower.communicate()
    finally:
        standby.stop()


def test_a_server_that_ends_is_waited_for(primary: Server, warehouse: Warehouse) -> None:
    """With `smart`, it lets nobody in until the last session has ended."""
    launch = primary.embedded._launch()
    with closing(primary.admin()):
        launch.run(
            str(POSTGRES / "pg_ctl"), "stop", "-D", str(primary.embedded.data),
            "-m", "smart", "-W",
        )  # fmt: skip
        wait_for(lambda: "is shutting down" in told(), "the end of a server")
        done = warehouse.call("loader", "status")
        assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    wait_for(lambda: primary.embedded.running_port() is None, "a server that has ended")
    done = warehouse.call("loader", "status")
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    primary.embedded.start(primary.port)


def told() -> str:
    """Why nobody is let in, if so."""
    try:
        connect().close()
    except TransientError as error:
        return str(error)
    return ""
