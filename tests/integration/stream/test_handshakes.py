"""What answers where the WebSocket should be may do what it likes: told once, tried again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import psutil
import pytest

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


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_answers_is_told_once_and_tried_again(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE_SECONDS", 0.3)
    clock = PausesOnly()
    caplog.set_level(logging.DEBUG, "loader")

    async def live() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await ANSWERS[name](reader, writer)
            except (OSError, EOFError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        socket = FrameSocket(
            f"ws://127.0.0.1:{port}", {"btc_mxn": TrackedBook("btc_mxn", 1)}, clock,  # type: ignore[arg-type]
            on_change=lambda _: None, on_lost=lambda _: None, on_end=lambda: None,
        )  # fmt: skip
        running = asyncio.create_task(socket.run())
        try:
            await wait_on_loop(
                lambda: running.done() or len(clock.pauses) >= TRIES, "so many attempts"
            )
            assert not running.done()
            assert socket.is_disconnected
        finally:
            running.cancel()
            server.close()
            await asyncio.gather(running, return_exceptions=True)

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
