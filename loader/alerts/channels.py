"""The channels that alerts go to: addresses as apprise writes them, and one message to one."""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apprise
from apprise.conversion import convert_between

from loader.warehouse.errors import UsageError
from loader.warehouse.settings import get_settings

_STATUS = re.compile(r"\berror=(\d{3})\b")
# Plain webhooks: whoever wrote the receiver decides what it reads, so it gets our facts too.
_WEBHOOKS = {"json", "xml", "form"}


@dataclass(frozen=True)
class Message:
    """One message; `facts` say the same to a machine."""

    title: str
    body: str
    is_good_news: bool
    idempotency_key: str
    facts: Mapping[str, str]


class _Statuses(logging.Handler):
    """Hears the status of the latest refused call of each thread.

    It is all that is taken from apprise's own lines, which may quote an address.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._latest = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status, if the line has one."""
        found = _STATUS.search(record.getMessage())
        if found:
            self._latest.status = found[1]

    def take(self) -> str | None:
        """The status since the last call, in this thread."""
        status: str | None = getattr(self._latest, "status", None)
        self._latest.status = None
        return status


class Channels:
    """The addresses of the settings, by channel.

    Raises UsageError for an address that apprise does not know.
    """

    def __init__(self) -> None:
        self._statuses = _Statuses()
        logger = logging.getLogger("apprise")
        logger.handlers = [self._statuses]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        self._addresses = {
            channel: tuple(address.get_secret_value() for address in addresses)
            for channel, addresses in get_settings().alert_channels.items()
        }
        for channel, addresses in self._addresses.items():
            for number in range(1, len(addresses) + 1):
                self._plugin(channel, number)

    def count(self, channel: str) -> int:
        """How many addresses a channel has."""
        return len(self._addresses.get(channel, ()))

    def send(self, channel: str, number: int, message: Message) -> str | None:
        """Send to one address, once. Returns why it failed, without the address, or None."""
        plugin = self._plugin(channel, number)
        # apprise must not retry by itself: each attempt is written down by us.
        plugin.retry = 0
        if plugin.protocol in _WEBHOOKS:
            plugin.headers["Idempotency-Key"] = message.idempotency_key
            plugin.payload_extras = {**message.facts, **plugin.payload_extras}
        self._statuses.take()
        try:
            is_sent = _notify(plugin, message)
        except Exception as error:  # noqa: BLE001 (a plugin's fault is that of its channel alone)
            return f"the message could not be sent: {type(error).__name__}"
        if is_sent:
            return None
        status = self._statuses.take()
        return f"answered with status {status}" if status else "no answer, or not accepted"

    def _plugin(self, channel: str, number: int) -> Any:
        # A new object for each message, because headers and facts of the message are put on it.
        address = self._addresses[channel][number - 1]
        plugin = apprise.Apprise.instantiate(address, suppress_exceptions=True)
        if plugin is None:
            raise UsageError(
                f"WAREHOUSE_ALERT_CHANNELS: address {number} of channel {channel} "
                "is none that apprise knows"
            )
        return plugin


def _notify(plugin: Any, message: Message) -> bool:
    # What Apprise.notify does, but in this thread: the pool that it sends from holds up the end
    # of a process for as long as a receiver is silent.
    convert: Any = convert_between
    source = apprise.NotifyFormat.TEXT
    target = plugin.resolve_format(source)
    title = message.title
    if plugin.title_maxlen <= 0:
        title = convert(source, target, content=title)
    kind = apprise.NotifyType.SUCCESS if message.is_good_news else apprise.NotifyType.WARNING
    return bool(
        plugin.notify(
            body=convert(source, target, content=message.body),
            title=title,
            notify_type=kind,
            body_format=target,
        )
    )
