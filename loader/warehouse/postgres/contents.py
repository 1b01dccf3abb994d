"""What a database holds, so that another one can be held against it: rows, owners, grants, making.

All of it is asked within one transaction whose snapshot nobody else's work changes.
"""

import logging
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.statements import statement

_ATTEMPTS = 100
_RELATIONS = (
    # not by regclass, which has only a number for what has been dropped since
    "select quote_ident(nspname) || '.' || quote_ident(relname) as name from pg_class "
    "inner join pg_namespace on relnamespace = pg_namespace.oid "
    "where nspname !~ '^pg_' and nspname <> 'information_schema' and relkind = any(%s) order by 1"
)
# Postgres's own names are found without it, and everything else is printed with its schema.
_FULL_NAMES = "set search_path = ''"

log = logging.getLogger(__name__)


class Contents(NamedTuple):
    """Of each table how many rows and the sum of their digests; of each object what it is."""

    tables: dict[str, tuple[int, str]]
    objects: dict[str, tuple[str | None, list[str], str]]


def freeze(connection: Connection) -> str:
    """Begin a transaction that sees one moment of everything; returns the name of its snapshot.

    Locked first, looked at then: a table that is swapped in after the snapshot was taken would
    look empty. Raises TransientError where others never let it come to that.
    """
    connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
    with connection.cursor() as cursor:
        for _ in range(_ATTEMPTS):
            try:
                cursor.execute(_FULL_NAMES)
                before = _lockable(cursor)
                connection.rollback()
                cursor.execute("set local lock_timeout = '60s'")
                cursor.execute(_FULL_NAMES)
                if before:
                    # Names come from the catalogue, quoted.
                    cursor.execute(f"lock table only {', only '.join(before)} in access share mode")
                cursor.execute("select pg_export_snapshot()")
                [(snapshot,)] = cursor.fetchall()
                if _lockable(cursor) == before:
                    return str(snapshot)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.LockNotAvailable) as error:
                log.debug("not frozen yet: %s", error)
            connection.rollback()
    raise TransientError("tables come and go too fast to be looked at together: try again later")


def _lockable(cursor: Any) -> list[str]:
    cursor.execute(_RELATIONS, (["r", "p", "v"],))
    return [name for (name,) in cursor]


def contents(cursor: Any) -> Contents:
    """What the transaction sees of the database."""
    cursor.execute(_FULL_NAMES)
    cursor.execute(_RELATIONS, (["r"],))
    tables = {name: _digest(cursor, name) for (name,) in cursor.fetchall()}
    return Contents(tables, objects(cursor))


def objects(cursor: Any) -> dict[str, tuple[str | None, list[str], str]]:
    """Every object: its owner (none for the user who asks), grants, and a digest of its making."""
    cursor.execute(_FULL_NAMES)
    cursor.execute(statement(__package__, "objects"))
    # Two may have granted the same.
    return {name: (owner, sorted(set(grants)), made) for name, owner, grants, made in cursor}


def _digest(cursor: Any, table: str) -> tuple[int, str]:
    # Rows have no order: a sum has none either.
    query = sql.SQL(
        "select count(*), cast(coalesce(sum("
        'hashtextextended(cast(rows as text) collate "C", 0)'
        "), 0) as text) from only {} as rows"
    )
    cursor.execute(query.format(sql.SQL(table)))
    [(rows, digest)] = cursor.fetchall()
    return int(rows), str(digest)


def difference(wanted: Contents, found: Contents, *, same_major: bool) -> str | None:
    """The first thing in which two differ, in words; None where they are equal.

    Two majors of Postgres may print a view in two ways: between them, how things are made is not
    compared.
    """
    for name in sorted(wanted.tables.keys() | found.tables.keys()):
        if wanted.tables.get(name) != found.tables.get(name):
            return f"the rows of {name}"
    for name in sorted(wanted.objects.keys() | found.objects.keys()):
        ours, theirs = wanted.objects.get(name), found.objects.get(name)
        if ours is None or theirs is None:
            return f"whether there is the {name}"
        for what, one, other in zip(("owner", "grants", "making"), ours, theirs, strict=True):
            if one != other and (same_major or what != "making"):
                return f"the {what} of the {name}"
    return None


def is_empty(cursor: Any) -> bool:
    """Whether nobody has made anything in this database; extensions do not count."""
    cursor.execute(
        "select not exists (select from pg_namespace "
        "where nspname !~ '^pg_' and nspname not in ('information_schema', 'public') "
        "and not exists (select from pg_depend where objid = pg_namespace.oid and deptype = 'e')) "
        "and not exists (select from pg_class "
        "where relnamespace = to_regnamespace('public') "
        "and not exists (select from pg_depend where objid = pg_class.oid and deptype = 'e'))"
    )
    [(empty,)] = cursor.fetchall()
    return bool(empty)
