"""A stand-in for Metabase's API: real HTTP, a real Postgres behind it, and no patience.

It takes what Metabase v0.63 takes, refuses what would come to nothing there, imitates its awkward
answers, counts, and breaks when it is told to.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.local_server import LocalServer, QuietHandler
from tests.metabase.contract import RefusedError, check, document
from tests.metabase.state import MetabaseState
from tests.waiting import LAST_RESORT_SECONDS

_OPEN = {
    ("get", "/api/session/properties"),
    ("post", "/api/session"),
    ("post", "/api/setup"),
}
# Who is not let in has broken no rule.
_NO_VIOLATIONS = (401, 403)
_NO_WRITES = re.compile(r"/api/(session|dataset)|.*/query$")


@dataclass
class MetabaseFaults:
    """What is to go wrong; `requests` are counted from when it is set."""

    # Requests from now that find it still starting.
    starting: float = 0
    # Cut the connection of the n-th request from now: before it is looked at, or after it is done.
    cut: int | None = None
    cut_is_before: bool = False
    # Answer so many requests whose path matches with a status and a text.
    status: int = 0
    text: str = ""
    times: int = 0
    path: str = ""
    # No answer, for as long as anybody waits.
    is_silent: bool = False

    def answer(self, status: int, text: str = "", times: int = 1, path: str = "") -> None:
        """Answer the next requests with a status of their own."""
        self.status, self.text, self.times, self.path = status, text, times, path


class _CutError(Exception):
    """The connection ends here."""


class MetabaseStandIn:
    """The server, as a context manager.

    `requests` are all that came, `writes` those that changed something, `violations` those that
    the contract or the rules refused, `calls` the method, target and body of all that were taken.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        file: Path | None = None,
        *,
        tags_as_list: bool = True,
    ) -> None:
        self.state = MetabaseState(file, tags_as_list=tags_as_list)
        self.faults = MetabaseFaults()
        self.requests: list[str] = []
        self.writes: list[str] = []
        self.violations: list[str] = []
        self.calls: list[tuple[str, str, bytes]] = []
        handler = type("Handler", (_MetabaseHandler,), {"owner": self})
        self._server = LocalServer(handler, host, port)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self.state.warehouses.close()

    def serve(self) -> None:
        """Serve in this thread, until it is stopped."""
        self._server.serve_forever()

    def forget_counts(self) -> None:
        """Count anew."""
        for counted in (self.requests, self.writes, self.violations):
            counted.clear()
        self.calls.clear()

    def handle(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, object]:
        """Status and body of the answer; raises _CutError."""
        with self.state.lock:
            # With a slash at its end it is the same.
            path, query = urlsplit(target).path.rstrip("/") or "/", urlsplit(target).query
            self.requests.append(f"{method.upper()} {path}")
            is_cut = self._count_down()
            if is_cut and self.faults.cut_is_before:
                raise _CutError
            try:
                status, answer = self._answer(method, path, query, headers, body)
                self.calls.append((method, target, body))
            except RefusedError as refusal:
                status, answer = self._refuse(f"{method.upper()} {path}", refusal)
            except Exception as error:  # noqa: BLE001  (or the client would hear nothing)
                status, answer = 500, f"the stand-in broke: {error!r}"
                self.violations.append(f"{method.upper()} {path}: {answer}")
            if is_cut:
                raise _CutError
        return status, answer

    def _refuse(self, what: str, refusal: RefusedError) -> tuple[int, object]:
        # That an object is not there yet may be asked.
        may_be_asked = what.startswith("GET") and refusal.said == "Not found."
        if refusal.status not in _NO_VIOLATIONS and not may_be_asked:
            self.violations.append(f"{what}: {refusal.said}")
        if isinstance(refusal.said, dict):
            return refusal.status, {"errors": refusal.said, "specific-errors": {}}
        return refusal.status, refusal.said

    def _count_down(self) -> bool:
        if self.faults.cut is None:
            return False
        self.faults.cut -= 1
        if self.faults.cut > 0:
            return False
        self.faults.cut = None
        return True

    def _answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, object]:
        faults = self.faults
        if faults.is_silent:
            self._server.ending.wait(LAST_RESORT_SECONDS)
        if faults.starting > 0:
            faults.starting -= 1
            starting = {"status": "initializing", "progress": 0.3}
            return 503, starting if path == "/api/health" else "Metabase is still starting."
        if faults.times and re.match(faults.path, path):
            faults.times -= 1
            return faults.status, faults.text
        if path == "/":
            return 200, "This is a stand-in for Metabase's API, made for tests. It shows nothing."
        if (method, path) == ("get", "/api/health"):
            return 200, {"status": "ok"}
        if path == "/api/docs/openapi.json":
            return 200, document()
        self.state.authenticate(headers, is_open=(method, path) in _OPEN)
        call = check(method, path, query, body)
        status, answer = self.state.answer(call)
        if method in ("post", "put") and not _NO_WRITES.fullmatch(path):
            self.writes.append(f"{method.upper()} {path}")
        if method != "get":
            self.state.save()
        return status, answer


class _MetabaseHandler(QuietHandler):
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
                method, self.path, {name.lower(): told for name, told in self.headers.items()}, body
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
