"""The process that sends: one message at a time, and it can be ended, which apprise cannot.

A message is a line of JSON on stdin, its outcome one on stdout. Before that a line `left` says
that from here on nobody can know whether the message arrived, until there is an answer. When an
exchange takes longer than it may, SIGALRM ends the process: no library can hold that up.
"""

import contextlib
import json
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any

import apprise
import psutil
import requests
from apprise.conversion import convert_between

# A reply that is larger than this ends in a MemoryError, here and nowhere else.
MEMORY_BYTES = 64 << 20
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
