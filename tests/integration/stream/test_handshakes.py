"""What answers where the WebSocket should be may do what it likes: told once, tried again."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import psutil
import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from loader.stream import socket as sockets
from loader.stream.backoff import TOLD_EACH
from loader.stream.socket import FrameSocket
from loader.stream.tracked_book import TrackedBook
from tests.waiting import wait_on_loop

TRIES = 6
MOST_CPU_SECONDS = 10.0
MOST_MEMORY = 64 << 20

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PausesOnly:
    """A clock on which pauses are written down and are over at once."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        """Be there already."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        """Time does not pass."""
        return 0.0


def saying(*parts: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for ever."""
    for byte in (b"HTTP/1.1 101 ", *[b"x"] * 1_000_000):
        writer.write(byte)
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    for _mib in range(1 << 10):
        writer.write(b"X-Filler: 1\r\n" * (1 << 16))
        await writer.drain()


async def endless_header(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Filler: ")
    for _mib in range(1 << 10):
        writer.write(b"x" * (1 << 20))
        await writer.drain()


async def endless_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    for _mib in range(1 << 10):
        writer.write(b"x" * (1 << 20))
        await writer.drain()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def redirecting(to: bytes) -> Answer:
    return saying(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + b"\r\n\r\n")


ANSWERS: dict[str, Answer] = {
    "refused": saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    "html": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"),
    "drip": drip,
    "silence": silence,
    "endless headers": endless_headers,
    "endless header": endless_header,
    "endless body": endless_body,
    "nothing": saying(),
    "garbage": saying(b"\x00\xff\x1b[31m\r\n\r\n"),
    "not its protocol": saying(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "escapes": saying(b"HTTP/1.1 200 \x1b]0;owned\x07\r\nContent-Length: 0\r\n\r\n"),
    "a wrong key": saying(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: x\r\n\r\n"
    ),
    "two keys": saying(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Accept: x\r\n\r\n"
    ),
    "a length that is none": saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
    ),
    "to itself": redirecting(b"/"),
    "to nowhere": redirecting(b""),
    "to another protocol": redirecting(b"file:///etc/passwd"),
    "to no address": redirecting(b"ws://[::1"),
    "to no port": redirecting(b"ws://127.0.0.1:99999/"),
    "to a name with a password": redirecting(b"ws://user@host/"),
    "to an escape": redirecting(b"ws://\x1b[31m/"),
}  # fmt: skip


@asynccontextmanager
async def connecting(
    answer: Answer, clock: PausesOnly, *, is_subscribed: bool = False
) -> AsyncIterator[tuple[FrameSocket, asyncio.Task[NoReturn]]]:
    """A socket at work against a server of such answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tracked = TrackedBook("btc_mxn", 1)
    tracked.is_subscribed = is_subscribed
    socket = FrameSocket(
        f"ws://127.0.0.1:{port}", {"btc_mxn": tracked}, clock,  # type: ignore[arg-type]
        on_change=lambda _: None, on_lost=lambda _: None, on_end=lambda: None,
    )  # fmt: skip
    running = asyncio.create_task(socket.run())
    try:
        yield socket, running
    finally:
        running.cancel()
        server.close()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_answers_is_told_once_and_tried_again(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE_SECONDS", 0.3)
    clock = PausesOnly()
    caplog.set_level(logging.DEBUG, "loader")

    async def live() -> None:
        async with connecting(ANSWERS[name], clock) as (socket, running):
            await wait_on_loop(
                lambda: running.done() or len(clock.pauses) >= TRIES, "so many attempts"
            )
            assert not running.done()
            assert socket.is_disconnected

    memory, begun = psutil.Process().memory_info().rss, time.process_time()
    asyncio.run(live())
    assert time.process_time() - begun < MOST_CPU_SECONDS
    assert psutil.Process().memory_info().rss - memory < MOST_MEMORY
    assert TRIES < TOLD_EACH
    [told] = [one.getMessage() for one in caplog.records if one.name.startswith("loader")]
    assert told.isprintable()
    assert len(told) < 300
    assert "a fault of this program" not in told
    # Half of each is left to chance.
    assert clock.pauses[TRIES - 1] > 2 * clock.pauses[0]


# What ends a conversation by the protocol, RFC 6455: nothing comes after it.
ENDS = {
    "a close": Frame(Opcode.CLOSE, b"\x03\xf3sorry").serialize(mask=False),
    "a close without a word": Frame(Opcode.CLOSE, b"").serialize(mask=False),
    "a reserved opcode": b"\x83\x01x",
    "a reserved bit": b"\xc1\x01x",
    "a mask": Frame(Opcode.TEXT, b"x").serialize(mask=True),
    "the rest of nothing": b"\x80\x01x",
    "a ping in parts": b"\x09\x01x",
    "a long ping": b"\x89\x7e\x00\x7e" + b"x" * 126,
    "no UTF-8": b"\x81\x01\xff",
    "a frame that is too long": b"\x81\x7f" + (sockets.LONGEST_FRAME_BYTES + 1).to_bytes(8, "big"),
    "a length that is none": b"\x81\x7f" + b"\xff" * 8,
}


@pytest.mark.parametrize("name", ENDS)
def test_a_conversation_that_is_over_is_left_though_nobody_hangs_up(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "loader")
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        asked = await reader.readuntil(b"\r\n\r\n")
        [key] = [
            line[19:] for line in asked.splitlines() if line.startswith(b"Sec-WebSocket-Key: ")
        ]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
        )
        connections += 1
        writer.write(ENDS[name])
        while await reader.read(1000):
            pass

    async def live() -> None:
        # What is sent would find out by itself that the conversation is over.
        async with connecting(answer, PausesOnly(), is_subscribed=True) as (socket, running):
            await wait_on_loop(lambda: running.done() or connections > 0, "a connection")
            # The books are not seen any more, long before it is given up.
            await wait_on_loop(lambda: running.done() or socket.is_disconnected, "its end")
            await wait_on_loop(lambda: running.done() or connections > 1, "another connection")
            assert not running.done()

    asyncio.run(live())
    assert len({one.getMessage() for one in caplog.records if one.name.startswith("loader")}) == 1
