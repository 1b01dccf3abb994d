"""Least privilege: the roles, and who may do what (`privileges.csv`, the whole matrix)."""

import contextlib
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, TypeVar, get_args

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

Role = Literal["loader", "transformer", "reader", "exporter", "maintainer"]
ROLE_PREFIX = "warehouse_"
ROLES: tuple[Role, ...] = get_args(Role)
T = TypeVar("T")

_ATTEMPTS = 10
_PATIENCE_SECONDS = 60
# How it fails while somebody else makes, changes or drops the same: "tuple concurrently updated", a
# deadlock, what is gone by now, what has just come, a database that is being copied.
_IN_THE_WAY = (
    psycopg2.errors.InternalError_,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedObject,
    psycopg2.errors.UniqueViolation,
    psycopg2.errors.DuplicateObject,
    psycopg2.errors.DuplicateDatabase,
    psycopg2.errors.ObjectInUse,
)
# Whoever may execute these makes large objects, which no privilege on a schema prevents.
_MAKE_LARGE_OBJECTS = ("lo_creat", "lo_create", "lo_from_bytea", "lo_import")


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
        despite_others(lambda: _apply(connection))
    except psycopg2.errors.InsufficientPrivilege as error:
        message = str(error).splitlines()[0]
        return f"no least-privilege roles: {message}; commands run with this user's own rights"
    return None


def despite_others(work: Callable[[], T]) -> T:
    """What the work returns, done again for as long as others change the same at that moment."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return work()
        except _IN_THE_WAY:
            time.sleep(attempt / 2)
    return work()


def restrict_everybody(connection: Connection) -> str | None:
    """Take from all users what Postgres gives them: temporary tables and large objects.

    Returns None, or one line that says what they keep, because it is not ours to take away.
    """
    despite_others(lambda: _restrict_everybody(connection))
    with connection, connection.cursor() as cursor:
        left = [f"{what} (only {who} can forbid that)" for what, who, _ in _open_to_all(cursor)]
    return f"readers of this database can make {' and '.join(left)}" if left else None


def _restrict_everybody(connection: Connection) -> None:
    with connection, connection.cursor() as cursor:
        found = list(_open_to_all(cursor))
    for _, _, statement in found:
        # Each by itself: one may be the user's to take away, and the other not.
        with (
            contextlib.suppress(psycopg2.errors.InsufficientPrivilege),
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def _open_to_all(cursor: Any) -> Iterator[tuple[str, str, sql.Composed]]:
    """What everybody can make, who can take that away, and how."""
    cursor.execute(
        "select current_database(), has_database_privilege('public', current_database(), 'TEMP')"
    )
    [(database, is_open)] = cursor.fetchall()
    if is_open:
        statement = sql.SQL("revoke temporary on database {} from public")
        yield (
            "temporary tables",
            "the owner of the database",
            statement.format(sql.Identifier(database)),
        )
    cursor.execute(
        "select string_agg(oid::regprocedure::text, ', ') from pg_proc "
        "where pronamespace = 'pg_catalog'::regnamespace and proname = any(%s) "
        "and has_function_privilege('public', oid, 'EXECUTE')",
        ([*_MAKE_LARGE_OBJECTS],),
    )
    [(functions,)] = cursor.fetchall()
    if functions:
        # Names come from the catalogue, quoted by regprocedure.
        statement = sql.SQL("revoke execute on function {} from public")
        yield "large objects", "a superuser", statement.format(sql.SQL(functions))


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
    if rule.kind == "functions" and rule.owner == "maintainer":
        # They do what their caller may not. The migrations say so too, but a copy of the database
        # that was made without grants has forgotten it.
        cursor.execute(sql.SQL("revoke all on {} from public").format(target))
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
