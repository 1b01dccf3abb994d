"""A pooler in miniature, for what is to be noticed of a pooler where pgbouncer is not installed.

It speaks Postgres's protocol as far as psycopg2's plain statements go. A client is let in by
Postgres itself, on a connection of its own; in mode `transaction` that goes into a pool then, and
each transaction of any client gets the connection that was given back last, as pgbouncer does it.
Facts: PostgreSQL's documentation, "Message Formats"; pgbouncer's makes up the number of the process
and the key that a client gets for its cancel requests.
"""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Mode = Literal["session", "transaction"]
_ASKS_FOR_SSL, _ASKS_FOR_GSS = 80877103, 80877104
_MADE_UP_KEY = b"K" + struct.pack("!iii", 12, 7, 7)


class _Client(socketserver.BaseRequestHandler):
    """One client, from its first message to its last."""

    server: "MiniPooler"

    def handle(self) -> None:
        server = socket.create_connection(("127.0.0.1", self.server.postgres_port))
        self.server.made.append(server)
        for each in (server, self.request):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            ready = self._let_in(server)
            if self.server.mode == "transaction":
                self._share(server, ready)
            else:
                self.request.sendall(ready)
                while message := _message(self.request):
                    self.request.sendall(_pass_on(server, message, self.request))
        except OSError:
            # The client has left; Postgres learns of it when the test is over.
            pass

    def _let_in(self, server: socket.socket) -> bytes:
        """Pass on what lets a client in, but for the last message: that it may begin."""
        while True:
            start = _exactly(self.request, 4)
            start += _exactly(self.request, struct.unpack("!i", start)[0] - 4)
            if struct.unpack("!i", start[4:8])[0] not in (_ASKS_FOR_SSL, _ASKS_FOR_GSS):
                break
            self.request.sendall(b"N")
        server.sendall(start)
        while (answer := _message(server))[:1] != b"Z":
            self.request.sendall(_MADE_UP_KEY if answer[:1] == b"K" else answer)
            # It is to answer: a password, or a step of SASL.
            if answer[:1] == b"R" and struct.unpack("!i", answer[5:9])[0] not in (0, 12):
                server.sendall(_message(self.request))
        return answer

    def _share(self, server: socket.socket, ready: bytes) -> None:
        while True:
            # Given back before the client knows: its next transaction may get the same again.
            self.server.idle.append(server)
            self.request.sendall(ready)
            message = _message(self.request)
            if not message:
                return
            server = self.server.idle.pop()
            while not (ready := _pass_on(server, message, self.request)).endswith(b"I"):
                self.request.sendall(ready)
                message = _message(self.request)


class MiniPooler(socketserver.ThreadingTCPServer):
    """Listens on a port of its own."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, postgres_port: int, mode: Mode) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.postgres_port = postgres_port
        self.mode = mode
        self.made: list[socket.socket] = []
        self.idle: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where clients go."""
        return int(self.server_address[1])


@contextmanager
def pooling(postgres_port: int, mode: Mode) -> Iterator[int]:
    """A pooler for as long as the block lasts; its port."""
    with MiniPooler(postgres_port, mode) as pooler:
        thread = threading.Thread(target=pooler.serve_forever, args=(0.02,), name="pooler")
        thread.start()
        try:
            yield pooler.port
        finally:
            pooler.shutdown()
            thread.join()
            for connection in pooler.made:
                connection.close()


def _pass_on(server: socket.socket, message: bytes, client: socket.socket) -> bytes:
    """Ask a server, hand its answers back, but for the last one: that it is ready.

    That ends in whether it is in a transaction (`I`: it is not).
    """
    server.sendall(message)
    while (answer := _message(server))[:1] != b"Z":
        client.sendall(answer)
    return answer


def _message(source: socket.socket) -> bytes:
    """One message; nothing where the client leaves."""
    kind = _exactly(source, 1)
    if kind == b"X":
        return b""
    length = _exactly(source, 4)
    return kind + length + _exactly(source, struct.unpack("!i", length)[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = source.recv(size - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return found
