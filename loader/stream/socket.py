"""The WebSocket: opened again whenever it ends, every book subscribed to, every frame heard.

A quiet book sends nothing, so that only keep-alives tell a live connection from a dead one
(bmoscon/cryptofeed#226); they come every 20 s, and a request without a book is answered by closing
with 1011 (github.com/nemanull/arbitrage-observatory, docs/profiles/bitso/websocket.md).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.protocol import State

from loader.stream.backoff import Backoff, PerMinute
from loader.stream.frames import (
    Ack,
    BadFrame,
    Frame,
    Refusal,
    bad_frame,
    read_frame,
    subscription,
)
from loader.stream.order_book import Diff
from loader.stream.told import from_outside, shown_text, told
from loader.stream.tracked_book import TrackedBook
from loader.warehouse.clock import AsyncClock
from loader.warehouse.values import BadValueError

# Three keep-alives missed, one comes every 20 s: nobody is there.
SILENT_SECONDS = 60.0
# After so long a connection counts as healthy, and the next failure as the first.
HEALTHY_SECONDS = 60.0
ANSWER_SECONDS = 10.0
# How often is looked whether the connection is being closed.
LOOK_SECONDS = 1.0
# For all of a handshake, its redirects included; websockets bounds what it may send.
HANDSHAKE_SECONDS = 10.0
# Thousands of orders in one frame. As JSON of nothing but brackets it takes 25 times as much.
LONGEST_FRAME_BYTES = 2 << 20
# Bad frames that go into quarantine in any minute; the rest is only counted.
BAD_FRAMES_A_MINUTE = 20
# And so much is said of other things that may come with every frame.
WARNINGS_A_MINUTE = 20

log = logging.getLogger(__name__)
# What the library meets reaches us as an exception; it would also log it, with a traceback.
_unheard = logging.getLogger(f"{__name__}.library")
_unheard.disabled = True


class _LeaveError(Exception):
    """A connection is of no more use; the text says why."""


class FrameSocket:
    """Hands each frame to the book that it is of.

    `on_change` hears of a book that a frame has changed, `on_lost` of one that wants a snapshot,
    `on_end` that the connection has ended, and all books with it.
    """

    def __init__(
        self,
        url: str,
        books: Mapping[str, TrackedBook],
        clock: AsyncClock,
        *,
        on_change: Callable[[TrackedBook], None],
        on_lost: Callable[[TrackedBook], None],
        on_end: Callable[[], None],
    ) -> None:
        self._url = url
        self._books = books
        self._clock = clock
        self._on_change = on_change
        self._on_lost = on_lost
        self._on_end = on_end
        self._socket: ClientConnection | None = None
        # Whether there has been a connection, or a failure to get one.
        self._has_tried = False
        self._heard_at = 0.0
        self._bad: list[BadFrame] = []
        self._bad_frames = PerMinute("bad frames", BAD_FRAMES_A_MINUTE, clock)
        self._warnings = PerMinute("refusals and missing frames", WARNINGS_A_MINUTE, clock)

    @property
    def is_disconnected(self) -> bool:
        """Whether there is no connection, and not only not yet.

        One that either end has closed may still be there, and brings nothing any more.
        """
        socket = self._socket
        return self._has_tried and (socket is None or socket.state is not State.OPEN)

    @property
    def quiet_seconds(self) -> float:
        """How long ago anything was heard, if only a keep-alive."""
        return self._clock.monotonic() - self._heard_at

    def take_bad(self) -> tuple[BadFrame, ...]:
        """The bad frames since the last call, as many as are to be kept."""
        bad, self._bad = tuple(self._bad), []
        return bad

    async def run(self) -> NoReturn:
        """Stay connected."""
        backoff = Backoff()
        while True:
            opened_at = self._clock.monotonic()
            reason = await self._connect()
            self._socket = None
            self._has_tried = True
            for tracked in self._books.values():
                tracked.disconnect()
            self._on_end()
            # Healthy means that it has brought frames, not only that it could be opened.
            if self._heard_at - opened_at >= HEALTHY_SECONDS:
                backoff.reset()
            pause = backoff.pause()
            if backoff.is_news(reason):
                log.warning("%s: connecting again in %.1f s", reason, pause)
            await self._clock.pause(pause)

    async def renew(self, stale: list[str], whole: bool) -> None:
        """Subscribe to books anew; with `whole`, end the connection for a new one."""
        socket = self._socket
        if socket is None:
            return
        with contextlib.suppress(ConnectionClosed):
            if whole:
                await socket.close()
                return
            for name in stale:
                self._books[name].is_subscribed = False
                await socket.send(subscription(name, "unsubscribe"))
                await socket.send(subscription(name))

    async def _connect(self) -> str:
        """Be connected for as long as it goes well; returns why it ended."""
        try:
            socket = await self._open()
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
            return _why_closed(error.rcvd, error.sent)
        except Exception as error:  # noqa: BLE001 - the next connection may be better
            return told(error)
        return "the connection was closed"

    async def _open(self) -> ClientConnection:
        try:
            return await open_socket(
                self._url,
                # The exchange sends its own keep-alives, and compression gains little on such short
                # frames.
                ping_interval=None,
                compression=None,
                open_timeout=HANDSHAKE_SECONDS,
                close_timeout=1,
                max_size=LONGEST_FRAME_BYTES,
                logger=_unheard,
            )
        except InvalidStatus as error:
            code = error.response.status_code
            raise _LeaveError(f"the connection was refused: HTTP {code}") from None
        except Exception as error:  # noqa: BLE001 - it fails in many ways
            # A redirect may lead the library to an address that it cannot read.
            raise _LeaveError(f"no connection: {from_outside(error)}") from None

    async def _converse(self, socket: ClientConnection) -> None:
        works = {
            asyncio.create_task(work)
            for work in (self._hear(socket), self._subscribe(socket), self._watch(socket))
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
            for tracked in self._books.values():
                if not tracked.is_subscribed:
                    await socket.send(subscription(tracked.name))
            await self._clock.pause(ANSWER_SECONDS)

    async def _watch(self, socket: ClientConnection) -> NoReturn:
        while True:
            if socket.state is not State.OPEN:
                # The library waits for the other end to hang up, which it may never do.
                raise _LeaveError(
                    _why_closed(socket.protocol.close_rcvd, socket.protocol.close_sent)
                )
            # In this order the sum is exactly where the last pause ended: no rest is left of it.
            left = self._heard_at + SILENT_SECONDS - self._clock.monotonic()
            if left <= 0:
                raise _LeaveError(f"nothing was heard for {SILENT_SECONDS:.0f} s")
            await self._clock.pause(min(left, LOOK_SECONDS))

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            self._heard_at = self._clock.monotonic()
            try:
                self._deal_with(read_frame(message))
            except Exception as error:  # noqa: BLE001 - a frame may cost its book, and no more
                code = error.code if isinstance(error, BadValueError) else "not_taken"
                self._set_aside(bad_frame(message, code, told(error)))

    def _deal_with(self, frame: Frame) -> None:
        if isinstance(frame, Diff):
            self._take(frame)
        elif isinstance(frame, Ack):
            if tracked := self._books.get(frame.book):
                tracked.is_subscribed = True
                self._on_lost(tracked)
        elif isinstance(frame, Refusal):
            self._note_refusal(frame)
        elif isinstance(frame, BadFrame):
            self._set_aside(frame)

    def _take(self, diff: Diff) -> None:
        tracked = self._books.get(diff.book)
        if tracked is None:
            return
        if not tracked.take(diff) and self._warnings.lets_through():
            log.warning("%s: frames before %d are missing", tracked.name, diff.sequence)
        if tracked.book is None:
            self._on_lost(tracked)
        else:
            self._on_change(tracked)

    def _note_refusal(self, refusal: Refusal) -> None:
        tracked = self._books.get(refusal.book)
        is_new = tracked is None or tracked.detail != refusal.reason
        if is_new and self._warnings.lets_through():
            log.error("Bitso refuses: %s", refusal.reason)
        if tracked is not None:
            tracked.detail = refusal.reason

    def _set_aside(self, bad: BadFrame) -> None:
        """To quarantine; the book that it names is read anew.

        Where it names none and was of one all the same, that book's next frame tells.
        """
        if self._bad_frames.lets_through():
            self._bad.append(bad)
            log.warning(
                "a bad frame of %s: %s: %s",
                bad.book or "no book", bad.reason, shown_text(bad.raw),
            )  # fmt: skip
        tracked = self._books.get(bad.book)
        if tracked and bad.code != "unknown_frame":
            tracked.lose("resync")
            self._on_lost(tracked)


def _why_closed(theirs: Close | None, ours: Close | None) -> str:
    """1011 is the exchange's own error, or its answer to a request without a book."""
    if theirs:
        return f"the connection was closed: {theirs.code} {shown_text(theirs.reason)}".rstrip()
    if ours:
        return f"what came is no WebSocket: {ours.code} {shown_text(ours.reason)}".rstrip()
    return "the connection was closed: without a word"
