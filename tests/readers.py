"""Somebody who reads all there is, one thing after the other without pause, while others build."""

import threading
from contextlib import closing
from types import TracebackType
from typing import Self

import psycopg2
from psycopg2.extensions import connection as Connection

from dashboards.questions import load_questions
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse

# A reader who waits longer for a lock has been turned away.
LONGEST_WAIT = "2s"
RELATIONS = """
select oid::regclass::text from pg_class
where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v', 'p')
order by 1
"""


class RestlessReader:
    """Asks for a row of each relation of marts, and each question, until the block ends.

    `misses` then says what went wrong: an error, a wait for a lock, or an answer without rows
    where there were some before and after.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._asked = {
            name: f"select * from {name} limit 1"
            for (name,) in warehouse.rows(RELATIONS, role="reader")
        }
        self._questions = load_questions()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._empty: list[str] = []
        self._had_rows: set[str] = set()
        self.misses: list[str] = []
        self.rounds = 0

    def __enter__(self) -> Self:
        with closing(self._connect()) as connection:
            self._had_rows = {name for name in self._names() if self._has_rows(connection, name)}
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        with closing(self._connect()) as connection:
            for name in self._empty:
                if name in self._had_rows and self._has_rows(connection, name):
                    self.misses.append(f"{name}: no rows")

    def _names(self) -> list[str]:
        return [*self._asked, *self._questions]

    def _connect(self) -> Connection:
        connection = connect("reader")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select set_config('lock_timeout', %s, false)", (LONGEST_WAIT,))
        return connection

    def _has_rows(self, connection: Connection, name: str) -> bool:
        with connection.cursor() as cursor:
            if name in self._asked:
                cursor.execute(self._asked[name])
            else:
                question = self._questions[name]
                cursor.execute(question.statement, question.bind({}))
            return cursor.fetchone() is not None

    def _read(self) -> None:
        with closing(self._connect()) as connection:
            # At least once, however short the block is.
            while not (self._is_over.is_set() and self.rounds):
                for name in self._names():
                    try:
                        if not self._has_rows(connection, name):
                            self._empty.append(name)
                    except psycopg2.Error as error:
                        self.misses.append(f"{name}: {error}")
                self.rounds += 1
