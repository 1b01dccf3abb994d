"""Bitso's WebSocket: the channel diff-orders of every live book.

The other two channels can be subscribed to and send nothing.
"""

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from datetime import datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.clocks import ExchangeClock
from tests.exchange.faults import Fault, Faults
from tests.exchange.live import BUY, SELL, Frame, LiveMarket
from tests.exchange.market import BOOKS
from tests.exchange.replies import dumps
from tests.waiting import LAST_RESORT_SECONDS

CHANNELS = ("diff-orders", "orders", "trades")
KEEP_ALIVE = timedelta(seconds=20)
_TICK_SECONDS = 0.004
_NO_BOOK_SECONDS = 0.45


class _Client:
    """A connection and what it wants."""

    def __init__(self, connection: ServerConnection, at: datetime, first_ka: timedelta) -> None:
        self.connection = connection
        self.opened_at = at
        self.next_ka = at + first_ka
        # when the frames of a book begin
        self.books: dict[str, datetime] = {}
        self.others: set[tuple[str, str]] = set()
        self.is_stalled = False

    def abort(self) -> None:
        """Be gone without a word."""
        transport = self.connection.transport
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:  # it has not just gone by itself
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class StreamServer:
    """The server, in a thread of its own; it is what makes the books move."""

    def __init__(
        self,
        live: LiveMarket,
        clock: ExchangeClock,
        faults: Faults,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._live = live
        self._clock = clock
        self._faults = faults
        self._host = host
        self._port = port
        self._random = Random(1)
        self._clients: set[_Client] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the port of last time if there was one."""
        self._ready.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(LAST_RESORT_SECONDS), "the stream's server did not start"

    def stop(self) -> None:
        """Listen no more; whoever is connected is cut off."""
        assert self._loop is not None
        assert self._stopping is not None
        assert self._thread is not None
        self._clock.leave(self._take_turn)
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server: Server = await serve(
            self._converse, self._host, self._port,
            process_request=self._refuse, ping_interval=None, close_timeout=1,
        )  # fmt: skip
        self._port = next(iter(server.sockets)).getsockname()[1]
        has_steps = self._clock.follow(self._take_turn)
        ticking = asyncio.create_task(self._stopping.wait() if has_steps else self._tick())
        self._ready.set()
        waiting = asyncio.create_task(self._stopping.wait())
        # an error in the books' movement ends the server too: no silent stand-still
        done, _ = await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for client in list(self._clients):
            client.abort()
        server.close()
        waiting.cancel()
        ticking.cancel()
        if ticking in done:
            ticking.result()

    def _refuse(self, connection: ServerConnection, _: Request) -> Response | None:
        self.counts["handshakes"] += 1
        fault = self._faults.take_stream("", {"refuse"})
        if fault is None:
            return None
        self.counts["refused"] += 1
        return connection.respond(HTTPStatus(fault.argument or 503), "refused\n")

    # ---------------------------------------------------- what clients say

    async def _converse(self, connection: ServerConnection) -> None:
        first_ka = timedelta(seconds=self._random.uniform(5, 15))
        client = _Client(connection, self._clock.now(), first_ka)
        self._clients.add(client)
        try:
            async for message in connection:
                await self._hear(client, message)
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)

    async def _hear(self, client: _Client, message: str | bytes) -> None:
        try:
            said = json.loads(message)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            await self._say(client, {"error": "invalid message"})
            return
        action, book, channel = (said.get(key) for key in ("action", "book", "type"))
        if action not in ("subscribe", "unsubscribe"):
            await self._say(client, {"error": "unknown subscription"})
        elif not book:
            await asyncio.sleep(self._clock.real(_NO_BOOK_SECONDS))
            await client.connection.close(1011)
        elif channel not in CHANNELS:
            error = f"This type of channel is not supported - {channel}"
            await self._say(client, {"action": action, "type": channel, "error": error})
        elif book not in BOOKS:
            error = f"This book is not supported - {book}"
            await self._say(client, {"action": action, "type": channel, "error": error})
        else:
            await self._subscribe(client, action, channel, book)

    async def _subscribe(self, client: _Client, action: str, channel: str, book: str) -> None:
        is_on = (channel, book) in client.others
        response = "ok"
        if action == "unsubscribe":
            client.others.discard((channel, book))
            client.books.pop(book if channel == "diff-orders" else "", None)
        elif is_on:
            response = f"Already subscribed to channel: {channel}:{book}"
        else:
            client.others.add((channel, book))
        ack = {"action": action, "response": response, "type": channel, "book": book}
        await self._say(client, ack)
        if action == "subscribe" and channel == "diff-orders" and not is_on:
            self.counts["subscriptions"] += 1
            slow = self._faults.take_stream(book, {"slow_first_frame"})
            wait = timedelta(seconds=(slow.argument or 5) if slow else 0)
            client.books[book] = self._clock.now() + wait

    async def _say(self, client: _Client, document: dict[str, Any]) -> None:
        if not client.is_stalled:
            stamp = int(self._clock.now().timestamp() * 1000)
            await client.connection.send(dumps({**document, "time": stamp}))

    # ------------------------------------------------ what the books do

    async def _tick(self) -> None:
        """For a clock that runs by itself."""
        while True:
            self._do_what_is_due()
            await asyncio.sleep(_TICK_SECONDS)

    def _take_turn(self) -> None:
        """For a clock that a test moves, in its thread: all is sent when this returns."""
        assert self._loop is not None

        async def turn() -> None:
            self._do_what_is_due()

        asyncio.run_coroutine_threadsafe(turn(), self._loop).result(LAST_RESORT_SECONDS)

    def _do_what_is_due(self) -> None:
        now = self._clock.now()
        for book in BOOKS:
            fault = self._faults.take_stream(book, {"cancel_side"})
            if fault:
                with self._live.lock:
                    side = SELL if fault.argument == "asks" else BUY
                    frame = self._live.books[book].empty(side, now)
                self._send(frame, now)
        for frame in self._live.due(now):
            self._send(frame, now)
        self._keep_alive(now)
        self._break_connections(now)

    def _keep_alive(self, now: datetime) -> None:
        for client in self._clients:
            if now >= client.next_ka:
                client.next_ka += KEEP_ALIVE
                if not client.is_stalled:
                    broadcast([client.connection], '{"type":"ka"}')

    def _break_connections(self, now: datetime) -> None:
        if not self._clients:
            return
        oldest = min(client.opened_at for client in self._clients)
        fault = self._faults.take_stream(
            "", {"stall", "disconnect", "close"}, open_for=(now - oldest).total_seconds()
        )
        if fault is None:
            return
        self.counts[fault.name] += 1
        for client in list(self._clients):
            if fault.name == "stall":
                client.is_stalled = True
            elif fault.name == "disconnect":
                client.abort()
            else:
                # a client that does not read must not hold up the others' books
                closing = asyncio.create_task(client.connection.close(fault.code))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _send(self, frame: Frame, now: datetime) -> None:
        self.counts["frames"] += 1
        clients = [
            client
            for client in self._clients
            if not client.is_stalled and frame.book in client.books
        ]
        listening = [client for client in clients if now >= client.books[frame.book]]
        if not listening:
            return
        text = dumps(frame.document())
        names = {"gap", "duplicate", "reordered_keys", "unreadable", "cut_frame", "dead_data"}
        fault = self._faults.take_stream(frame.book, names)
        texts = [text] if fault is None else self._broken(fault, frame, text)
        connections = [client.connection for client in listening]
        for one in texts:
            broadcast(connections, one)
        if fault and fault.name == "cut_frame":
            for client in listening:
                _cut(client, text)

    def _broken(self, fault: Fault, frame: Frame, text: str) -> list[str | bytes]:
        self.counts[fault.name] += 1
        match fault.name:
            case "duplicate":
                return [text, text]
            case "reordered_keys":
                document = frame.document()
                document["payload"] = [_turned(entry) for entry in document["payload"]]
                return [json.dumps(_turned(document))]
            case "unreadable":
                half = text[: len(text) // 2]
                return [half if fault.argument is None else _for(frame, fault.argument)]
        return []


def _for(frame: Frame, text: str | bytes) -> str | bytes:
    """A text with the book and the sequence of a frame in the places for them."""
    if isinstance(text, bytes):
        return text
    return text.replace("@book@", frame.book).replace("@sequence@", str(frame.sequence))


def _turned(document: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(document.items()))


def _cut(client: _Client, text: str) -> None:
    """Half of a frame, and the end of the connection."""
    data = text.encode()
    header = struct.pack("!BBH", 0x81, 126, len(data))
    client.connection.transport.write(header + data[: len(data) // 2])
    client.connection.transport.abort()
