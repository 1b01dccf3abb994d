"""Messages on their way: one at a time to one address, to all addresses side by side.

An attempt is written down and committed before it is sent, and again when it has ended: who finds
one that never ended knows that it may have been sent, repeats it once, and says so.
"""

import contextlib
import logging
import select
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.alerts import store
from loader.alerts.channels import Channels, Message
from loader.alerts.courier import Courier, Outcome
from loader.alerts.known import Episode
from loader.alerts.message import headline, lead, message
from loader.alerts.notices import Notice
from loader.alerts.tries import DeliveryLimits, retry_at
from loader.warehouse.ledger import deliveries
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import get_settings
from loader.warehouse.signals import end_if_told
from loader.warehouse.text import counted

log = logging.getLogger(__name__)

SETTLE_SECONDS = 3.0
Address = tuple[str, int]


@dataclass
class Tally:
    """What was done: messages sent and failed, alerts passed over as too old or as muted."""

    sent: int = 0
    failed: int = 0
    skipped: int = 0
    muted: int = 0


class Sending(NamedTuple):
    """An attempt at a message."""

    notice: Notice
    delivery_ids: list[int]
    first_try: datetime


class Outbox:
    """What is due, what is under way, and what has ended and is not written down yet.

    It outlives its connections: each call is given the one that is there.
    """

    def __init__(self, limits: DeliveryLimits) -> None:
        self.channels = Channels()
        self.tally = Tally()
        # Rows of ops.alert_deliveries that were written since somebody asked.
        self.rows = 0
        self._limits = limits
        self._due: dict[Address, deque[Notice]] = {}
        self._busy: dict[Address, tuple[Sending, Courier]] = {}
        # They are several only while Postgres is away.
        self._ended: list[tuple[Sending, Outcome]] = []

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way and nothing is due."""
        return not (self._due or self._busy or self._ended)

    def recover(self, connection: Connection) -> None:
        """Take over from a sender that died."""
        self._due.clear()
        mine = [*(work for work, _ in self._busy.values()), *(work for work, _ in self._ended)]
        ids = [each for work in mine for each in work.delivery_ids]
        found = deliveries.recover(connection, ids, self._limits.give_up)
        if found:
            log.warning("%s, perhaps sent by a sender that died", counted(found, "message"))

    def queue(self, notices: Iterable[Notice]) -> None:
        """What is due now, in the place of what was due before."""
        self._due.clear()
        for notice in notices:
            self._due.setdefault(notice.address, deque()).append(notice)

    def note_without_address(self, cursor: Any, notices: Iterable[Notice]) -> None:
        """Write down what nobody can be told."""
        for notice in notices:
            store.note_failure(cursor, notice, "no address for the channel")
            error = "no address for the channel: set WAREHOUSE_ALERT_CHANNELS"
            self._report(notice, Outcome(error, False))

    def begin(self, connection: Connection) -> None:
        """Write down the next attempt at each address that is free; then send."""
        free = [address for address in self._due if address not in self._busy]
        if not free:
            return
        begun: list[tuple[Sending, Message | Outcome]] = []
        with connection, connection.cursor() as cursor:
            for address in free:
                notice = self._due[address].popleft()
                if not self._due[address]:
                    del self._due[address]
                text = _written(cursor, notice)
                begun.append((Sending(notice, *store.begin(cursor, notice)), text))
        for work, text in begun:
            self._send(work, text)

    def collect(self, connection: Connection) -> float | None:
        """Write down how attempts ended, and begin the next ones.

        Returns the seconds until the first of those that failed is to be repeated.
        """
        self._hear()
        pauses = []
        if self._ended:
            ended = []
            now = store.now(connection)
            with connection, connection.cursor() as cursor:
                for work, outcome in self._ended:
                    again = self._write_down(cursor, work, outcome, now)
                    ended.append((work, outcome, again is None))
                    if again:
                        pauses.append((again - now).total_seconds())
                deliveries.end_tellings(cursor)
            for work, outcome, is_over in ended:
                self._report(work.notice, outcome, is_over=is_over)
            self._ended.clear()
        self.begin(connection)
        return min(pauses, default=None)

    def wait(self, connection: Connection, *, until: float | None = None) -> bool:
        """Sleep until an attempt ends, quotes come in or it is time; whether quotes came in."""
        end_if_told()
        connection.poll()
        # Notifications that came with the reply to a statement no longer wake select().
        if not connection.notifies and not self._ended:
            seconds = None if until is None else max(0.0, until - time.monotonic())
            couriers = [courier for _, courier in self._busy.values()]
            select.select([connection, *couriers], [], [], seconds)
            connection.poll()
        is_news = bool(connection.notifies)
        connection.notifies.clear()
        return is_news

    def settle(self, connection: Connection) -> None:
        """Before the end: let what is under way end, for a while, and begin nothing new."""
        self._due.clear()
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._busy and (left := deadline - time.monotonic()) > 0:
            select.select([courier for _, courier in self._busy.values()], [], [], left)
            self._hear()
        if self._ended:
            # An interrupted statement closes its connection: then use a new one.
            with contextlib.closing(connect("loader") if connection.closed else connection) as last:
                last.rollback()
                self.collect(last)

    def close(self) -> None:
        """End what still sends."""
        for _, courier in self._busy.values():
            courier.end()
        self._busy.clear()
        self.channels.close()

    def _send(self, work: Sending, text: Message | Outcome) -> None:
        if isinstance(text, Outcome):
            self._ended.append((work, text))
            return
        try:
            courier = self.channels.begin(*work.notice.address, text)
        except OSError as error:
            problem = f"nothing can be sent: {error.strerror or type(error).__name__}"
            self._ended.append((work, Outcome(problem, False)))
        else:
            self._busy[work.notice.address] = (work, courier)

    def _hear(self) -> None:
        """Take note of the attempts that have ended."""
        couriers = {courier: work for work, courier in self._busy.values()}
        for courier in select.select(couriers, [], [], 0)[0]:
            if outcome := courier.hear():
                work = couriers[courier]
                del self._busy[work.notice.address]
                self._ended.append((work, outcome))
                self.channels.give_back(courier)

    def _write_down(
        self, cursor: Any, work: Sending, outcome: Outcome, now: datetime
    ) -> datetime | None:
        """Returns when it is to be repeated, if at all."""
        again = None
        # What may have arrived twice is not sent a third time.
        if outcome.error and not (outcome.is_doubtful and work.notice.is_repeat):
            again = retry_at(now, work.first_try, work.notice.first.attempt, self._limits)
        deliveries.finish(
            cursor, work.delivery_ids, outcome.error, again, is_doubtful=outcome.is_doubtful
        )
        if outcome.error:
            self._postpone(work.notice)
        return again

    def _postpone(self, failed: Notice) -> None:
        """Take what follows a failed message out of the queue: a later look finds it again."""
        told = {each.told for each in failed.deliveries}
        waiting = self._due.pop(failed.address, deque())
        rest = [each for each in waiting if told.isdisjoint(one.told for one in each.deliveries)]
        if rest:
            self._due[failed.address] = deque(rest)

    def _report(self, notice: Notice, outcome: Outcome, *, is_over: bool = False) -> None:
        self.rows += len(notice.deliveries)
        channel, number = notice.address
        what = f"{headline(notice)}, to {channel} {number}"
        if outcome.error:
            self.tally.failed += 1
            end = ""
            if is_over:
                end = ": given up" + ", for it may have arrived" * outcome.is_doubtful
            log.warning("%s: %s (attempt %d)%s", what, outcome.error, notice.first.attempt, end)
        else:
            self.tally.sent += 1
            log.info("%s: sent", what)


def _written(cursor: Any, notice: Notice) -> Message | Outcome:
    """The message; what goes wrong with it costs this one alone."""
    try:
        about = lead(notice).about
        coverage = ending = None
        if isinstance(about, Episode):
            coverage = store.coverage(cursor, about)
            ending = store.ending(cursor, about) if about.closed_at else None
        return message(notice, coverage, ending, get_settings().page_url)
    except psycopg2.Error:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, the others go on)
        return Outcome(f"the message could not be written: {type(error).__name__}", False)
