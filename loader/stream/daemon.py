"""`loader stream`: every book, every wall-clock second, or a gap that says why not.

One event loop hears the frames and takes the samples; REST, the disk and Postgres have threads.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from psycopg2.extensions import connection as Connection
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from loader.market.bitso import Bitso, parse_tickers
from loader.stream.account import JOB
from loader.stream.frames import Ack, BadFrame, Refusal, read_frame, read_snapshot, subscription
from loader.stream.order_book import Diff, OrderBook
from loader.stream.rest_pool import RestPool
from loader.stream.seconds import Cause, Second, Why
from loader.stream.spool import Spool
from loader.stream.tracked_book import Quote, TrackedBook
from loader.stream.writer import SpoolWriter
from loader.warehouse.clock import SECOND, SYSTEM_CLOCK, AsyncClock
from loader.warehouse.errors import NotFoundError, TerminalError, WarehouseError
from loader.warehouse.values import BadValueError
from loader.wire.records import Record

__all__ = ["JOB", "Options", "Stream"]

# A `ka` comes every 20 s. One missed: what is sampled may be old; three: nobody is there.
QUIET_SECONDS = 30.0
SILENT_SECONDS = 60.0
# After so long a connection counts as healthy, and the next failure as the first.
HEALTHY_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
ANSWER_SECONDS = 10.0
# A book that the exchange does not know may be listed one day.
UNKNOWN_BOOK_SECONDS = 300.0
# A quote of the ticker may be of any moment of the last minute, and so may ours.
RECENT_SECONDS = 60
SETTLE_SECONDS = 2.0
SECOND_LOOK_SECONDS = 10.0
# Bad frames that go into quarantine in any minute; the rest is only counted.
BAD_FRAMES_A_MINUTE = 20
STOP_SECONDS = 3.5
STOOD_STILL = "the clock jumped, or the process stood still"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What can be set: `depth` levels a side, seconds between two looks at the ticker."""

    depth: int = 10
    check_seconds: float = 180.0


class Backoff:
    """Pauses between attempts: longer each time, never all at once."""

    def __init__(self, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = self._next = first
        self._longest = longest

    def pause(self) -> float:
        """The next one."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return random.uniform(pause / 2, pause)

    def reset(self) -> None:
        """Begin anew."""
        self._next = self._first


class _LeaveError(Exception):
    """A connection is of no more use; the text says why."""


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
        names = tuple(dict.fromkeys(books))
        self.books = {name: TrackedBook(name, options.depth) for name in names}
        self._names = names
        self._url = url
        self._clock = clock
        self._check_seconds = options.check_seconds
        self._rest = RestPool(rest)
        self._writer = SpoolWriter(spool, connect)
        self._stopping = asyncio.Event()
        self._seeding: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        self._socket: ClientConnection | None = None
        # Whether there has been a connection, or a failure to get one.
        self._has_tried = False
        self._heard_at = 0.0
        self._bad: list[BadFrame] = []
        self._bad_minute = (0, 0)
        self._recent = {name: deque[Quote](maxlen=RECENT_SECONDS) for name in names}
        # Quotes between two samples count too, while the ticker is looked at.
        self._looking: dict[str, set[Quote]] | None = None
        # Books that were found stale lately: once more, and the connection is to blame.
        self._was_stale: set[str] = set()

    async def run(self) -> None:
        """Stream until `stop`; returns when all seconds are committed and the run is closed.

        Raises AlreadyRunningError when another instance is at work, TransientError when Postgres
        cannot be reached at the start.
        """
        await asyncio.to_thread(self._writer.start)
        self._rest.start()
        log.info("streaming %d books from %s", len(self._names), self._url)
        stopping = asyncio.create_task(self._stopping.wait())
        works = {
            asyncio.create_task(work)
            for work in (self._sample(), self._stay_connected(), self._check())
        }
        try:
            ended, _ = await asyncio.wait({stopping, *works}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            self._rest.stop()
            tasks = [stopping, *works, *self._seeding.values()]
            for task in tasks:
                task.cancel()
            # Not first of all: no sample may come after it.
            is_done = await asyncio.to_thread(self._writer.stop, STOP_SECONDS)
            if not is_done:
                log.warning("Postgres does not answer: what is left is in the spool")
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended - {stopping}:
            task.result()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End cleanly, soon; to be called on the loop (`call_soon_threadsafe` from elsewhere)."""
        self._stopping.set()

    # ------------------------------------------------------------- sampling

    async def _sample(self) -> None:
        """Each whole second that comes; seconds that did not come are gaps."""
        slot = _whole(self._clock.now()) + SECOND
        while True:
            await self._reach(slot)
            if not self._writer.is_alive:
                raise TerminalError("the stream cannot write any more: start it again")
            now = self._clock.now()
            reached = _whole(now)
            if reached > slot:
                log.warning("%d seconds were skipped: %s", (reached - slot) / SECOND, STOOD_STILL)
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
        quiet_for = self._clock.monotonic() - self._heard_at
        is_throttled = self._rest.is_held_up
        samples, gaps = [], {}
        for name, tracked in self.books.items():
            if tracked.book is None:
                gaps[name] = self._why_not(tracked, is_throttled=is_throttled)
            elif quiet_for > QUIET_SECONDS:
                gaps[name] = Why("stale", "nothing is heard, not even a keep-alive")
            else:
                samples.append(tracked.sample(sampled_at))
                self._recent[name].append(tracked.quote)
        bad, self._bad = tuple(self._bad), []
        return Second(slot, slot + SECOND, self._names, gaps, tuple(samples), bad)

    def _why_not(self, tracked: TrackedBook, *, is_throttled: bool) -> Why:
        cause: Cause = tracked.cause
        if self._socket is None and self._has_tried:
            cause = "disconnected"
        elif is_throttled and tracked.wants_snapshot:
            cause = "throttled"
        return Why(cause, tracked.detail)

    # ----------------------------------------------------------- connection

    async def _stay_connected(self) -> NoReturn:
        backoff = Backoff()
        while True:
            opened_at = self._clock.monotonic()
            reason = await self._connect()
            self._socket = None
            self._has_tried = True
            for tracked in self.books.values():
                tracked.disconnect()
            for task in self._seeding.values():
                task.cancel()
            self._seeding.clear()
            # A healthy one has brought something lately, not only an open door.
            if self._heard_at - opened_at >= HEALTHY_SECONDS:
                backoff.reset()
            pause = backoff.pause()
            log.warning("%s: connecting again in %.1f s", reason, pause)
            await self._clock.pause(pause)

    async def _connect(self) -> str:
        """Be connected for as long as it goes well; returns why it ended."""
        try:
            socket = await open_socket(
                self._url,
                # The keep-alive is the exchange's, and little is gained on frames so short.
                ping_interval=None,
                compression=None,
                close_timeout=1,
                max_size=16 << 20,
            )
            try:
                self._socket = socket
                self._has_tried = True
                self._heard_at = self._clock.monotonic()
                log.info("connected")
                await self._converse(socket)
            finally:
                await socket.close()
        except _LeaveError as error:
            return str(error)
        except ConnectionClosed as error:
            return f"the connection was closed: {_closed(error)}"
        except InvalidStatus as error:
            return f"the connection was refused: HTTP {error.response.status_code}"
        except (InvalidHandshake, OSError, TimeoutError, EOFError) as error:
            return f"no connection: {error or type(error).__name__}"
        return "the connection was closed"

    async def _converse(self, socket: ClientConnection) -> None:
        works = {
            asyncio.create_task(work)
            for work in (self._hear(socket), self._subscribe(socket), self._watch())
        }
        try:
            ended, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in works:
                task.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _subscribe(self, socket: ClientConnection) -> NoReturn:
        """Ask for every book, and again while no answer comes; a second time does no harm."""
        while True:
            for tracked in self.books.values():
                if not tracked.is_subscribed:
                    await socket.send(subscription(tracked.name))
            await self._clock.pause(ANSWER_SECONDS)

    async def _watch(self) -> NoReturn:
        while True:
            left = self._heard_at + SILENT_SECONDS - self._clock.monotonic()
            if left <= 0:
                raise _LeaveError(f"nothing was heard for {SILENT_SECONDS:.0f} s")
            await self._clock.pause(left)

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            self._heard_at = self._clock.monotonic()
            frame = read_frame(message)
            if isinstance(frame, Diff):
                self._take(frame)
            elif isinstance(frame, Ack):
                if tracked := self.books.get(frame.book):
                    tracked.is_subscribed = True
                    self._seed(tracked)
            elif isinstance(frame, Refusal):
                self._note_refusal(frame)
            elif isinstance(frame, BadFrame):
                self._set_aside(frame)

    def _take(self, diff: Diff) -> None:
        tracked = self.books.get(diff.book)
        if tracked is None:
            return
        if not tracked.take(diff):
            log.warning("%s: frames before %d are missing", tracked.name, diff.sequence)
        if tracked.book is None:
            self._seed(tracked)
        elif self._looking is not None:
            self._looking[tracked.name].add(tracked.quote)

    def _note_refusal(self, refusal: Refusal) -> None:
        tracked = self.books.get(refusal.book)
        if tracked is None or tracked.detail != refusal.reason:
            log.error("Bitso refuses: %s", refusal.reason)
        if tracked is not None:
            tracked.detail = refusal.reason

    def _set_aside(self, bad: BadFrame) -> None:
        """To quarantine; whoever it may have been of is read anew."""
        minute, count = self._bad_minute
        this_minute = int(self._clock.monotonic() // 60)
        count = count + 1 if minute == this_minute else 1
        self._bad_minute = (this_minute, count)
        if count <= BAD_FRAMES_A_MINUTE:
            self._bad.append(bad)
            log.warning("a bad frame of %s: %s", bad.book or "some book", bad.reason)
        if bad.code == "unknown_frame":
            return
        named = self.books.get(bad.book)
        for tracked in self.books.values() if not bad.book else [named] if named else []:
            tracked.lose("resync")
            self._seed(tracked)

    # ------------------------------------------------------------ snapshots

    def _seed(self, tracked: TrackedBook) -> None:
        if tracked.name not in self._seeding and tracked.wants_snapshot:
            task = asyncio.create_task(self._seed_until_in_step(tracked))
            self._seeding[tracked.name] = task
            task.add_done_callback(lambda task: self._end_seeding(tracked, task))

    def _end_seeding(self, tracked: TrackedBook, task: asyncio.Task[None]) -> None:
        if self._seeding.get(tracked.name) is task:
            del self._seeding[tracked.name]
        if not task.cancelled() and (error := task.exception()):
            # None of those that pass: nobody would see that this book stays away.
            self._failure = error
            self.stop()
        elif not self._stopping.is_set():
            # Lost again between its last look and now.
            self._seed(tracked)

    async def _seed_until_in_step(self, tracked: TrackedBook) -> None:
        backoff = Backoff()
        while tracked.wants_snapshot:
            pause = backoff.pause()
            if problem := await self._seed_once(tracked):
                if isinstance(problem, NotFoundError):
                    pause = UNKNOWN_BOOK_SECONDS
                    tracked.detail = str(problem)
                log.warning("%s: %s", tracked.name, problem)
                await self._clock.pause(pause)

    async def _seed_once(self, tracked: TrackedBook) -> Exception | str | None:
        """Fetch a snapshot and go on from it; returns what kept it from that."""
        generation = -1

        def fetch(client: Bitso) -> OrderBook | None:
            nonlocal generation
            # As of now, when it is this book's turn.
            generation = tracked.generation
            if not tracked.wants_snapshot:
                return None
            return read_snapshot(tracked.name, client.all_orders(tracked.name).text)

        try:
            book = await self._rest.call(fetch)
        except (WarehouseError, BadValueError) as error:
            return error
        if book is None or not tracked.wants_snapshot or tracked.generation != generation:
            return None
        if problem := tracked.seed(book):
            return problem
        self._recent[tracked.name].clear()
        log.info("%s: in step at %d", tracked.name, book.sequence)
        return None

    # ---------------------------------------------------------- cross-check

    async def _check(self) -> NoReturn:
        """Hold the books against the ticker: a live socket may bring dead data."""
        while True:
            await self._clock.pause(self._check_seconds)
            suspects = await self._differing()
            if suspects:
                # Once more: a quote may have come and gone unseen.
                await self._clock.pause(SECOND_LOOK_SECONDS)
                again = await self._differing()
                stale = [name for name, since in again.items() if suspects.get(name) == since]
                if stale:
                    await self._cure(stale)
                    continue
            self._was_stale.clear()

    async def _differing(self) -> dict[str, int]:
        """The books that have not been at the ticker's quote lately, with their generation."""
        generations = {name: tracked.generation for name, tracked in self.books.items()}
        self._looking = {name: set() for name in self._names}
        try:
            body = await self._rest.call(lambda client: client.ticker())
            # What the ticker has seen may still be on its way to us.
            await self._clock.pause(SETTLE_SECONDS)
            seen = {
                name: {*self._looking[name], *self._recent[name], tracked.quote}
                for name, tracked in self.books.items()
                if tracked.book is not None and tracked.generation == generations[name]
            }
        except WarehouseError as error:
            log.warning("the books could not be held against the ticker: %s", error)
            return {}
        finally:
            self._looking = None
        tickers = {
            record.key: record for record in parse_tickers(body) if isinstance(record, Record)
        }
        return {
            name: generations[name]
            for name, quotes in seen.items()
            if name in tickers and not _has_been_at(quotes, tickers[name])
        }

    async def _cure(self, stale: list[str]) -> None:
        """Subscribe and read anew; the whole connection when that was no help, or most is dead."""
        in_step = sum(tracked.book is not None for tracked in self.books.values())
        is_again = bool(self._was_stale.intersection(stale))
        self._was_stale.update(stale)
        for name in stale:
            log.warning("%s: stale: the ticker shows other prices", name)
            self.books[name].lose("stale")
        socket = self._socket
        if socket is None:
            return
        with contextlib.suppress(ConnectionClosed):
            if is_again or 2 * len(stale) >= in_step:
                await socket.close()
                return
            for name in stale:
                self.books[name].is_subscribed = False
                await socket.send(subscription(name, "unsubscribe"))
                await socket.send(subscription(name))


def _has_been_at(quotes: Iterable[Quote], ticker: Record) -> bool:
    bids, asks = zip(*quotes, strict=True)
    return ticker.bid in bids and ticker.ask in asks


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _closed(error: ConnectionClosed) -> str:
    """1011 is the exchange's own error, or its answer to a request without a book."""
    if error.rcvd is None:
        return "without a word"
    reason = f" {error.rcvd.reason}" if error.rcvd.reason else ""
    return f"{error.rcvd.code}{reason}"
