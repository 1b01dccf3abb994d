"""Servers that never come to an end: each stage of an exchange, held up byte by byte.

Each is the way of a connection from when it is accepted. They pause for a hundredth of a second, so
that no limit for one piece is ever reached, and give up when the client has gone or the test ends.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.local_server import LocalServer, QuietHandler, serving

PAUSE_SECONDS = 0.01
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Way = Callable[[QuietHandler], None]


def _read_request(handler: QuietHandler) -> bytes:
    """The first line of a request that is read whole."""
    first = handler.rfile.readline()
    while handler.rfile.readline() not in (b"\r\n", b"\n", b""):
        pass
    return first


def _drips(before: bytes, drop: bytes = b"x") -> Way:
    """Takes the request, answers at once with some bytes, and then with a drop now and then."""

    def go(handler: QuietHandler) -> None:
        _read_request(handler)
        handler.wfile.write(before)
        while not handler.hold(PAUSE_SECONDS):
            handler.wfile.write(drop)

    return go


def _pours(before: bytes, drop: bytes) -> Way:
    """The same without a pause."""

    def go(handler: QuietHandler) -> None:
        _read_request(handler)
        handler.wfile.write(before)
        while not handler.hold(0):
            handler.wfile.write(drop * 1000)

    return go


def _says_nothing(handler: QuietHandler) -> None:
    # To its end, which is the client's.
    handler.rfile.read()


def _connects_to_nobody(handler: QuietHandler) -> None:
    _read_request(handler)
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    handler.rfile.read()


def _shakes_hands_slowly(handler: QuietHandler) -> None:
    # A record of the handshake, of 16 KiB.
    handler.wfile.write(b"\x16\x03\x03\x40\x00")
    while not handler.hold(PAUSE_SECONDS):
        handler.wfile.write(b"\x02")


def _redirects_and_drips(handler: QuietHandler) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n"
    is_there = b"/on" in _read_request(handler)
    handler.wfile.write(OK if is_there else redirect)
    while is_there and not handler.hold(PAUSE_SECONDS):
        handler.wfile.write(b"x")


WAYS: dict[str, Way] = {
    "says nothing": _says_nothing,
    "drips its status": _drips(b"HTTP/1.1 ", b"0"),
    "drips a header": _drips(OK + b"X: "),
    "drips headers": _drips(OK, b"X: y\r\n"),
    "goes on to say continue": _drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "says continue without a pause": _pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "goes on to say hints": _drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "says hints without a pause": _pours(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "drips headers of a continue": _drips(b"HTTP/1.1 100 Continue\r\nX: "),
    "drips its body": _drips(OK + b"Content-Length: 1000000\r\n\r\n"),
    "drips a body without length": _drips(OK + b"\r\n"),
    "drips chunks": _drips(CHUNKED, b"1\r\nx\r\n"),
    "drips the size of a chunk": _drips(CHUNKED, b"0"),
    "drips trailers": _drips(CHUNKED + b"1\r\n1\r\n0\r\n", b"X: y\r\n"),
    "pours trailers": _pours(CHUNKED + b"1\r\n1\r\n0\r\n", b"X: y\r\n"),
    "drips packed nothings": _drips(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    "redirects and drips": _redirects_and_drips,
}
OF_TLS: dict[str, Way] = {"says nothing": _says_nothing, "shakes slowly": _shakes_hands_slowly}
OF_PROXY: dict[str, Way] = {
    "says nothing": _says_nothing,
    "drips its status": _drips(b"HTTP/1.1 ", b"0"),
    "drips headers": _drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "connects to nobody": _connects_to_nobody,
}


@contextmanager
def dripping(way: Way) -> Iterator[LocalServer]:
    """A server of that way for as long as the block lasts."""

    class Dripping(QuietHandler):
        def handle(self) -> None:
            way(self)

    with serving(Dripping) as server:
        yield server
