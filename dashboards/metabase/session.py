"""The way to Metabase: metabase-api's transport, with timeouts, retries and errors of our own.

By itself metabase-api waits for ever, asks who it is before every call and hides what went wrong.
Source: Metabase's API as of v0.63; see DECISIONS.md for what was never tried on a real one.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import requests
from metabase_api import Metabase_API

from loader.warehouse.allowance import Allowance
from loader.warehouse.errors import TerminalError, TransientError, UsageError, WarehouseError
from loader.warehouse.redaction import redacted
from loader.warehouse.settings import Settings

_PASSING = (408, 429, 502, 503, 504)
_RETRIES = 3
# Far more than thousands of cards take.
_MOST_BYTES = 32 << 20

log = logging.getLogger(__name__)


class _MetabaseReply(NamedTuple):
    """What Metabase answered, all of it."""

    status_code: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body; raises ValueError where it is no JSON."""
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("it is nested too deep") from None


class _ReplyTooLargeError(requests.RequestException):
    pass


@contextlib.contextmanager
def as_expected(settings: Settings) -> Iterator[None]:
    """Where answers are read: one that has not the members that Metabase's have is one line."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        log.debug("an answer of Metabase", exc_info=True)
        what = f"{type(error).__name__}: {error}"
        raise TerminalError(
            f"Metabase at {settings.metabase_url} answered otherwise than expected ({what}): is "
            "WAREHOUSE_METABASE_URL right, and its version one that this is made for?"
        ) from None


class Session(Metabase_API):  # type: ignore[misc]
    """An administrator's session, logged in when it is made.

    In a Metabase that nobody has set up it makes the first account, if it `may_set_up`;
    otherwise `is_new` stays true, and nothing can be asked.
    """

    def __init__(self, settings: Settings, *, may_set_up: bool) -> None:
        self._settings = settings
        if not settings.metabase_password.get_secret_value():
            raise UsageError("set WAREHOUSE_METABASE_PASSWORD, the password of Metabase's account")
        self.domain = settings.metabase_url
        public = self._wait_until_ready()
        self._set_up_token = public.get("setup-token")
        self.is_new = not public.get("has-user-setup") and not may_set_up
        if not self.is_new:
            super().__init__(
                settings.metabase_url,
                settings.metabase_email,
                settings.metabase_password.get_secret_value(),
            )

    # What metabase-api calls, in its own names.

    def authenticate(self) -> None:
        """Log in, after the first-time set-up where there is no account yet."""
        reply = self._log_in()
        if reply.status_code == 401 and self._set_up_token:
            self._set_up()
            reply = self._log_in()
        if reply.status_code == 401:
            raise TerminalError(
                f"Metabase does not take the password of {self.email}: it was changed there, or "
                "WAREHOUSE_METABASE_EMAIL and WAREHOUSE_METABASE_PASSWORD are another account's"
            )
        self.header = {"X-Metabase-Session": self._read(reply, "POST /api/session")["id"]}

    def validate_session(self) -> bool:
        """Nothing: a session that has ended is noticed by its 401, and renewed."""
        return True

    # What the rest of this package calls.

    def read(self, path: str, **parameters: object) -> Any:
        """What a GET answers; tried again while the trouble may pass."""
        return self._call("get", path, params=parameters)

    def find(self, path: str) -> Any:
        """What a GET answers, or None where there is nothing (404)."""
        return self._call("get", path, may_be_absent=True)

    def create(self, path: str, body: object) -> Any:
        """What a POST answers. It is sent once: a lost answer is found by the next run."""
        return self._call("post", path, json=body)

    def update(self, path: str, body: object) -> Any:
        """What a PUT answers; sent once."""
        return self._call("put", path, json=body)

    def query(self, path: str, body: object) -> Any:
        """The data of a query; raises TerminalError when Metabase could not run it.

        A failed query, too, is answered with 202.
        """
        result = self._call("post", path, json=body)
        if result.get("status") != "completed":
            why = result.get("error") or result.get("error_type") or "no reason given"
            raise TerminalError(f"the query failed: {' '.join(str(why).split())}")
        return result["data"]

    def _call(self, method: str, path: str, *, may_be_absent: bool = False, **options: Any) -> Any:
        what = f"{method.upper()} {path}"
        send = partial(getattr(super(), method), path, "raw", **self._manners, **options)
        attempts = _RETRIES if method == "get" else 1
        for attempt in range(attempts):
            is_last = attempt + 1 == attempts
            try:
                reply = self._in_time(send)
                if reply.status_code == 401:
                    # Metabase refused before it did anything, so that even a write may be sent
                    # again.
                    self.authenticate()
                    reply = self._in_time(send)
            except requests.RequestException as error:
                if is_last:
                    raise self._unreachable(error) from None
            else:
                if is_last or reply.status_code not in _PASSING:
                    if may_be_absent and reply.status_code == 404:
                        return None
                    return self._read(reply, what)
            time.sleep(2**attempt)
        raise AssertionError("unreachable")

    @property
    def _timeout(self) -> float:
        return self._settings.metabase_timeout_seconds

    @property
    def _manners(self) -> dict[str, Any]:
        return {"timeout": self._timeout, "allow_redirects": False, "stream": True}

    def _log_in(self) -> _MetabaseReply:
        body = {"username": self.email, "password": self.password}
        return self._post_outside("/api/session", body)

    def _set_up(self) -> None:
        body = {
            "token": self._set_up_token,
            "user": {
                "email": self.email,
                "password": self.password,
                "first_name": "Warehouse",
                "last_name": "Administrator",
            },
            "prefs": {
                "site_name": "Bitso warehouse",
                "site_locale": "en",
                "allow_tracking": False,
            },
        }
        reply = self._post_outside("/api/setup", body)
        self._set_up_token = None
        # 403: the account exists already, from another run or because an answer got lost. Logging
        # in tells which.
        if reply.status_code != 403:
            self._read(reply, "POST /api/setup")

    def _post_outside(self, path: str, body: object) -> _MetabaseReply:
        post = partial(requests.post, f"{self.domain}{path}", json=body, **self._manners)
        try:
            return self._in_time(post)
        except requests.RequestException as error:
            raise self._unreachable(error) from None

    def _in_time(self, send: Callable[[], requests.Response]) -> _MetabaseReply:
        """Send a request; the whole of its answer, too, has to be here within the limit."""
        try:
            return Allowance(self._timeout).spend_on(lambda: _whole(send()))
        except TimeoutError:
            raise requests.Timeout from None

    def _wait_until_ready(self) -> dict[str, Any]:
        """Its public properties, once it serves them; its health turns green a little earlier."""
        deadline = time.monotonic() + self._settings.metabase_wait_seconds
        while True:
            try:
                for path in ("/api/health", "/api/session/properties"):
                    get = partial(requests.get, f"{self.domain}{path}", **self._manners)
                    reply = self._in_time(get)
                    if reply.status_code in _PASSING:
                        raise TransientError(f"Metabase at {self.domain} is not ready")
                    answer = self._read(reply, f"GET {path}")
            except (requests.RequestException, TransientError) as error:
                if time.monotonic() > deadline:
                    raise (
                        self._unreachable(error)
                        if isinstance(error, requests.RequestException)
                        else error
                    ) from None
                time.sleep(1)
            else:
                if not isinstance(answer, dict):
                    raise self._no_metabase("GET /api/session/properties")
                return answer

    def _unreachable(self, error: requests.RequestException) -> WarehouseError:
        if isinstance(error, _ReplyTooLargeError):
            return TerminalError(
                f"Metabase at {self.domain} answered with more than {_MOST_BYTES >> 20} MiB: "
                "is WAREHOUSE_METABASE_URL right?"
            )
        late = isinstance(error, requests.Timeout)
        how = f"did not answer within {self._timeout:g} s" if late else "cannot be reached"
        return TransientError(f"Metabase at {self.domain} {how}: try again")

    def _read(self, reply: _MetabaseReply, what: str) -> Any:
        """What a reply says; raises for what is no success."""
        if reply.status_code < 300:
            return self._json(reply, what)
        problem = f"Metabase: {what}: {reply.status_code}: {_message(reply)}"
        if reply.status_code < 400:
            elsewhere = reply.headers.get("Location", "elsewhere")
            raise TerminalError(
                f"Metabase at {self.domain} redirects to {elsewhere}: "
                "set WAREHOUSE_METABASE_URL to where it really is"
            )
        if reply.status_code == 403:
            raise TerminalError(f"{problem}: {self.email} must be an administrator")
        # 409: somebody changed the same at the same time.
        if reply.status_code in (*_PASSING, 409, 500):
            raise TransientError(problem)
        raise TerminalError(problem)

    def _json(self, reply: _MetabaseReply, what: str) -> Any:
        if reply.status_code == 204 or not reply.content:
            return None
        try:
            return reply.json()
        except ValueError:
            raise self._no_metabase(what) from None

    def _no_metabase(self, what: str) -> TerminalError:
        return TerminalError(
            f"{what} at {self.domain} was not answered by a Metabase: "
            "is WAREHOUSE_METABASE_URL right?"
        )


def _whole(reply: requests.Response) -> _MetabaseReply:
    with reply:
        body = bytearray()
        for piece in reply.iter_content(1 << 16):
            body += piece
            if len(body) > _MOST_BYTES:
                raise _ReplyTooLargeError
        return _MetabaseReply(reply.status_code, reply.reason, reply.headers, bytes(body))


def _message(reply: _MetabaseReply) -> str:
    """The reason in the body of an error: a text, or the fields that are wrong."""
    try:
        body = reply.json()
    except ValueError:
        body = reply.content.decode(errors="replace")
    if isinstance(body, dict):
        fields = body.get("errors") or {}
        told = "; ".join(f"{field}: {why}" for field, why in fields.items())
        body = told or body.get("message") or body.get("error") or body
    # Passwords first: half of one would not be found.
    return " ".join(redacted(str(body)).split())[:300] or reply.reason
