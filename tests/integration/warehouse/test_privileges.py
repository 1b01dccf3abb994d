"""Least privilege: every cell of privileges.csv holds on a warehouse that was used."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.embedded import Embedded
from loader.warehouse.postgres.profiles import write_profile
from loader.warehouse.postgres.roles import ROLE_PREFIX, ROLES, Role, Rule, matrix
from tests.conftest import Server, Warehouse

TABLE_PRIVILEGES = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN",
)  # fmt: skip


@pytest.fixture(scope="module")
def used(server: Server, sampled: Warehouse) -> Iterator[Warehouse]:
    """A warehouse with loaded snapshots and built models, old ones replaced by new ones."""
    warehouse = server.database("used", sampled.where.db)
    # What is granted on a database itself does not come along with a copy.
    with closing(connect()) as connection:
        assert privileges.apply(connection) is None
        assert privileges.restrict_everybody(connection) is None
    warehouse.dbt("run", "--select", "target")
    yield warehouse
    server.drop(warehouse)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "rule", matrix(), ids=lambda rule: f"{rule.kind} {rule.schema}.{rule.name}".rstrip(" .")
)
def test_every_cell_of_the_matrix_holds(used: Warehouse, rule: Rule, role: Role) -> None:
    objects = _objects(used, rule)
    assert objects, f"nothing in the warehouse is covered by {rule}"
    expected = _expected(rule, role)
    actual = {name: _actual(used, rule, role, name) for name in objects}
    assert actual == dict.fromkeys(objects, expected)


def _objects(used: Warehouse, rule: Rule) -> list[str]:
    """The objects of a rule; one that a single-table rule covers is that rule's alone."""
    if rule.kind == "database":
        return [used.where.db]
    if rule.kind == "schema":
        return [rule.schema]
    if rule.kind == "table":
        return [f"{rule.schema}.{rule.name}"]
    if rule.kind == "functions":
        query = "select oid::regprocedure::text from pg_proc where pronamespace = %s::regnamespace"
        return [name for (name,) in used.rows(query, rule.schema)]
    single = {f"{one.schema}.{one.name}" for one in matrix() if one.kind == "table"}
    query = (
        "select oid::regclass::text from pg_class "
        "where relnamespace = %s::regnamespace and relkind in ('r', 'p', 'v')"
    )
    return [name for (name,) in used.rows(query, rule.schema) if name not in single]


def _expected(rule: Rule, role: Role) -> set[str]:
    cell = rule.cells[role]
    if cell == "owner":
        return {"EXECUTE"} if rule.kind == "functions" else set(TABLE_PRIVILEGES)
    return {part.strip().upper() for part in cell.split(",")} - {""}


def _actual(used: Warehouse, rule: Rule, role: Role, name: str) -> set[str]:
    kind, candidates = {
        "database": ("database", ("CREATE", "CONNECT", "TEMPORARY")),
        "schema": ("schema", ("CREATE", "USAGE")),
        "functions": ("function", ("EXECUTE",)),
    }.get(rule.kind, ("table", TABLE_PRIVILEGES))
    held = {
        privilege
        for (privilege,) in used.rows(
            f"select privilege from unnest(%s) as privilege "
            f"where has_{kind}_privilege(%s, %s, privilege)",
            list(candidates), ROLE_PREFIX + role, name,
        )
    }  # fmt: skip
    if kind == "table" and "UPDATE" not in held:
        held |= {
            f"UPDATE ({column.upper()})"
            for (column,) in used.rows(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
                "and has_column_privilege(%s, attrelid, attnum, 'UPDATE')",
                name,
                ROLE_PREFIX + role,
            )
        }
    return held


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("loader", "update raw.deposits set amount = 0"),
        ("loader", "delete from raw.deposits"),
        ("loader", "truncate raw.deposits"),
        ("loader", "create table raw.mine (a int)"),
        ("loader", "update raw.snapshots set is_current = true"),
        ("loader", "update ops.quarantine set raw = ''"),
        ("loader", "delete from ops.runs"),
        ("loader", "select * from target.deposits"),
        ("loader", "delete from raw.bitso_tickers"),
        ("loader", "update raw.bitso_order_books_20260105 set bid = 0"),
        ("loader", "drop table raw.bitso_tickers_20260105"),
        ("loader", "alter table raw.bitso_tickers detach partition raw.bitso_tickers_20260105"),
        ("loader", "delete from ops.cursors"),
        ("transformer", "select raw.ensure_day('bitso_tickers', '2026-01-06')"),
        ("transformer", "select raw.drop_day('bitso_tickers', '2026-01-05', 0)"),
        ("transformer", "insert into raw.bitso_tickers_20260105 select * from raw.bitso_tickers"),
        ("transformer", "select * from ops.cursors"),
        ("reader", "select * from raw.bitso_tickers"),
        ("transformer", "insert into raw.users values (1, 1, 1, 'u')"),
        ("transformer", "select raw.drop_old_snapshots('deposits', 1)"),
        ("transformer", "select * from ops.quarantine"),
        ("reader", "select * from raw.users"),
        ("reader", "select * from target.users"),
        ("reader", "select * from ops.runs"),
        ("reader", "create table marts.mine (a int)"),
        ("exporter", "select * from raw.users"),
        ("exporter", "delete from target.users"),
        *((role, "create temporary table mine ()") for role in ROLES if role != "transformer"),
    ],
)
def test_what_a_role_may_not_do_is_refused(used: Warehouse, role: Role, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        used.rows(statement, role=role)


@pytest.mark.parametrize("role", ROLES)
def test_no_function_makes_a_large_object_for_a_role(used: Warehouse, role: Role) -> None:
    functions = used.rows(
        "select proname, array(select format_type(kind, null) from unnest(proargtypes) as kind) "
        "from pg_proc where proname ~ '^lo' and prokind = 'f' and provolatile = 'v' "
        "and pronamespace = 'pg_catalog'::regnamespace"
    )
    assert {"lo_create", "lo_open"} <= {name for name, _ in functions}
    values = {"integer": "-1", "bigint": "0", "oid": "0", "bytea": "'x'", "text": "'/etc/passwd'"}
    for name, kinds in functions:
        arguments = ", ".join(f"{values[kind]}::{kind}" for kind in kinds)
        with suppress(psycopg2.Error):
            used.rows(f"select {name}({arguments})", role=role)
    assert used.rows("select count(*) from pg_largeobject_metadata") == [(0,)]


def test_readers_keep_their_rights_over_a_rebuild(used: Warehouse) -> None:
    used.dbt("run", "--full-refresh", "--select", "marts")
    assert used.rows("select count(*) > 0 from marts.daily_active_users", role="reader") == [
        (True,)
    ]


def _database_of(server: Server, user: str, options: str) -> Warehouse:
    """An empty database that a login without superuser rights owns; that login is active."""
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(f"create role {user} login password 'secret' {options}")
    warehouse = server.database(f"of_{user}")
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(f'alter database "of_{user}" owner to {user}')
    mine = Warehouse(warehouse.where._replace(user=user, password="secret"), warehouse.directory)
    mine.activate()
    return mine


def test_a_user_who_may_not_create_roles_gets_one_line_and_the_rest_works(server: Server) -> None:
    warehouse = _database_of(server, "plain", "")
    done = warehouse.loader("init")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("no least-privilege roles: permission denied")
    users = Path(warehouse.directory / "users.csv")
    users.write_text("user_id\nabc\n")
    assert warehouse.loader("snapshots", users).returncode == 0
    warehouse.dbt("run", "--select", "+users")
    assert warehouse.rows("select user_id from target.users") == [("abc",)]
    server.drop(warehouse)
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("drop role plain")


def test_roles_are_made_by_a_user_with_createrole(tmp_path: Path) -> None:
    # On a server of its own: the roles must not be there yet.
    embedded = Embedded(tmp_path / "home")
    server = Server(embedded, embedded.start(), tmp_path)
    try:
        warehouse = _database_of(server, "owner", "createrole")
        done = warehouse.loader("init")
        assert (done.returncode, done.stderr) == (
            0,
            "readers of this database can make large objects (only a superuser can forbid that)\n",
        )
        write_profile(warehouse.directory, warehouse.where, with_role=True)
        users = Path(warehouse.directory / "users.csv")
        users.write_text("user_id\nabc\n")
        assert warehouse.loader("snapshots", users).returncode == 0
        owners = warehouse.rows(
            "select distinct pg_get_userbyid(relowner) from pg_class "
            "where relnamespace = 'raw'::regnamespace and relkind in ('r', 'p')"
        )
        assert owners == [("warehouse_maintainer",)]
        with closing(connect("loader")) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user")
            assert cursor.fetchall() == [("warehouse_loader",)]
        with closing(connect()) as connection:
            assert privileges.apply(connection) is None
    finally:
        embedded.stop()


@pytest.mark.usefixtures("warehouse")
def test_init_waits_for_the_models() -> None:
    """A GRANT beside a dbt that swaps tables: `tuple concurrently updated`, for one of the two."""
    with closing(connect("loader")) as other, closing(connect()) as connection:
        with single_flight(other, "transform"):
            done = threading.Thread(target=privileges.apply, args=(connection,))
            done.start()
            done.join(1.5)
            assert done.is_alive()
        done.join(10)
        assert not done.is_alive()
