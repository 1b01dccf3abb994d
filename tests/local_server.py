"""The HTTP server that tests listen with: on loopback, quiet, and gone when it is over."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import LAST_RESORT_SECONDS, wait_for


class QuietHandler(BaseHTTPRequestHandler):
    """What was asked is for the test to keep, not for stderr."""

    # Else the body of a reply waits for the acknowledgement of its headers.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def hold(self, seconds: float = LAST_RESORT_SECONDS) -> bool:
        """Let the client wait; True when the server ends meanwhile."""
        assert isinstance(self.server, LocalServer)
        return self.server.ending.wait(seconds)


class LocalServer(ThreadingHTTPServer):
    """Serves in threads of its own; `stop` ends them all, also those that a client keeps busy."""

    request_queue_size = 200

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str = "", port: int = 0):
        super().__init__((host or "127.0.0.1", port), handler)
        self.ending = threading.Event()
        self._conversations: dict[threading.Thread, socket.socket] = {}
        self._listener = threading.Thread(
            target=self.serve_forever, args=(0.02,), name=f"server {self.server_port}", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def is_in_conversation(self) -> bool:
        """Whether somebody who has connected is still there."""
        return bool(self._conversations)

    def start(self) -> None:
        """Serve."""
        self._listener.start()

    def stop(self) -> None:
        """Listen no more, and cut off whoever is connected."""
        self.ending.set()
        self.shutdown()
        self._listener.join()
        self.server_close()
        wait_for(self._cut_off_all, lambda: f"the end of {self._conversations}")

    def _cut_off_all(self) -> bool:
        """Whether nobody is left; one that was just taken in may begin meanwhile."""
        for conversation in list(self._conversations.values()):
            with suppress(OSError):
                conversation.shutdown(socket.SHUT_RDWR)
        return not self._conversations

    def drain(self) -> None:
        """Return when whoever has connected until now has been answered."""
        # Connections are taken in their order.
        socket.create_connection(("127.0.0.1", self.server_port)).close()
        wait_for(lambda: not self._conversations, lambda: f"the end of {self._conversations}")

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Remember the conversation for as long as it lasts: its end is `stop`'s business."""
        threading.current_thread().name = f"conversation with {client_address}"
        self._conversations[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._conversations[threading.current_thread()]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what these servers are for."""


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], host: str = "", port: int = 0
) -> Iterator[LocalServer]:
    """A server for as long as the block lasts."""
    server = LocalServer(handler, host, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port that nobody listened on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
