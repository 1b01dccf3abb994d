"""A stand-in for Metabase's API: real HTTP, a real Postgres behind it, and no patience.

It takes what Metabase v0.63 takes, refuses what would come to nothing there, imitates its awkward
answers, counts, and breaks when it is told to.
"""

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.metabase.contract import RefusedError, check
from tests.metabase.state import State

_OPEN = ("/api/health", "/api/session/properties", "/api/session", "/api/setup")
_NO_WRITES = re.compile(r"/api/(session|dataset)|.*/query$")


@dataclass
class Faults:
    """What is to go wrong; `requests` are counted from when it is set."""

    ready_at: float = 0.0
    # Cut the connection of the n-th request from now: before it is looked at, or after it is done.
    cut: int | None = None
    cut_is_before: bool = False
    # Answer so many requests whose path matches with a status and a text.
    status: int = 0
    text: str = ""
    times: int = 0
    path: str = ""
    slow_seconds: float = 0.0

    def answer(self, status: int, text: str = "", times: int = 1, path: str = "") -> None:
        """Answer the next requests with a status of their own."""
        self.status, self.text, self.times, self.path = status, text, times, path


class _CutError(Exception):
    """The connection ends here."""


class MetabaseStandIn:
    """The server, as a context manager.

    `requests` are all that came, `writes` those that changed something, `violations` those that
    the contract or the rules refused.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        file: Path | None = None,
        *,
        tags_as_list: bool = True,
    ) -> None:
        self.state = State(file, tags_as_list=tags_as_list)
        self.faults = Faults()
        self.requests: list[str] = []
        self.writes: list[str] = []
        self.violations: list[str] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.state.warehouses.close()

    def serve(self) -> None:
        """Serve in this thread, until it is stopped."""
        self._server.serve_forever()

    def forget_counts(self) -> None:
        """Count anew."""
        for counted in (self.requests, self.writes, self.violations):
            counted.clear()

    def handle(
        self, method: str, target: str, session: str | None, body: bytes
    ) -> tuple[int, object]:
        """Status and body of the answer; raises _CutError."""
        with self.state.lock:
            path = urlsplit(target)
            self.requests.append(f"{method.upper()} {path.path}")
            is_cut = self._count_down()
            if is_cut and self.faults.cut_is_before:
                raise _CutError
            try:
                status, answer = self._answer(method, path.path, path.query, session, body)
            except RefusedError as refusal:
                status = refusal.status
                answer = (
                    {"errors": refusal.said, "specific-errors": {}}
                    if isinstance(refusal.said, dict)
                    else refusal.said
                )
                # That an object is not there yet may be asked.
                if status == 400 or (
                    status == 404 and (method, refusal.said) != ("get", "Not found.")
                ):
                    self.violations.append(f"{method.upper()} {path.path}: {refusal.said}")
            if is_cut:
                raise _CutError
        return status, answer

    def _count_down(self) -> bool:
        if self.faults.cut is None:
            return False
        self.faults.cut -= 1
        if self.faults.cut > 0:
            return False
        self.faults.cut = None
        return True

    def _answer(
        self, method: str, path: str, query: str, session: str | None, body: bytes
    ) -> tuple[int, object]:
        faults = self.faults
        if faults.slow_seconds:
            time.sleep(faults.slow_seconds)
        if time.monotonic() < faults.ready_at:
            return 503, {"status": "initializing", "progress": 0.3}
        if faults.times and re.match(faults.path, path):
            faults.times -= 1
            return faults.status, faults.text
        if path == "/":
            return 200, "This is a stand-in for Metabase's API, made for tests. It shows nothing."
        if path == "/api/health":
            return 200, {"status": "ok"}
        if path not in _OPEN and session not in self.state.data["sessions"]:
            raise RefusedError(401, "Unauthenticated")
        call = check(method, path, query, body)
        status, answer = self.state.answer(call)
        if method in ("post", "put") and not _NO_WRITES.fullmatch(path):
            self.writes.append(f"{method.upper()} {path}")
        if method != "get":
            self.state.save()
        return status, answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: MetabaseStandIn

    def do_GET(self) -> None:
        self._handle("get")

    def do_POST(self) -> None:
        self._handle("post")

    def do_PUT(self) -> None:
        self._handle("put")

    def do_DELETE(self) -> None:
        self._handle("delete")

    def _handle(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = self.owner.handle(
                method, self.path, self.headers.get("X-Metabase-Session"), body
            )
        except _CutError:
            self.close_connection = True
            return
        self._send(status, answer)

    def _send(self, status: int, answer: Any) -> None:
        is_text = isinstance(answer, str)
        sent = (answer if is_text else json.dumps(answer)).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
