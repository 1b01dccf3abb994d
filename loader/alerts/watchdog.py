"""Tells a watchdog outside that the follower watches: who hears no more of it should look."""

import logging
import select
import time

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.alerts import store
from loader.alerts.channels import Channels
from loader.alerts.courier import Courier
from loader.warehouse.settings import get_settings

log = logging.getLogger(__name__)

PING_SECONDS = 60.0


class Watchdog:
    """POSTs to WAREHOUSE_WATCHDOG_URL each minute, as long as a watched book is seen.

    Whatever becomes of a ping, alerts go on; the address is in no log.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._url = get_settings().watchdog_url.get_secret_value()
        self._courier: Courier | None = None
        self.next_at = time.monotonic() if self._url else float("inf")

    def turn(self, connection: Connection) -> None:
        """Do what is due by now."""
        self._hear()
        if self._courier is None and time.monotonic() >= self.next_at:
            self.next_at = time.monotonic() + PING_SECONDS
            if self._is_fresh(connection):
                self._ping()

    def close(self) -> None:
        """End a ping that is under way."""
        if self._courier:
            self._courier.end()

    def _is_fresh(self, connection: Connection) -> bool:
        try:
            with connection, connection.cursor() as cursor:
                return store.is_any_seen(cursor)
        except psycopg2.Error as error:
            log.warning("no ping: %s", str(error).strip().partition("\n")[0])
            return False

    def _ping(self) -> None:
        try:
            self._courier = self._channels.ping(self._url)
        except OSError as error:
            log.warning("no ping: %s", error.strerror)

    def _hear(self) -> None:
        courier = self._courier
        if courier and select.select([courier], [], [], 0)[0] and (outcome := courier.hear()):
            self._courier = None
            self._channels.give_back(courier)
            if outcome.error:
                log.warning("the ping did not go through: %s", outcome.error)
