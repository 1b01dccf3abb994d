"""Statements that a connection plans once, whatever values they are run with.

Behind the views of marts there is a table for each day: to plan a question takes longer than to
answer it.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from dashboards.parameters import Value

SqlType = Literal["bigint", "date", "integer", "numeric", "text"]
# A value, and what Postgres takes it for.
Given = tuple[SqlType, Value | None]


def execute(cursor: Cursor, statement: str, given: Sequence[Given] = ()) -> None:
    """Run a query with values in the places of $1, $2 and so on, in the caller's transaction."""
    types = ", ".join(kind for kind, _ in given)
    digest = hashlib.sha256(f"{types}\n{statement}".encode()).hexdigest()
    name = f"asked_{digest[:32]}"
    _prepare(cursor, name, types, statement)
    try:
        _run(cursor, name, given)
    except psycopg2.errors.FeatureNotSupported:
        # What it reads was made anew since, with columns of another type.
        cursor.execute("rollback to savepoint prepared")
        cursor.execute(sql.SQL("deallocate {}").format(sql.Identifier(name)))
        _prepare(cursor, name, types, statement)
        _run(cursor, name, given)


def _prepare(cursor: Cursor, name: str, types: str, statement: str) -> None:
    # Postgres is asked what it has: behind a pooler the next transaction may be in another session.
    cursor.execute(
        "savepoint prepared; select from pg_prepared_statements where name = %s", (name,)
    )
    if not cursor.rowcount:
        cursor.execute(f"prepare {name}{f' ({types})' if types else ''} as\n{statement}")


def _run(cursor: Cursor, name: str, given: Sequence[Given]) -> None:
    values = [value for _, value in given]
    places = f" ({', '.join(['%s'] * len(values))})" if values else ""
    cursor.execute(f"execute {name}{places}", values)
