"""One polite HTTP session for every source: patient, bounded, and silent about keys.

A call waits for the source's budget, has one limit of time with all its redirects, reads no more
than it must, is made again only when that may help, and ends in a whole JSON body or in a
WarehouseError. A source says with a `Judge` what its replies mean; keys travel in headers, never in
an address.
"""

import email.utils
import io
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import requote_uri

from loader.warehouse.allowance import Allowance
from loader.warehouse.clock import SYSTEM_CLOCK, Clock
from loader.warehouse.errors import NotFoundError, TerminalError, TransientError
from loader.warehouse.redaction import KEYS
from loader.warehouse.text import counted
from loader.wire.adapter import BoundedAdapter
from loader.wire.json_text import read_json
from loader.wire.messages import in_a_line, is_no_http, root_cause, words_of
from loader.wire.rate_budget import Budget
from loader.wire.reply import PassingError, TooLargeError, inflated, read_body

MOST_REDIRECTS = 3
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

    @property
    def longest(self) -> float:
        """How long one try may take, with all its redirects."""
        return 3 * self.timeout


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
        self._adapter = _PoliteAdapter(source, judge, budget, manners, clock)
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)
        # A ~/.netrc would otherwise be read, and its password win over the key.
        self.auth = _unchanged
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "gzip"})
        KEYS.remember(source, [_key_of(source, key_header[1])] if key_header else [])
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
        except (requests.RequestException, ValueError) as error:
            # A ValueError is an address that cannot be parsed.
            raise TerminalError(f"{self._source}: {in_a_line(str(error))}") from None


def answer_of(response: requests.Response) -> HttpReply:
    """The body that a polite session has read whole."""
    body = cast(_WholeBody, response.raw)
    return HttpReply(body.text, body.received_at, response.headers)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _key_of(source: str, header: str) -> str:
    """The key in the value of a header; raises TerminalError for what cannot be one."""
    key = header.removeprefix("Bearer ")
    # One with odd characters makes an invalid header, and the message about that would show it.
    if len(key) < _SHORTEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
        raise TerminalError(f"{source}: what is set as its key cannot be one")
    return key


class _WholeBody(io.BytesIO):
    """A body read whole, in the place of the socket that it came from.

    Who reads on gets `null`: a library that parses what we have parsed would only take its time.
    """

    def __init__(self, text: str, received_at: datetime) -> None:
        super().__init__(b"null")
        self.text = text
        self.received_at = received_at


class _Received(NamedTuple):
    """A response, its body as it came, and when that was here."""

    response: requests.Response
    body: bytes
    received_at: datetime


class _PoliteAdapter(BoundedAdapter):
    """Sends one request, as often as it takes, to wherever it is redirected."""

    def __init__(
        self, source: str, judge: Judge, budget: Budget, manners: Manners, clock: Clock
    ) -> None:
        super().__init__()
        self._source = source
        self._judge = judge
        self._budget = budget
        self._manners = manners
        self._clock = clock
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
        kept = {name: options[name] for name in ("verify", "cert", "proxies") if name in options}
        problem = ""
        for attempt in range(manners.attempts):
            if attempt:
                # Full jitter: processes that failed together do not come back together.
                pause = min(manners.first_pause * 2**attempt, manners.longest_pause)
                self._clock.sleep(random.uniform(0, pause))
            try:
                return self._attempt(request, kept)
            except PassingError as error:
                problem = in_a_line(str(error))
        raise TransientError(
            f"{self._source}: {problem} ({counted(manners.attempts, 'attempt')}): try again later"
        )

    def _attempt(
        self, request: requests.PreparedRequest, options: dict[str, Any]
    ) -> requests.Response:
        """One try: an allowance of time for the request and all that it is redirected to."""
        allowance = Allowance(self._manners.longest)
        for _ in range(MOST_REDIRECTS + 1):
            self._take_call()
            received = self._exchange(request, options, allowance)
            if not received.response.is_redirect:
                return self._judged(received)
            request = self._redirected(request, received.response.headers["Location"])
        raise self._terminal("it redirects in circles")

    def _take_call(self) -> None:
        self._held_up_since = self._clock.monotonic()
        try:
            self._budget.take()
        finally:
            self._held_up_since = None

    def _exchange(
        self, request: requests.PreparedRequest, options: dict[str, Any], allowance: Allowance
    ) -> _Received:
        try:
            return allowance.spend_on(partial(self._send_and_read, request, options))
        except TimeoutError:
            raise PassingError(f"no whole reply within {self._manners.longest:g} s") from None
        except TooLargeError as error:
            raise self._terminal(str(error)) from None
        except requests.RequestException as error:
            raise self._connection_problem(error) from None

    def _send_and_read(
        self, request: requests.PreparedRequest, options: dict[str, Any]
    ) -> _Received:
        timeout = self._manners.timeout
        response = super().send(request, stream=True, timeout=timeout, **options)
        try:
            body = b"" if response.is_redirect else read_body(response)
        except TooLargeError:
            # The status of an error is said first, whatever comes with it.
            if response.ok:
                raise
            body = b""
        finally:
            response.close()
        return _Received(response, body, self._clock.now())

    def _connection_problem(self, error: requests.RequestException) -> Exception:
        cause = root_cause(error)
        if isinstance(error, requests.exceptions.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return self._terminal(f"its certificate cannot be trusted: {words_of(cause)}")
        if isinstance(error, requests.Timeout):
            return PassingError(f"no answer within {self._manners.timeout:g} s")
        if isinstance(error, requests.ConnectionError):
            failed = "what came is no HTTP" if is_no_http(cause) else "cannot connect"
            return PassingError(f"{failed}: {words_of(cause)}")
        return self._terminal(str(error))

    def _redirected(
        self, request: requests.PreparedRequest, location: str
    ) -> requests.PreparedRequest:
        """The request for where a redirect leads: nowhere but to the same host, as the key does."""
        if not location.strip():
            raise self._terminal("it redirects to nowhere")
        here = str(request.url)
        there = urljoin(here, requote_uri(location.strip()))
        if urlsplit(there)[:2] != urlsplit(here)[:2]:
            scheme, host = urlsplit(there).scheme, urlsplit(there).hostname or ""
            raise self._terminal(
                f"it redirects to another host, scheme or user, {scheme}://{host}: "
                "check the address in the settings"
            )
        request = request.copy()
        request.prepare_url(there, None)
        return request

    def _judged(self, received: _Received) -> requests.Response:
        response, document, flaw, text = received.response, None, "", ""
        try:
            text = inflated(received.body, response.headers.get("Content-Encoding", "")).decode()
            document = read_json(text)
        except TooLargeError as error:
            if response.ok:
                raise self._terminal(str(error)) from None
        except UnicodeDecodeError:
            flaw = "not UTF-8"
        except ValueError as error:
            flaw = str(error)
        self._check(response, document, flaw)
        response.raw = _WholeBody(text, received.received_at)
        return response

    def _check(self, response: requests.Response, document: Any, flaw: str) -> None:
        status = response.status_code
        problem = self._judge(status, document)
        if problem is None and status != HTTPStatus.OK:
            problem = status_problem(status, "") or Problem("terminal", "is no answer to this")
        if problem is None and document is None:
            problem = Problem("transient", flaw or "without an answer in it (null)")
        if problem is None:
            return
        message = in_a_line(f"HTTP {status} {problem.message}")
        if problem.verdict == "throttled":
            self._budget.freeze(retry_after(response.headers, self._clock.now()))
            raise PassingError(message)
        if problem.verdict == "transient":
            raise PassingError(message)
        if problem.verdict == "not found":
            raise NotFoundError(f"{self._source}: {message}")
        raise self._terminal(message)

    def _terminal(self, message: str) -> TerminalError:
        return TerminalError(f"{self._source}: {in_a_line(message)}")


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
