"""The channels that alerts go to: addresses as apprise writes them, and messages to them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import apprise

from loader.alerts.courier import Courier, Outcome
from loader.warehouse.errors import UsageError
from loader.warehouse.settings import get_settings

# Couriers that wait for the next message, so that it need not wait for them.
_MOST_IDLE = 2


@dataclass(frozen=True)
class Message:
    """One message; `facts` say the same to a machine."""

    title: str
    body: str
    is_good_news: bool
    idempotency_key: str
    facts: Mapping[str, str]


class Channels:
    """The addresses of the settings, by channel, and who carries messages to them.

    Raises UsageError for an address that apprise does not know.
    """

    def __init__(self) -> None:
        settings = get_settings()
        self._seconds = settings.alert_timeout_seconds
        self._addresses = {
            channel: tuple(address.get_secret_value() for address in addresses)
            for channel, addresses in settings.alert_channels.items()
        }
        self._idle: list[Courier] = []
        self._check()

    def count(self, channel: str) -> int:
        """How many addresses a channel has."""
        return len(self._addresses.get(channel, ()))

    def prepare(self) -> None:
        """Have a courier ready."""
        self._idle.append(Courier())

    def begin(self, channel: str, number: int, message: Message) -> Courier:
        """Send to one address, once; who carries it is to be given back when it was heard."""
        return self._hand_over({"address": self._addresses[channel][number - 1], **vars(message)})

    def ping(self, url: str) -> Courier:
        """POST nothing to a URL, in the same way."""
        return self._hand_over({"ping": url})

    def send(self, channel: str, number: int, message: Message) -> Outcome:
        """Send to one address, once, and wait for the outcome."""
        courier = self.begin(channel, number, message)
        try:
            return courier.wait()
        finally:
            self.give_back(courier)

    def give_back(self, courier: Courier) -> None:
        """A courier has done its work: it is kept for the next message, if it lives."""
        if courier.is_alive and len(self._idle) < _MOST_IDLE:
            self._idle.append(courier)
        else:
            courier.end()

    def close(self) -> None:
        """End those that wait."""
        while self._idle:
            self._idle.pop().end()

    def _hand_over(self, order: Mapping[str, object]) -> Courier:
        courier = self._idle.pop() if self._idle else Courier()
        courier.send(order, self._seconds)
        return courier

    def _check(self) -> None:
        logger = logging.getLogger("apprise")
        # Its lines may quote an address.
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        for channel, addresses in self._addresses.items():
            for number, address in enumerate(addresses, start=1):
                if apprise.Apprise.instantiate(address, suppress_exceptions=True) is None:
                    raise UsageError(
                        f"WAREHOUSE_ALERT_CHANNELS: address {number} of channel {channel} "
                        "is none that apprise knows"
                    )
