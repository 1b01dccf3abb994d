"""A webhook receiver that remembers what it got and answers as told.

`python -m tests.receiver --host HOST --port PORT` is one that writes what it gets to stdout.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


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
    """What came in; how to answer, by path: a status, after so many seconds."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)

    def address(self, path: str = "/hook") -> str:
        """As apprise writes it."""
        return f"json://127.0.0.1:{self.port}{path}"

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """The messages, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.received) >= count, self.received
        return list(self.received)


@contextmanager
def receiver(host: str = "127.0.0.1", port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Idempotency-Key"]
            told.received.append(Received(time.time(), self.path, key, body))
            time.sleep(told.delays.get(self.path, 0))
            try:
                self.send_response(told.statuses.get(self.path, 200))
                self.end_headers()
            except ConnectionError:
                pass  # the sender was killed

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 200

    with Server((host, port), Handler) as server:
        told.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield told
        finally:
            server.shutdown()


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
