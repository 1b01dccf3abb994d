"""Connections of the reader that requests share: so many at once, and no more.

Postgres is asked in threads, so that a slow question holds nobody but itself.
"""

import asyncio
import contextlib
import queue
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection

from dashboards.answers import open_reader

T = TypeVar("T")
# So long an answer is given to whoever asks the same: less than anybody notices.
KEPT_SECONDS = 1.0


def _opened() -> Connection:
    connection = open_reader()
    with connection, connection.cursor() as cursor:
        # What is asked of a page differs in values alone, and those change no plan.
        cursor.execute("set plan_cache_mode = force_generic_plan")
    return connection


class ReaderPool:
    """At most `size` connections, made when they are needed."""

    def __init__(self, size: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)
        # The latest used comes first: the others may have been idle for long.
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._busy: set[Connection] = set()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, with a connection of its own for as long as it lasts."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    def close(self) -> None:
        """End what is asked, and every connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._busy):
            with contextlib.suppress(psycopg2.Error):
                connection.cancel()
        self._threads.shutdown(wait=True)
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _run(self, work: Callable[[Connection], T]) -> T:
        connection, is_new = self._taken()
        try:
            return self._with(connection, work)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # The server may have been started anew since this connection was used.
            if is_new or not connection.closed:
                raise
        return self._with(_opened(), work)

    def _taken(self) -> tuple[Connection, bool]:
        try:
            return self._idle.get_nowait(), False
        except queue.Empty:
            return _opened(), True

    def _with(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        self._busy.add(connection)
        try:
            return work(connection)
        finally:
            self._busy.discard(connection)
            with contextlib.suppress(psycopg2.Error):
                connection.rollback()
            if not connection.closed:
                self._idle.put(connection)


class Flights:
    """What is asked at this moment, by its key: who asks the same gets the same answer."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._came_at: dict[Hashable, float] = {}

    async def answer(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        """The answer, and for how many seconds it is known."""
        loop = asyncio.get_running_loop()
        if key not in self._tasks:
            self._tasks[key] = task = loop.create_task(self._asked(key, ask))
            # All who waited for it may have left: then nobody is told what went wrong.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Of many who wait, one who leaves takes nothing from the others.
        answer = await asyncio.shield(self._tasks[key])
        return answer, loop.time() - self._came_at.get(key, loop.time())

    async def _asked(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        try:
            answer = await ask()
        except BaseException:
            self._forget(key)
            raise
        self._came_at[key] = loop.time()
        loop.call_later(KEPT_SECONDS, self._forget, key)
        return answer

    def _forget(self, key: Hashable) -> None:
        self._tasks.pop(key, None)
        self._came_at.pop(key, None)
