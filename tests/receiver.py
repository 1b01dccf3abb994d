"""A webhook receiver that remembers what it got and answers as told.

`python -m tests.receiver --host HOST --port PORT` is one that writes what it gets to stdout.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.local_server import QuietHandler, serving
from tests.waiting import wait_for


class Received(NamedTuple):
    """One message, and when it was here."""

    at: float
    path: str
    key: str | None
    body: dict[str, Any]

    @property
    def what(self) -> tuple[str, str, str]:
        """Path, book and event."""
        return (self.path, self.body["book"], self.body["event"])


@dataclass
class Receiver:
    """What came in; how to answer, by path: with a status, or not at all while it is held."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    # Returns when all is received that was sent until now.
    drain: Callable[[], None] = lambda: None

    def address(self, path: str = "/hook") -> str:
        """As apprise writes it."""
        return f"json://127.0.0.1:{self.port}{path}"

    def wait_for(self, count: int) -> list[Received]:
        """The messages, once there are so many."""
        wait_for(lambda: len(self.received) >= count, lambda: f"{count}: {self.received}")
        return list(self.received)


@contextmanager
def receiver(host: str = "127.0.0.1", port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens."""
    told = Receiver()

    class HookHandler(QuietHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Idempotency-Key"]
            told.received.append(Received(time.time(), self.path, key, body))
            while self.path in told.held and not self.hold(0.02):
                pass
            # Else the sender was killed.
            with suppress(ConnectionError):
                self.send_response(told.statuses.get(self.path, 200))
                self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    with serving(HookHandler, host, port) as server:
        told.port = server.server_port
        told.drain = server.drain
        yield told


def main() -> None:
    """Listen until terminated; a line of JSON for each message."""
    parser = argparse.ArgumentParser(prog="python -m tests.receiver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    with receiver(given.host, given.port) as told:
        while True:
            time.sleep(0.2)
            for message in told.received[:]:
                sys.stdout.write(json.dumps(message._asdict()) + "\n")
                sys.stdout.flush()
                told.received.remove(message)


if __name__ == "__main__":
    main()
