"""Snapshots by REST for books that are out of step, until the frames go on from one.

The recipe is the exchange's own: docs.bitso.com/bitso-api/docs/diff-orders-channel.
"""

import asyncio
import logging
from collections.abc import Callable

from loader.stream.backoff import Backoff
from loader.stream.frames import read_snapshot
from loader.stream.market import Bitso
from loader.stream.order_book import OrderBook
from loader.stream.rest_pool import RestPool
from loader.stream.told import told
from loader.stream.tracked_book import TrackedBook
from loader.warehouse.clock import AsyncClock
from loader.warehouse.errors import NotFoundError

# A book that the exchange does not know may be listed one day.
UNKNOWN_BOOK_SECONDS = 300.0

log = logging.getLogger(__name__)


class Seeding:
    """A task for each book that wants a snapshot, which tries until it has one.

    `on_seeded` hears of each book that is in step again.
    """

    def __init__(
        self,
        rest: RestPool,
        clock: AsyncClock,
        on_seeded: Callable[[str], None],
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._on_seeded = on_seeded
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_over = False

    def want(self, tracked: TrackedBook) -> None:
        """See to a book, unless it is seen to already or wants nothing."""
        if tracked.name not in self._tasks and tracked.wants_snapshot:
            task = asyncio.create_task(self._until_in_step(tracked))
            self._tasks[tracked.name] = task
            task.add_done_callback(lambda task: self._end(tracked, task))

    def drop_all(self) -> None:
        """The connection has ended: what is under way is of no use any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def stop(self) -> None:
        """Begin nothing more, and wait for the end of what is under way."""
        self._is_over = True
        tasks = list(self._tasks.values())
        self.drop_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, tracked: TrackedBook, task: asyncio.Task[None]) -> None:
        if self._tasks.get(tracked.name) is task:
            del self._tasks[tracked.name]
        if not self._is_over:
            # The book may have been lost again since the task last looked.
            self.want(tracked)

    async def _until_in_step(self, tracked: TrackedBook) -> None:
        backoff = Backoff()
        while tracked.wants_snapshot:
            pause = backoff.pause()
            if problem := await self._once(tracked):
                trouble = problem if isinstance(problem, str) else told(problem)
                if isinstance(problem, NotFoundError):
                    pause = UNKNOWN_BOOK_SECONDS
                    tracked.detail = trouble
                if backoff.is_news(trouble):
                    log.warning("%s: %s", tracked.name, trouble)
                await self._clock.pause(pause)

    async def _once(self, tracked: TrackedBook) -> Exception | str | None:
        """Fetch a snapshot and go on from it; returns what kept it from that."""
        generation = -1

        def fetch(client: Bitso) -> OrderBook | None:
            nonlocal generation
            # Read now, when the call is made, and not when it was queued.
            generation = tracked.generation
            if not tracked.wants_snapshot:
                return None
            return read_snapshot(tracked.name, client.all_orders(tracked.name).text)

        try:
            book = await self._rest.call(fetch)
        except Exception as error:  # noqa: BLE001 - the next reply may be better
            return error
        if book is None or not tracked.wants_snapshot or tracked.generation != generation:
            return None
        try:
            problem = tracked.seed(book)
        except Exception as error:  # noqa: BLE001 - of what has waited something cannot be taken
            tracked.lose("resync")
            return error
        if problem:
            return problem
        self._on_seeded(tracked.name)
        log.info("%s: in step at %d", tracked.name, book.sequence)
        return None
