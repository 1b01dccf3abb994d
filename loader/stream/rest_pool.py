"""Calls that block, from an event loop: a few threads, each with a REST client of its own."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from loader.stream.market import Bitso

T = TypeVar("T")
# A call that waits for longer than this counts as held up by the rate budget.
HELD_UP_SECONDS = 1.0

_Call = tuple[Callable[[Bitso], Any], asyncio.Future[Any]]


class RestPool:
    """Threads that are not waited for by the end of the process."""

    def __init__(self, client: Callable[[], Bitso], threads: int = 2) -> None:
        self._client = client
        self._jobs: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._clients: list[Bitso] = []
        self._threads = [
            threading.Thread(target=self._work, name="stream rest", daemon=True)
            for _ in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each thread end after the call that it is in."""
        for _ in self._threads:
            self._jobs.put(None)

    @property
    def is_held_up(self) -> bool:
        """Whether a call is waiting for the rate budget."""
        return any(client.held_up_seconds > HELD_UP_SECONDS for client in self._clients)

    async def call(self, work: Callable[[Bitso], T]) -> T:
        """What the work returns or raises, in its turn."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((work, future))
        return await future

    def _work(self) -> None:
        client = None
        while job := self._jobs.get():
            work, future = job
            if future.cancelled():
                continue
            try:
                if client is None:
                    client = self._client()
                    self._clients.append(client)
                settle = _settle(future.set_result, work(client))
            except Exception as error:  # noqa: BLE001 - goes on where it is waited for
                settle = _settle(future.set_exception, error)
            # The event loop may have ended meanwhile; then nobody waits for the result.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(settle, future)


def _settle(how: Callable[[Any], None], value: Any) -> Callable[[asyncio.Future[Any]], None]:
    def settle(future: asyncio.Future[Any]) -> None:
        if not future.done():
            how(value)

    return settle
