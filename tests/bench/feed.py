"""`python -m tests.bench.feed`: 54 books over WebSocket and REST, as fast as they are read.

No simulator of faults but a pump: a process of its own, so that what it costs is not the daemon's.
It prints its addresses. Each line that it then reads is how many frames to send, at how many a
second (0: as fast as they go), and each how many seconds the spread of another book is wide for a
while (0: never). It answers with JSON: the seconds that they took, and for each book that was wide
when the frame that made it so was sent.
"""

import asyncio
import json
import random
import sys
import time
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from tests.local_server import LocalServer, QuietHandler

BOOKS = [f"b{number:02}_mxn" for number in range(54)]
FIRST_SEQUENCE = 4_520_986_708
ORDERS_A_SIDE = 500
MIDDLE = 1_500_000
# The spread of a wide book is 1 % or more.
WIDE = MIDDLE // 99
WIDE_SECONDS = 3.0
ASK = 1


class PumpedBook:
    """Orders that come and go at prices around a middle that stays."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = FIRST_SEQUENCE
        self._random = random.Random(name)
        self._count = 0
        self._orders = [self._order(side) for _ in range(ORDERS_A_SIDE) for side in (0, 1)]

    def _order(self, side: int) -> dict[str, Any]:
        self._count += 1
        away = int(self._random.expovariate(0.01)) + 1
        price = MIDDLE + (away if side else -away) * 10
        return {
            "o": f"{self.name}{self._count:010}", "d": 1_790_126_704_679, "r": str(price),
            "t": side, "s": "open", "a": f"{self._random.random() + 1e-6:.8f}",
            "v": "2716.74996640", "z": 1_790_126_713_770,
        }  # fmt: skip

    def frame(self) -> str:
        """An order is cancelled and another one opened, or one shrinks."""
        at = self._random.randrange(len(self._orders))
        order = self._orders[at]
        if (self.sequence + 1) % 3:
            fresh = self._orders[at] = self._order(order["t"])
            return self._said([{**order, "s": "cancelled"}, fresh])
        return self._said([{**order, "a": "0.00000001"}])

    def widened(self) -> str:
        """All asks are cancelled but for a new one that is far away."""
        gone = [order for order in self._orders if order["t"] == ASK]
        self._orders = [order for order in self._orders if order["t"] != ASK]
        far = {**self._order(ASK), "r": str(MIDDLE + WIDE)}
        self._orders.append(far)
        return self._said([*({**order, "s": "cancelled"} for order in gone), far])

    def narrowed(self) -> str:
        """The asks are back, with others."""
        fresh = [self._order(ASK) for _ in range(ORDERS_A_SIDE - 1)]
        self._orders += fresh
        return self._said(fresh)

    def _said(self, entries: list[dict[str, Any]]) -> str:
        self.sequence += 1
        return json.dumps({
            "book": self.name, "sequence": self.sequence, "type": "diff-orders", "payload": entries,
            "sent": 1_790_126_713_928,
        })  # fmt: skip

    def snapshot(self) -> bytes:
        """As REST gives it with `aggregate=false`."""
        sides: tuple[list[Any], list[Any]] = ([], [])
        for order in self._orders:
            sides[order["t"]].append({
                "book": self.name, "price": order["r"], "amount": order["a"], "oid": order["o"],
            })  # fmt: skip
        payload = {
            "updated_at": "2026-09-23T01:18:16+00:00", "bids": sides[0], "asks": sides[1],
            "sequence": str(self.sequence),
        }  # fmt: skip
        return json.dumps({"success": True, "payload": payload}).encode()


class Pump:
    """The two servers."""

    def __init__(self) -> None:
        self.books = {name: PumpedBook(name) for name in BOOKS}
        self._connection: ServerConnection | None = None
        self._wide: PumpedBook | None = None

    async def hear(self, connection: ServerConnection) -> None:
        """Acknowledge whatever is asked."""
        self._connection = connection
        async for message in connection:
            book = json.loads(message)["book"]
            await connection.send(json.dumps({
                "action": "subscribe", "response": "ok", "type": "diff-orders", "book": book,
            }))  # fmt: skip

    async def send(self, frames: int, a_second: float, wide_each: float) -> dict[str, Any]:
        """Send so many frames; returns how long it took, and what was wide from when on."""
        connection = self._connection
        assert connection
        loop = asyncio.get_running_loop()
        start = loop.time()
        names = list(self.books.values())
        wide: list[tuple[str, float]] = []
        widening = loop.create_task(self._widen(connection, wide_each, wide))
        for number in range(frames):
            book = names[number % len(names)]
            if book is not self._wide:
                await connection.send(book.frame())
            if a_second and number % 10 == 0:
                await asyncio.sleep(max(0.0, start + number / a_second - loop.time()))
        widening.cancel()
        await (await connection.ping())
        return {"seconds": loop.time() - start, "wide": wide}

    async def _widen(
        self, connection: ServerConnection, each: float, wide: list[tuple[str, float]]
    ) -> None:
        """One book after the other; it is told nothing else meanwhile."""
        while each:
            for book in self.books.values():
                await asyncio.sleep(each - WIDE_SECONDS)
                self._wide = book
                await connection.send(book.widened())
                wide.append((book.name, time.time()))
                await asyncio.sleep(WIDE_SECONDS)
                await connection.send(book.narrowed())
                self._wide = None


def _handler(pump: Pump) -> type[QuietHandler]:
    class FeedHandler(QuietHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            body = pump.books[query["book"][0]].snapshot()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return FeedHandler


async def main() -> None:
    """Serve until the input ends."""
    pump = Pump()
    rest = LocalServer(_handler(pump))
    rest.start()
    async with serve(pump.hear, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        say = partial(print, flush=True)
        say(f"ws://127.0.0.1:{port} http://127.0.0.1:{rest.server_port}")
        while line := await asyncio.to_thread(sys.stdin.readline):
            frames, a_second, wide_each = line.split()
            say(json.dumps(await pump.send(int(frames), float(a_second), float(wide_each))))


if __name__ == "__main__":
    asyncio.run(main())
