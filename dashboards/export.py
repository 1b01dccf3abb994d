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

from dashboards.answers import copy_answer, copy_csv
from dashboards.questions import Question, broken_questions, load_questions
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.copy import CsvSink
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.postgres.statements import statement
from loader.warehouse.text import shown_path


def export(directory: Path, report: Callable[[Path], None]) -> list[str]:
    """Write all files below a directory, and report each one that is whole.

    Returns what is wrong with questions that have no answer, one line each.
    """
    problems = [str(error) for error in broken_questions().values()]
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
                if problem := _write_answer(connection, question, path):
                    problems.append(problem)
                else:
                    report(path)
    except psycopg2.Error as error:
        raise database_error(error) from None
    return problems


def _write_answer(connection: Connection, question: Question, path: Path) -> str | None:
    """Write an answer; what is wrong where the question does not fit the marts."""
    with connection.cursor() as cursor:
        cursor.execute("savepoint question")
        try:
            with whole_file(path) as out:
                copy_answer(connection, question, question.bind({}), out)
        except (psycopg2.ProgrammingError, psycopg2.DataError) as error:
            cursor.execute("rollback to question")
            return f"question {question.name}: {database_error(error)}"
    return None


def _begin(connection: Connection) -> list[str]:
    """Begin the one transaction, and return the names of the target tables.

    The locks come before its first query, which fixes what it sees: a table that dbt swaps in
    later would be found by its name and look empty, because its rows are newer than that.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(statement(__package__, "exported_tables"))
        tables = cursor.fetchall()
        connection.commit()
        targets = [name for schema, name in tables if schema == "target"]
        if not targets:
            raise TerminalError("there is no target table yet: run `loader transform` first")
        names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        cursor.execute(sql.SQL("lock table {} in access share mode").format(names))
    return targets


def _table_query(connection: Connection, table: str) -> str:
    """A table's rows by primary key; by all columns where there is none."""
    source = sql.Identifier("target", table)
    with connection.cursor() as cursor:
        cursor.execute(
            statement(__package__, "primary_key"), {"table_name": source.as_string(cursor)}
        )
        keys = sql.SQL(", ").join(sql.Identifier(name) for (name,) in cursor)
        order = keys if cursor.rowcount else sql.Identifier(table)
        return sql.SQL("select * from {} order by {}").format(source, order).as_string(cursor)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[CsvSink]:
    """A file that appears under its name when it is complete, or not at all.

    What has its name and is no file, such as a device or a pipe, is not replaced.
    """
    if path.exists() and not path.is_file():
        raise TerminalError(f"{shown_path(path)}: is there, and no regular file")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        partial.unlink(missing_ok=True)
