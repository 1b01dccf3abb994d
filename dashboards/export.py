"""Writes every target table and every question's answer as CSV, one file each.

    DIR/target/<table>.csv
    DIR/questions/<question>.csv

All files show one moment: they come out of one repeatable-read transaction.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from dashboards.answers import CsvSink, copy_answer, copy_csv
from dashboards.questions import load_questions
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect, database_error

# Names with __dbt_ are what a killed dbt run leaves behind.
_TABLES = """
    select relnamespace::regnamespace::text, relname
    from pg_class
    where
        relnamespace in (
            select oid from pg_namespace where nspname in ('target', 'marts')
        )
        and relkind in ('r', 'p')
        and not relispartition
        and relname not like '%\\_\\_dbt\\_%'
    order by 1, 2
"""
_PRIMARY_KEY = """
    select attname
    from pg_index
    cross join unnest(indkey) with ordinality as key (attnum, place)
    inner join pg_attribute
        on attrelid = indrelid and pg_attribute.attnum = key.attnum
    where indisprimary and indrelid = %s::regclass
    order by place
"""


def export(directory: Path, report: Callable[[Path], None]) -> None:
    """Write all files below a directory, and report each one that is whole."""
    try:
        with contextlib.closing(connect("exporter")) as connection:
            tables = _begin(connection)
            for table in tables:
                query = _table_query(connection, table)
                path = directory / "target" / f"{table}.csv"
                with whole_file(path) as out, connection.cursor() as cursor:
                    copy_csv(cursor, query, out)
                report(path)
            for name, question in load_questions().items():
                path = directory / "questions" / f"{name}.csv"
                with whole_file(path) as out:
                    copy_answer(connection, question, question.bind({}), out)
                report(path)
    except psycopg2.Error as error:
        raise database_error(error) from None
    except OSError as error:
        raise TerminalError(f"{error.filename or directory}: {error.strerror}") from None


def _begin(connection: Connection) -> list[str]:
    """Begin the one transaction, and return the names of the target tables.

    The locks come before its first query, which fixes what it sees: a table that dbt swaps in
    later would be found by its name and look empty, because its rows are newer than that.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = cursor.fetchall()
        connection.commit()
        targets = [name for schema, name in tables if schema == "target"]
        if not targets:
            raise TerminalError("there is no target table yet: run `dbt build` first")
        names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        cursor.execute(sql.SQL("lock table {} in access share mode").format(names))
    return targets


def _table_query(connection: Connection, table: str) -> str:
    """A table's rows by primary key; by all columns where there is none."""
    source = sql.Identifier("target", table)
    with connection.cursor() as cursor:
        cursor.execute(_PRIMARY_KEY, (source.as_string(cursor),))
        keys = sql.SQL(", ").join(sql.Identifier(name) for (name,) in cursor)
        order = keys if cursor.rowcount else sql.Identifier(table)
        return sql.SQL("select * from {} order by {}").format(source, order).as_string(cursor)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[CsvSink]:
    """A file that appears under its name when it is complete, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
