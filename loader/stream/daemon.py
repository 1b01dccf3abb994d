"""`loader stream`: every book, every wall-clock second, or a gap that says why not.

One event loop hears the frames and takes the samples; REST, the disk and Postgres have threads.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from psycopg2.extensions import connection as Connection

from loader.stream.check import TickerCheck
from loader.stream.market import Bitso
from loader.stream.rest_pool import RestPool
from loader.stream.seconds import Cause, Second, Why
from loader.stream.seeding import Seeding
from loader.stream.socket import FrameSocket
from loader.stream.spool import Spool
from loader.stream.told import told
from loader.stream.tracked_book import TrackedBook
from loader.stream.writer import SpoolWriter
from loader.warehouse.clock import SECOND, SYSTEM_CLOCK, AsyncClock
from loader.warehouse.text import counted

# A keep-alive comes every 20 s. One missed: what is sampled may be old.
QUIET_SECONDS = 30.0
STOP_SECONDS = 3.5
STOOD_STILL = "the clock jumped, or the process stood still"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What can be set: `depth` levels a side, seconds between two looks at the ticker."""

    depth: int = 10
    check_seconds: float = 180.0


class Stream:
    """The daemon, on an event loop of its caller's.

    `url` is the WebSocket's; `rest` makes a REST client, one for each thread that calls; `spool`
    keeps what is not in Postgres yet; `connect` leads to Postgres. All time is `clock`'s: slots
    are whole seconds of its `now`, waits are its `pause`, so a test may scale or move it.
    """

    def __init__(
        self,
        books: Sequence[str],
        *,
        url: str,
        rest: Callable[[], Bitso],
        spool: Spool,
        connect: Callable[[], Connection],
        options: Options = Options(),
        clock: AsyncClock = SYSTEM_CLOCK,
    ) -> None:
        self._names = tuple(dict.fromkeys(books))
        self.books = {name: TrackedBook(name, options.depth) for name in self._names}
        self._url = url
        self._clock = clock
        self._rest = RestPool(rest)
        self._writer = SpoolWriter(spool, connect)
        self._stopping = asyncio.Event()
        self._check = TickerCheck(self.books, self._rest, clock, options.check_seconds)
        self._seeding = Seeding(self._rest, clock, self._check.forget)
        self._socket = FrameSocket(
            url, self.books, clock,
            on_change=self._check.note_change,
            on_lost=self._seeding.want,
            on_end=self._seeding.drop_all,
        )  # fmt: skip

    async def run(self) -> None:
        """Stream until `stop`; returns when all seconds are committed and the run is closed.

        Raises AlreadyRunningError when another instance is at work, TransientError when Postgres
        cannot be reached at the start. From one that takes nothing for now it is bridged.
        """
        await asyncio.to_thread(self._writer.start)
        self._rest.start()
        log.info("streaming %s from %s", counted(len(self._names), "book"), self._url)
        stopping = asyncio.create_task(self._stopping.wait())
        works = {
            asyncio.create_task(work)
            for work in (self._sample(), self._socket.run(), self._check.run(self._socket.renew))
        }
        try:
            ended, _ = await asyncio.wait({stopping, *works}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            self._rest.stop()
            tasks = [stopping, *works]
            for task in tasks:
                task.cancel()
            seeding = asyncio.create_task(self._seeding.stop())
            # Only after the sampler was cancelled: no sample may come after the last line.
            is_done = await asyncio.to_thread(self._writer.stop, STOP_SECONDS)
            if not is_done:
                log.warning("Postgres does not answer: what is left is in the spool")
            await asyncio.gather(*tasks, seeding, return_exceptions=True)
        for task in ended - {stopping}:
            task.result()

    def stop(self) -> None:
        """End cleanly, soon; to be called on the loop (`call_soon_threadsafe` from elsewhere)."""
        self._stopping.set()

    async def _sample(self) -> NoReturn:
        """Each whole second that comes; seconds that did not come are gaps."""
        slot = _whole(self._clock.now()) + SECOND
        while True:
            await self._reach(slot)
            if not self._writer.is_alive:
                raise self._writer.refused
            now = self._clock.now()
            reached = _whole(now)
            if reached > slot:
                log.warning(
                    "skipped %s: %s", counted(int((reached - slot) / SECOND), "second"), STOOD_STILL
                )
                why = Why("not_running", STOOD_STILL)
                self._writer.put(Second.missed(slot, reached, self._names, why))
            self._writer.put(self._observe(reached, now))
            slot = reached + SECOND

    async def _reach(self, slot: datetime) -> None:
        is_told = False
        while (left := (slot - self._clock.now()).total_seconds()) > 0:
            if left > 2 and not is_told:
                is_told = True
                log.warning("the clock went back: nothing is due for another %.0f s", left)
            await self._clock.pause(min(left, 1.0))

    def _observe(self, slot: datetime, now: datetime) -> Second:
        """All books as they are."""
        sampled_at = now.astimezone(UTC).isoformat()
        quiet_for = self._socket.quiet_seconds
        is_disconnected = self._socket.is_disconnected
        is_throttled = self._rest.is_held_up
        samples, gaps = [], {}
        for name, tracked in self.books.items():
            if tracked.book is None or is_disconnected:
                gaps[name] = self._why_not(tracked, is_throttled=is_throttled)
            elif quiet_for > QUIET_SECONDS:
                gaps[name] = Why("stale", "nothing is heard, not even a keep-alive")
            else:
                try:
                    samples.append(tracked.sample(sampled_at))
                except Exception as error:  # noqa: BLE001 - it costs this book alone
                    gaps[name] = self._lose(tracked, error)
                else:
                    self._check.note_sample(tracked)
        bad = self._socket.take_bad()
        return Second(slot, slot + SECOND, self._names, gaps, tuple(samples), bad)

    def _lose(self, tracked: TrackedBook, error: Exception) -> Why:
        log.error("%s: it cannot be sampled and is read anew: %s", tracked.name, told(error))
        tracked.lose("resync")
        self._seeding.want(tracked)
        return Why("resync", told(error))

    def _why_not(self, tracked: TrackedBook, *, is_throttled: bool) -> Why:
        cause: Cause = tracked.cause
        if self._socket.is_disconnected:
            cause = "disconnected"
        elif is_throttled and tracked.wants_snapshot:
            cause = "throttled"
        return Why(cause, tracked.detail)


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
