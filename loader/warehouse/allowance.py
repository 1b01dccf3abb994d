"""A bound on work that others hold up: it is done in a thread, which is left when time is up.

Timeouts of sockets are for each piece, and a look-up of a name has none at all: a server that sends
a byte now and then would hold us up for ever. Whoever gave the work its time goes on; what the work
went over is cut, so that its thread ends too.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
# struct linger, on, of no seconds.
_NO_FAREWELL = struct.pack("ii", 1, 0)


class Allowance:
    """Seconds that pieces of work share, such as the hops of a request that is redirected."""

    def __init__(self, seconds: float) -> None:
        self._left = min(seconds, threading.TIMEOUT_MAX)

    def spend_on(self, work: Callable[[], T]) -> T:
        """What the work returns or raises; TimeoutError when it takes longer than is left."""
        began = time.monotonic()
        outcome: Future[T] = Future()
        line = _Line()
        threading.Thread(
            target=_do, args=(work, outcome, line), name="within an allowance", daemon=True
        ).start()
        try:
            return outcome.result(self._left)
        finally:
            self._left -= time.monotonic() - began
            if not outcome.done():
                line.cut()


def goes_over(connected: socket.socket) -> None:
    """Say what the work of this thread goes over: with the allowance that, too, is over."""
    if _this_thread.line:
        _this_thread.line.goes_over(connected)


def end_if_over() -> None:
    """Raise TimeoutError in work whose allowance is over, for nobody waits for it any more.

    Asked after each piece that is read: from a socket that is shut down Linux goes on reading for
    as long as the other side goes on sending.
    """
    if _this_thread.line and _this_thread.line.is_cut:
        raise TimeoutError


class _Line:
    """What some work goes over at the moment, for another thread to cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def goes_over(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self.is_cut:
                self._shut_down()

    def cut(self) -> None:
        with self._lock:
            self.is_cut = True
            self._shut_down()

    def _shut_down(self) -> None:
        # Not close(): only this ends a recv that waits in another thread. The close that follows
        # resets the connection: a server in full flow would wait minutes for us to read on.
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_FAREWELL)
                self._socket.shutdown(socket.SHUT_RDWR)


class _ThisThread(threading.local):
    line: _Line | None = None


_this_thread = _ThisThread()


def _do(work: Callable[[], T], outcome: Future[T], line: _Line) -> None:
    _this_thread.line = line
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 (it is raised where the work was asked for)
        outcome.set_exception(error)
