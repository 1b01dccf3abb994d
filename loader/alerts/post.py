"""The process that sends: one message at a time, and it can be ended, which apprise cannot.

A message is a line of JSON on stdin, its outcome one on stdout. Before that a line `left` says
that from here on nobody can know whether the message arrived, until there is an answer. When an
exchange takes longer than it may, SIGALRM ends the process: no library can hold that up. The answer
is the status: a body that has no end says nothing against it.
"""

import contextlib
import http.client
import io
import json
import logging
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

import apprise
import psutil
import requests
from apprise.conversion import convert_between

from loader.wire.interim import FinalReply

# What takes more than this ends in a MemoryError, here and nowhere else.
MEMORY_BYTES = 64 << 20
# Of a body no more is read, nor after this share of the time.
BODY_BYTES = 1 << 20
BODY_SHARE = 0.8
_STATUS = re.compile(r"\berror=(\d{3})\b")
# Plain webhooks: whoever wrote the receiver decides what it reads, so it gets our facts too.
_WEBHOOKS = {"json", "xml", "form"}
# What apprise's plugins send with, and Python says of when it does (sys.audit).
_AUDITED = ("requests", "smtplib")


class _Statuses(logging.Handler):
    """Hears the status of a refused call.

    It is all that is taken from apprise's own lines, which may quote an address.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status, if the line has one."""
        found = _STATUS.search(record.getMessage())
        if found:
            self.latest = found[1]


class _Departure:
    """Whether anything of the message has left; `left` is said as soon as it has."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self.is_noticed = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        # The greetings of SMTP before DATA carry nothing of the message.
        is_smtp_data = event == "smtplib.send" and values[1][:4].lower() in ("data", b"data")
        if event == "http.client.send" or is_smtp_data:
            self.is_noticed = True
            self.say()

    def say(self) -> None:
        """Tell who waits for the outcome."""
        self._answers.write("left\n")
        self._answers.flush()


class _Adapter(requests.adapters.HTTPAdapter):
    """Reads as much of a body as there is, and may be: once a status is here, that is enough."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, with its body read."""
        response = super().build_response(req, resp)
        response.raw = io.BytesIO(_start_of_body(resp))
        return response


def _start_of_body(reply: Any) -> bytes:
    body, began = io.BytesIO(), time.monotonic()
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    # What is left of the time is for what the plugin does with the answer.
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, left * BODY_SHARE, 1)
    # Whatever goes wrong with it: MemoryError is one, of a body that was packed well.
    with contextlib.suppress(Exception):
        while body.tell() < BODY_BYTES and (piece := reply.read1(1 << 16, decode_content=True)):
            body.write(piece)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.01))
    reply.close()
    return body.getvalue()


def _stop(*_: object) -> NoReturn:
    raise TimeoutError


def main() -> None:
    """Send until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # A plugin that prints must not be taken for an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    statuses = _Statuses()
    logger = logging.getLogger("apprise")
    logger.handlers = [statuses]
    logger.propagate = False
    departure = _Departure(answers)
    # Of what plugins send with.
    requests.sessions.HTTPAdapter = _Adapter
    http.client.HTTPConnection.response_class = FinalReply
    _bound_memory()
    for line in sys.stdin:
        order = json.loads(line)
        statuses.latest, departure.is_noticed = None, False
        with _ended_after(order["seconds"]):
            error = _carry_out(order, departure)
        if error and statuses.latest:
            error = f"answered with status {statuses.latest}"
        is_doubtful = bool(error and departure.is_noticed and not statuses.latest)
        answers.write(json.dumps({"error": error, "is_doubtful": is_doubtful}) + "\n")
        answers.flush()


def _bound_memory() -> None:
    most = psutil.Process().memory_info().vms + MEMORY_BYTES
    # macOS does not take such a limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _carry_out(order: Mapping[str, Any], departure: _Departure) -> str | None:
    try:
        if "ping" in order:
            with requests.post(order["ping"], timeout=order["seconds"], stream=True) as reply:
                return None if reply.ok else f"answered with status {reply.status_code}"
        return _send(order, departure)
    except Exception as error:  # noqa: BLE001 (a plugin's fault is that of its channel alone)
        return f"the message could not be sent: {type(error).__name__}"


def _send(order: Mapping[str, Any], departure: _Departure) -> str | None:
    plugin: Any = apprise.Apprise.instantiate(order["address"], suppress_exceptions=False)
    # apprise must not retry by itself: each attempt is written down by who sent us.
    plugin.retry = 0
    # A redirected POST arrives as a GET without the message, and is answered well.
    plugin.redirects = False
    plugin.socket_read_timeout = order["seconds"]
    if plugin.protocol in _WEBHOOKS:
        plugin.headers["Idempotency-Key"] = order["idempotency_key"]
        plugin.payload_extras = {**order["facts"], **plugin.payload_extras}
    module = sys.modules[type(plugin).__module__]
    if not any(hasattr(module, name) for name in _AUDITED):
        departure.say()
    return None if _notify(plugin, order) else "no answer, or not accepted"


def _notify(plugin: Any, order: Mapping[str, Any]) -> bool:
    # What Apprise.notify does, without its pool of threads.
    convert: Any = convert_between
    source = apprise.NotifyFormat.TEXT
    target = plugin.resolve_format(source)
    title = order["title"]
    if plugin.title_maxlen <= 0:
        title = convert(source, target, content=title)
    kind = apprise.NotifyType.SUCCESS if order["is_good_news"] else apprise.NotifyType.WARNING
    return bool(
        plugin.notify(
            body=convert(source, target, content=order["body"]),
            title=title,
            notify_type=kind,
            body_format=target,
        )
    )


if __name__ == "__main__":
    main()
