"""A door on loopback that says what a case has it say, byte by byte, or lets through.

What is sent is a list of steps: bytes are sent as they are, `Drip` one by one with a pause before
each, `Flood` again and again until the other one has had enough; `HOLD` waits for the other one to
leave, `RESET` ends the connection without a word. After the last step it is closed.
"""

import itertools
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from tests.local_server import LocalServer, QuietHandler, serving

HOLD: Literal["hold"] = "hold"
RESET: Literal["reset"] = "reset"
# Of what comes in nothing is looked at but that it came.
_REQUEST_BYTES = 1 << 16


class Drip(NamedTuple):
    """Some bytes, then the last of them for ever, with a pause of so many seconds before each."""

    data: bytes
    pause: float = 0.1


class Flood(NamedTuple):
    """The same bytes again and again; `most` bytes in all, by default without end."""

    data: bytes
    most: int = 1 << 62


Step = bytes | Drip | Flood | Literal["hold", "reset"]


@contextmanager
def gate(
    steps: Sequence[Step], target: tuple[str, int] | None = None, times: int | None = None
) -> Iterator[LocalServer]:
    """A door for as long as the block lasts.

    The first `times` connections (None: all of them) get the steps; later ones go on to `target`.
    """
    numbers = itertools.count()

    class GateHandler(QuietHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if times is not None and next(numbers) >= times:
                    assert target, "there is nowhere to go on to"
                    _splice(self.connection, target)
                    return
                self.connection.recv(_REQUEST_BYTES)
                for step in steps:
                    _take(self, step)

    with serving(GateHandler) as server:
        yield server


def _take(handler: QuietHandler, step: Step) -> None:
    connection = handler.connection
    if isinstance(step, bytes):
        connection.sendall(step)
    elif isinstance(step, Drip):
        for byte in itertools.chain(step.data, itertools.repeat(step.data[-1])):
            if handler.hold(step.pause):
                return
            connection.sendall(bytes([byte]))
    elif isinstance(step, Flood):
        piece = step.data * max(1, (1 << 16) // len(step.data))
        for _ in range(0, step.most, len(piece)):
            connection.sendall(piece)
    elif step == HOLD:
        # Nothing more is said; whoever leaves is heard.
        while not handler.hold(0.05):
            if select.select([connection], [], [], 0)[0] and not connection.recv(_REQUEST_BYTES):
                return
    else:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.rfile.close()
        handler.wfile.close()
        connection.close()


def _splice(here: socket.socket, target: tuple[str, int]) -> None:
    """What either side says, to the other, until one of them has left."""
    with socket.create_connection(target) as there:
        other = {here: there, there: here}
        while True:
            for ready in select.select([here, there], [], [])[0]:
                data = ready.recv(_REQUEST_BYTES)
                if not data:
                    return
                other[ready].sendall(data)
