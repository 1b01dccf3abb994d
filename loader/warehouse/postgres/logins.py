"""The logins of a server that is ours, each with no more rights than its one role."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.roles import ROLE_PREFIX, Role, despite_others
from loader.warehouse.settings import Settings, get_settings

# Metabase's own login, and its database, which holds what Metabase itself keeps.
METABASE = "metabase"


class Login(NamedTuple):
    """Who may log in; `role` is None for Metabase itself, which has nothing to do in here."""

    name: str
    password: str
    role: Role | None
    options: tuple[str, ...] = ()


def _logins(settings: Settings) -> list[Login]:
    """Those that have a password."""
    # Postgres itself stops a query of Metabase's that never ends or that writes.
    reads = ("set default_transaction_read_only = on", "set statement_timeout = '60s'")
    every = [
        Login("loader", settings.login_loader_password.get_secret_value(), "loader"),
        Login("transformer", settings.login_transformer_password.get_secret_value(), "transformer"),
        Login("exporter", settings.login_exporter_password.get_secret_value(), "exporter"),
        Login(
            settings.metabase_reader_user,
            settings.login_metabase_reader_password.get_secret_value(),
            "reader",
            reads,
        ),
        Login(METABASE, settings.login_metabase_password.get_secret_value(), None),
    ]
    return [login for login in every if login.password]


def apply() -> Iterator[str]:
    """Make the logins that have a password in the settings, or give them that password.

    Yields one line for each that is new; raises TerminalError where one cannot be made. Passwords
    reach Postgres hashed, so that no log of its can hold one.
    """
    logins = _logins(get_settings())
    if not logins:
        return
    with closing(connect()) as connection:
        # A database cannot be made in a transaction.
        connection.autocommit = True
        with connection.cursor() as cursor:
            for login in logins:
                try:
                    if despite_others(partial(_ensure, connection, cursor, login)):
                        yield f"made the login {login.name}"
                except psycopg2.errors.InsufficientPrivilege as error:
                    why = str(error).splitlines()[0]
                    raise TerminalError(f"cannot make the login {login.name}: {why}") from None


def _ensure(connection: Connection, cursor: Any, login: Login) -> bool:
    """Whether it is new."""
    cursor.execute("select from pg_roles where rolname = %s", (login.name,))
    is_new: bool = cursor.rowcount == 0
    parts = {
        "name": sql.Identifier(login.name),
        "password": sql.Literal(
            extensions.encrypt_password(login.password, login.name, connection, "scram-sha-256")
        ),
    }
    if is_new:
        cursor.execute(sql.SQL("create role {name}").format(**parts))
    cursor.execute(sql.SQL("alter role {name} login password {password}").format(**parts))
    for option in login.options:
        cursor.execute(sql.SQL("alter role {name} ").format(**parts) + sql.SQL(option))
    if login.role:
        role = sql.Identifier(ROLE_PREFIX + login.role)
        cursor.execute(sql.SQL("grant {role} to {name}").format(role=role, **parts))
    else:
        _ensure_own_database(cursor, sql.Identifier(login.name), login.name)
    return is_new


def _ensure_own_database(cursor: Any, name: sql.Identifier, text: str) -> None:
    """A database of the same name that belongs to the login, and to nobody else."""
    cursor.execute("select from pg_database where datname = %s", (text,))
    if cursor.rowcount == 0:
        cursor.execute(sql.SQL("create database {name} owner {name}").format(name=name))
    cursor.execute(sql.SQL("revoke all on database {name} from public").format(name=name))
    # Whoever may log in could otherwise connect to the warehouse too: only roles that the matrix
    # names may.
    cursor.execute("select current_database()")
    [(warehouse,)] = cursor.fetchall()
    cursor.execute(
        sql.SQL("revoke all on database {} from public").format(sql.Identifier(warehouse))
    )
