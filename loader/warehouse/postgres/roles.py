"""Least privilege: the roles, and who may do what (`privileges.csv`, the whole matrix)."""

import csv
import time
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, get_args

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

Role = Literal["loader", "transformer", "reader", "exporter", "maintainer"]
ROLE_PREFIX = "warehouse_"
ROLES: tuple[Role, ...] = get_args(Role)

_ATTEMPTS = 10
_PATIENCE_SECONDS = 60
# How a GRANT fails while somebody else makes and drops tables: "tuple concurrently updated", a
# deadlock, or a table that is gone by now.
_IN_THE_WAY = (
    psycopg2.errors.InternalError_,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedObject,
)


@dataclass(frozen=True)
class Rule:
    """One row of the matrix: an object, and what each role may do with it.

    `kind` is database, schema, table (one), tables or functions (all of a schema);
    a cell is a list of Postgres privileges, `owner`, or empty.
    """

    kind: str
    schema: str
    name: str
    cells: dict[Role, str]

    @property
    def owner(self) -> Role | None:
        """The role that owns what the rule covers, None where it is the migrations' user."""
        return next((role for role, cell in self.cells.items() if cell == "owner"), None)


def matrix() -> list[Rule]:
    """The rules of `privileges.csv`, in its order; single tables come after their schema."""
    text = (resources.files("loader.warehouse.postgres") / "privileges.csv").read_text()
    rules = []
    for row in csv.DictReader(text.splitlines()):
        kind, _, path = row["object"].partition(" ")
        schema, _, name = path.partition(".")
        rules.append(Rule(kind, schema, name, {role: row[role] for role in ROLES}))
    return sorted(rules, key=lambda rule: rule.kind == "table")


def apply(connection: Connection) -> str | None:
    """Make the roles and grant the matrix, in one transaction; repeatable.

    Returns None, or one line that says why there are no roles: everything then runs with the
    connected user's own rights. A dbt that swaps tables meanwhile is waited for.
    """
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _apply(connection)
                break
            except _IN_THE_WAY:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(attempt / 2)
    except psycopg2.errors.InsufficientPrivilege as error:
        message = str(error).splitlines()[0]
        return f"no least-privilege roles: {message}; commands run with this user's own rights"
    return None


def _apply(connection: Connection) -> None:
    with connection, connection.cursor() as cursor:
        _wait_for_models(cursor)
        for role in ROLES:
            _ensure_role(cursor, role)
        for rule in matrix():
            _apply_rule(cursor, rule)


def _wait_for_models(cursor: Any) -> None:
    """Let a `loader transform` end first, for a while: a GRANT in between may make it fail."""
    for _ in range(_PATIENCE_SECONDS * 2):
        cursor.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('bitso-warehouse:transform', 0))"
        )
        [(is_mine,)] = cursor.fetchall()
        if is_mine:
            return
        time.sleep(0.5)


def _identifier(role: Role) -> sql.Identifier:
    return sql.Identifier(ROLE_PREFIX + role)


def _ensure_role(cursor: Any, role: Role) -> None:
    name = ROLE_PREFIX + role
    cursor.execute("select from pg_roles where rolname = %s", (name,))
    if cursor.rowcount == 0:
        cursor.execute(sql.SQL("create role {} nologin").format(_identifier(role)))
    cursor.execute("select pg_has_role(%s, 'SET') and pg_has_role(%s, 'USAGE')", (name, name))
    [(has_it,)] = cursor.fetchall()
    if not has_it:
        cursor.execute(
            sql.SQL("grant {} to current_user with inherit true, set true").format(
                _identifier(role)
            )
        )


def _apply_rule(cursor: Any, rule: Rule) -> None:
    if rule.owner:
        _give_to_owner(cursor, rule, rule.owner)
    target = _target(cursor, rule)
    for role, cell in rule.cells.items():
        if cell == "owner":
            continue
        parts = {"target": target, "role": _identifier(role), "cell": sql.SQL(cell)}
        cursor.execute(sql.SQL("revoke all on {target} from {role}").format(**parts))
        if cell:
            cursor.execute(sql.SQL("grant {cell} on {target} to {role}").format(**parts))
        if rule.kind == "tables" and rule.owner:
            _apply_to_future_tables(cursor, rule, rule.owner, role, cell)


def _apply_to_future_tables(cursor: Any, rule: Rule, owner: Role, role: Role, cell: str) -> None:
    """The same for the tables that dbt and the partition functions will make."""
    for verb, privileges, preposition in (("revoke", "all", "from"), ("grant", cell, "to")):
        if not privileges:
            continue
        cursor.execute(
            sql.SQL(
                "alter default privileges for role {owner} in schema {schema} "
                "{verb} {privileges} on tables {preposition} {role}"
            ).format(
                owner=_identifier(owner),
                schema=sql.Identifier(rule.schema),
                verb=sql.SQL(verb),
                privileges=sql.SQL(privileges),
                preposition=sql.SQL(preposition),
                role=_identifier(role),
            )
        )


def _target(cursor: Any, rule: Rule) -> sql.Composable:
    if rule.kind == "database":
        cursor.execute("select current_database()")
        [(name,)] = cursor.fetchall()
        return sql.SQL("database {}").format(sql.Identifier(name))
    if rule.kind == "schema":
        return sql.SQL("schema {}").format(sql.Identifier(rule.schema))
    if rule.kind == "table":
        return sql.SQL("table {}").format(sql.Identifier(rule.schema, rule.name))
    return sql.SQL("all {} in schema {}").format(sql.SQL(rule.kind), sql.Identifier(rule.schema))


def _give_to_owner(cursor: Any, rule: Rule, owner: Role) -> None:
    """Hand over what the connected user made: the functions, tables and views that it covers."""
    if rule.kind == "functions":
        cursor.execute(
            "select 'function', oid::regprocedure::text from pg_proc "
            "where pronamespace = %s::regnamespace and proowner <> %s::regrole",
            (rule.schema, ROLE_PREFIX + owner),
        )
    else:
        cursor.execute(
            "select case relkind when 'v' then 'view' else 'table' end, oid::regclass::text "
            "from pg_class where relnamespace = %s::regnamespace "
            "and relkind in ('r', 'p', 'v') and relowner <> %s::regrole and %s in ('*', relname)",
            (rule.schema, ROLE_PREFIX + owner, rule.name),
        )
    for kind, name in cursor.fetchall():
        # Names come from the catalogue, quoted by regclass and regprocedure.
        cursor.execute(
            sql.SQL("alter {} {} owner to {}").format(
                sql.SQL(kind), sql.SQL(name), _identifier(owner)
            )
        )
