"""The logins of a server that is ours: `loader init` makes them, each with its one role."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres import logins
from loader.warehouse.settings import get_settings
from tests.conftest import Server, Warehouse

PASSWORDS = {
    "WAREHOUSE_LOGIN_LOADER_PASSWORD": "l'oad\\er",
    "WAREHOUSE_LOGIN_TRANSFORMER_PASSWORD": "trans%former",
    "WAREHOUSE_LOGIN_EXPORTER_PASSWORD": "exporter",
    "WAREHOUSE_LOGIN_METABASE_PASSWORD": "metabase",
    "WAREHOUSE_LOGIN_METABASE_READER_PASSWORD": "reader",
}
NAMES = ("loader", "transformer", "exporter", "metabase", "metabase_reader")


@pytest.fixture
def made(server: Server, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A warehouse whose logins have been made; what `loader init` said."""
    for name, password in PASSWORDS.items():
        monkeypatch.setenv(name, password)
    done = warehouse.call("loader", "init")
    assert (done.returncode, done.stderr) == (0, "")
    yield done.stdout
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("drop database metabase")
        for name in NAMES:
            cursor.execute(f"drop role if exists {name}")


def ask(warehouse: Warehouse, user: str, password: str, query: str, db: str = "") -> Any:
    """What a login is answered, or the name of the error."""
    where = warehouse.where
    try:
        with (
            closing(
                psycopg2.connect(
                    host=where.host, port=where.port, user=user, password=password,
                    dbname=db or where.db,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):  # fmt: skip
            cursor.execute(query)
            connection.commit()
            return cursor.fetchall() if cursor.description else []
    except psycopg2.Error as error:
        return type(error).__name__


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("user", "query", "answer"),
    [
        ("loader", "insert into ops.runs (job) values ('x')", []),
        ("loader", "create table raw.mine ()", "InsufficientPrivilege"),
        ("loader", "set role warehouse_transformer", "InsufficientPrivilege"),
        ("transformer", "set role warehouse_transformer; create table marts.mine ()", []),
        ("transformer", "insert into ops.runs (job) values ('x')", "InsufficientPrivilege"),
        ("exporter", "select from marts.seen limit 0", []),
        ("exporter", "select from raw.users", "InsufficientPrivilege"),
        ("metabase_reader", "select from marts.seen limit 0", []),
        ("metabase_reader", "create temp table mine ()", "ReadOnlySqlTransaction"),
        ("metabase_reader", "select from target.users", "InsufficientPrivilege"),
        ("metabase_reader", "show statement_timeout", [("1min",)]),
        ("metabase", "select 1", "OperationalError"),
    ],
)
def test_a_login_may_what_its_role_may(
    warehouse: Warehouse, user: str, query: str, answer: object
) -> None:
    warehouse.rows("create table if not exists marts.seen (a integer)", role="transformer")
    secrets = {
        "loader": "l'oad\\er", "transformer": "trans%former", "metabase_reader": "reader",
    }  # fmt: skip
    assert ask(warehouse, user, secrets.get(user, user), query) == answer


@pytest.mark.usefixtures("made")
def test_metabase_has_a_database_of_its_own(warehouse: Warehouse) -> None:
    assert ask(warehouse, "metabase", "metabase", "create table mine ()", "metabase") == []
    for name in ("loader", "metabase_reader"):
        password = PASSWORDS[f"WAREHOUSE_LOGIN_{name.upper()}_PASSWORD"]
        assert ask(warehouse, name, password, "select 1", "metabase") == "OperationalError"


def test_again_it_changes_nothing_but_a_password(
    warehouse: Warehouse, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.count("made the login") == len(NAMES)
    monkeypatch.setenv("WAREHOUSE_LOGIN_EXPORTER_PASSWORD", "another")
    done = warehouse.loader("init")
    assert done.returncode == 0
    assert "made the login" not in done.stdout
    assert ask(warehouse, "exporter", "exporter", "select 1") == "OperationalError"
    assert ask(warehouse, "exporter", "another", "select 1") == [(1,)]


def test_without_passwords_there_are_no_logins(warehouse: Warehouse) -> None:
    assert "login" not in warehouse.loader("init").stdout
    [(count,)] = warehouse.rows("select count(*) from pg_roles where rolname = any(%s)", [*NAMES])
    assert count == 0


def test_a_user_who_may_make_none_is_told(
    server: Server, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("create role makes_none login password 'plain'")
    try:
        for name, value in {
            "WAREHOUSE_USER": "makes_none", "WAREHOUSE_PASSWORD": "plain",
            "WAREHOUSE_LOGIN_METABASE_READER_PASSWORD": "reader",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        with pytest.raises(TerminalError, match="login metabase_reader: permission denied to cr"):
            list(logins.apply())
    finally:
        monkeypatch.undo()
        warehouse.activate()
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute("drop role makes_none")
