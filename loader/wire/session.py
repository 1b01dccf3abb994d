"""One polite HTTP session for every source: patient, bounded, and silent about keys.

A call waits for the source's budget, has time limits, reads no more than it must, is made again
only when that may help, and ends in a whole JSON body or in a WarehouseError. A source says with a
`Judge` what its replies mean; keys travel in headers, never in an address.
"""

import email.utils
import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from loader.warehouse.clock import SYSTEM_CLOCK, Clock
from loader.warehouse.errors import NotFoundError, TerminalError, TransientError, WarehouseError
from loader.wire.json_text import read_json
from loader.wire.rate_budget import Budget

MAX_BODY_BYTES = 16 * 2**20
_CHUNK_BYTES = 64 * 2**10
_SHORTEST_KEY = 8
_DAY = 86_400.0

Verdict = Literal["transient", "throttled", "terminal", "not found"]


class Problem(NamedTuple):
    """Why a reply is no answer, and whether another try may help."""

    verdict: Verdict
    message: str


# Given the status and the JSON body (None when the body is none): what is wrong, if anything is.
Judge = Callable[[int, Any], Problem | None]


def status_problem(status: int, message: str) -> Problem | None:
    """What a status alone says; `message` is the source's own words about it."""
    if status < HTTPStatus.BAD_REQUEST:
        return None
    if status in (420, HTTPStatus.TOO_MANY_REQUESTS):
        return Problem("throttled", message)
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY) or status >= 500:
        return Problem("transient", message)
    return Problem("not found" if status == HTTPStatus.NOT_FOUND else "terminal", message)


class HttpReply(NamedTuple):
    """A whole JSON body, as text, and when its last byte was here."""

    text: str
    received_at: datetime
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Manners:
    """How long to wait, and how often to try."""

    timeout: float = 10.0
    attempts: int = 4
    first_pause: float = 0.5
    longest_pause: float = 10.0


class PoliteSession(requests.Session):
    """A requests session that a library can be given as well as used directly."""

    def __init__(
        self,
        source: str,
        judge: Judge,
        budget: Budget,
        *,
        key_header: tuple[str, str] | None = None,
        manners: Manners = Manners(),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._source = source
        self._redact = _Redactor(source, key_header[1] if key_header else None)
        adapter = _PoliteAdapter(source, judge, budget, manners, clock, self._redact)
        self._adapter = adapter
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self.max_redirects = 3
        # A ~/.netrc would otherwise be read, and its password win over the key.
        self.auth = _unchanged
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "gzip"})
        if key_header:
            self.headers.update([key_header])

    @property
    def held_up_seconds(self) -> float:
        """For how long the call under way has been waiting for the budget."""
        return self._adapter.held_up_seconds

    def fetch(self, url: str, params: Mapping[str, str | int] | None = None) -> HttpReply:
        """GET a JSON body.

        Raises TransientError when it cannot be had now, NotFoundError or TerminalError when
        asking again would not help.
        """
        return answer_of(self.get(url, params=dict(params or {})))

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Make and send a request; what `requests` itself complains of is no passing error."""
        try:
            return super().request(*args, **kwargs)
        except requests.TooManyRedirects:
            raise TerminalError(f"{self._source}: it redirects in circles") from None
        except (requests.RequestException, ValueError) as error:
            # A ValueError is an address that cannot be parsed.
            raise TerminalError(self._redact(f"{self._source}: {error}")) from None

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a redirect leads: nowhere but to the same host, for the key goes with it."""
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        here, there = urlsplit(resp.url), urlsplit(target)
        if there.netloc and (there.scheme or here.scheme, there.netloc) != here[:2]:
            raise TerminalError(
                f"{self._source}: it redirects to another host, {there.hostname}: "
                "check the address in the settings"
            )
        return target


def answer_of(response: requests.Response) -> HttpReply:
    """The body that a polite session has read whole."""
    body = cast(_WholeBody, response.raw)
    return HttpReply(body.text, body.received_at, response.headers)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Redactor:
    """Takes the key out of a text."""

    def __init__(self, source: str, header: str | None) -> None:
        self._key = (header or "").removeprefix("Bearer ")
        # A very short key would be "found" in harmless text. One with odd characters makes an
        # invalid header, and the error message for that would show the key.
        is_plain = self._key.isascii() and self._key.isprintable() and " " not in self._key
        if header is not None and not (is_plain and len(self._key) >= _SHORTEST_KEY):
            raise TerminalError(f"{source}: what is set as its key cannot be one")

    def __call__(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _WholeBody(io.BytesIO):
    """A body read whole, in the place of the socket that it came from."""

    def __init__(self, text: str, received_at: datetime) -> None:
        super().__init__(text.encode())
        self.text = text
        self.received_at = received_at


class _PassingError(Exception):
    """An attempt that failed; the next one may not."""


class _PoliteAdapter(HTTPAdapter):
    """Sends one request, as often as it takes; a redirect is a request of its own."""

    def __init__(
        self,
        source: str,
        judge: Judge,
        budget: Budget,
        manners: Manners,
        clock: Clock,
        redact: _Redactor,
    ) -> None:
        super().__init__(max_retries=0)
        self._source = source
        self._judge = judge
        self._budget = budget
        self._manners = manners
        self._clock = clock
        self._redact = redact
        self._held_up_since: float | None = None

    @property
    def held_up_seconds(self) -> float:
        """For how long a call has been waiting for the budget."""
        since = self._held_up_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def send(
        self, request: requests.PreparedRequest, *_: object, **options: Any
    ) -> requests.Response:
        """Send, read whole, judge; again while that may help."""
        manners = self._manners
        problem = ""
        for attempt in range(manners.attempts):
            if attempt:
                # Full jitter: processes that failed together do not come back together.
                pause = min(manners.first_pause * 2**attempt, manners.longest_pause)
                self._clock.sleep(random.uniform(0, pause))
            self._held_up_since = self._clock.monotonic()
            try:
                self._budget.take()
            finally:
                self._held_up_since = None
            try:
                return self._attempt(request, options)
            except _PassingError as error:
                problem = str(error)
        raise TransientError(
            f"{self._source}: {problem} ({manners.attempts} attempts): try again later"
        )

    def _attempt(
        self, request: requests.PreparedRequest, options: dict[str, Any]
    ) -> requests.Response:
        started = self._clock.monotonic()
        kept = {name: options[name] for name in ("verify", "cert", "proxies") if name in options}
        try:
            response = super().send(request, stream=True, timeout=self._manners.timeout, **kept)
        except requests.RequestException as error:
            raise self._connection_problem(error) from None
        if response.is_redirect:
            response.close()
            response.raw = _WholeBody("", self._clock.now())
            return response
        try:
            body = self._read(response, started)
        finally:
            response.close()
        received_at = self._clock.now()
        text, document = self._decode(body)
        self._check(response, document)
        response.raw = _WholeBody(text, received_at)
        return response

    def _connection_problem(self, error: requests.RequestException) -> Exception:
        if isinstance(error, requests.exceptions.SSLError):
            return self._terminal(f"its certificate cannot be trusted: {_root_cause(error)}")
        if isinstance(error, requests.Timeout):
            return _PassingError(f"no answer within {self._manners.timeout:g} s")
        if isinstance(error, requests.ConnectionError):
            return _PassingError(self._redact(f"cannot connect: {_root_cause(error)}"))
        return self._terminal(str(error))

    def _read(self, response: requests.Response, started: float) -> bytes:
        """The decoded body, read piece by piece: neither endless nor for ever."""
        body = io.BytesIO()
        try:
            while piece := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                body.write(piece)
                if body.tell() > MAX_BODY_BYTES:
                    raise self._terminal(f"a reply of over {MAX_BODY_BYTES >> 20} MiB")
                if self._clock.monotonic() - started > 3 * self._manners.timeout:
                    raise _PassingError("the reply is too slow")
        except urllib3.exceptions.ReadTimeoutError:
            raise _PassingError("the reply stopped half-way") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _PassingError(f"the reply was cut short: {_root_cause(error)}") from None
        return body.getvalue()

    def _decode(self, body: bytes) -> tuple[str, Any]:
        try:
            # A reply that repeats our key must not bring it into the warehouse.
            text = self._redact(body.decode())
            return text, read_json(text)
        except ValueError:
            return "", None

    def _check(self, response: requests.Response, document: Any) -> None:
        status = response.status_code
        problem = self._judge(status, document)
        if problem is None and status != HTTPStatus.OK:
            problem = status_problem(status, "") or Problem("terminal", "is no answer to this")
        if problem is None and document is None:
            problem = Problem("transient", "without JSON")
        if problem is None:
            return
        message = " ".join(self._redact(f"HTTP {status} {problem.message}").split())[:300]
        if problem.verdict == "throttled":
            self._budget.freeze(retry_after(response.headers, self._clock.now()))
            raise _PassingError(message)
        if problem.verdict == "transient":
            raise _PassingError(message)
        if problem.verdict == "not found":
            raise NotFoundError(f"{self._source}: {message}")
        raise self._terminal(message)

    def _terminal(self, message: str) -> WarehouseError:
        return TerminalError(self._redact(f"{self._source}: {message}"))


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """The seconds that a Retry-After asks to wait, given as such or as a date; 0 without one.

    A day at most: no known block is longer, and a slip of theirs must not stop us for years.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and value.isascii():
        return min(float(value), _DAY)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), _DAY)


def _root_cause(error: BaseException) -> str:
    """The innermost reason, without the addresses and object names that wrap it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
