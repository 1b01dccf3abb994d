"""Who is let in, and what a browser may do with what it gets.

Every request passes here first. Sources: Content Security Policy Level 3 (W3C), RFC 9110 (Host,
HTTP Basic in RFC 7617), and the usual defence against DNS rebinding, which comes with a name that
is not ours; an address cannot be bound again.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_TARGET = 2000
_HOST = re.compile(
    r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a name or address is reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == "localhost"


class Access:
    """Lets a request through to the app, or answers it with one line.

    `names` are the hosts that we are called by, beside addresses and localhost. With a password
    everything but /healthz asks for it; the user's name may be any.
    """

    def __init__(self, app: ASGIApp, password: str, names: frozenset[str]) -> None:
        self._app = app
        self._password = _digest(password.encode()) if password else None
        self._names = names | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.getlist("host")):
            return _line("this server has another name: set WAREHOUSE_PAGE_URL to its address", 400)
        if scope["method"] not in ("GET", "HEAD"):
            return _line("this page is only read: GET or HEAD", 405, Allow="GET, HEAD")
        if len(b"?".join([scope["raw_path"], scope["query_string"]])) > LONGEST_TARGET:
            return _line(f"the address is longer than {LONGEST_TARGET} characters", 414)
        if scope["path"] != "/healthz" and not self._knows(headers.get("authorization", "")):
            asked = 'Basic realm="Bitso warehouse", charset="UTF-8"'
            return _line("a password is needed", 401, **{"WWW-Authenticate": asked})
        return None

    def _is_ours(self, given: list[str]) -> bool:
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            return False
        host = found["name"].lower().strip("[]")
        return host in self._names or _is_address(host)

    def _knows(self, header: str) -> bool:
        if self._password is None:
            return True
        scheme, _, coded = header.partition(" ")
        try:
            said = base64.b64decode(coded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        # Digests, which have one length: how long it takes tells nothing of the password.
        password = _digest(said.partition(b":")[2])
        return scheme.lower() == "basic" and hmac.compare_digest(password, self._password)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


def _line(text: str, status: int, **headers: str) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, headers)
