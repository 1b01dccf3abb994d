"""Delivers alerts: each opened and each closed one to each address of its channels, once.

An attempt is written down and committed before it is sent, and again when it has ended: who finds
one that never ended knows that it may have been sent, repeats it once, and says so.
"""

import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.alerts import store
from loader.alerts.channels import Channels, Message
from loader.alerts.message import headline, message
from loader.alerts.plan import Delivery, DeliveryLimits, Episode, plan, retry_at
from loader.warehouse.errors import AlreadyRunningError, TransientError
from loader.warehouse.ledger import deliveries
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run, single_flight
from loader.warehouse.postgres.connection import connect, database_error, interruptible
from loader.warehouse.settings import get_settings
from loader.warehouse.signals import Terminated, end_if_told

log = logging.getLogger(__name__)

JOB = "alerts"
# The least time between two looks while quotes pour in.
LOOK_SECONDS = 0.25
# A look reads all that dbt has not modelled yet. It may take at most this share of the time: the
# slower it gets, the rarer it is.
LOOK_SHARE = 0.5
# The longest time between two looks, for changes that nobody announces: what dbt finds in old data
# after an import.
IDLE_SECONDS = 60.0
WHOLE_SECONDS = 600.0
STAND_BY_SECONDS = 2.0
SETTLE_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0

Address = tuple[str, int]


class Sending(NamedTuple):
    """An attempt under way."""

    delivery: Delivery
    message: Message
    delivery_id: int
    first_try: datetime

    @property
    def target(self) -> Address:
        """The channel and the address."""
        return (self.delivery.channel, self.delivery.address)


@dataclass
class Tally:
    """What one sender did."""

    sent: int = 0
    failed: int = 0
    skipped: int = 0


class Sender:
    """Sends what is due: one message at a time to one address, to all addresses side by side.

    One thread talks to Postgres, the others only send. It outlives its connections.
    """

    def __init__(self) -> None:
        settings = get_settings()
        self._channels = Channels()
        self._limits = DeliveryLimits(
            timedelta(minutes=settings.alert_oldest_minutes),
            timedelta(hours=settings.alert_retry_hours),
        )
        self.tally = Tally()
        self._due: dict[Address, deque[Delivery]] = {}
        self._busy: dict[Address, Sending] = {}
        self._ended: queue.SimpleQueue[tuple[Sending, str | None]] = queue.SimpleQueue()
        # Attempts that have ended and are not written down yet. They are several only while
        # Postgres is away.
        self._unwritten: list[tuple[Sending, str | None]] = []
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        self._looked = self._looked_whole = -WHOLE_SECONDS
        self._next_look = 0.0
        self._look_took = 0.0

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way and nothing is due."""
        return not (self._due or self._busy or self._unwritten)

    def recover(self, connection: Connection) -> None:
        """Take over from a sender that died."""
        self._due.clear()
        mine = [*self._busy.values(), *(work for work, _ in self._unwritten)]
        found = deliveries.recover(
            connection, [work.delivery_id for work in mine], self._limits.give_up
        )
        if found:
            log.warning("%d messages may have been sent by a sender that died", found)

    def look(self, connection: Connection, *, whole: bool) -> None:
        """See what is due, and begin with it; `whole`: over all of history."""
        self._looked = time.monotonic()
        if whole:
            self._looked_whole = self._looked
        oldest = self._limits.oldest
        with connection, connection.cursor() as cursor:
            if whole:
                self.tally.skipped += store.pass_over(cursor, oldest, None)
            horizon = store.horizon(cursor, oldest, whole=whole)
            seen = store.episodes(cursor, horizon.since)
            tried = store.attempts(cursor, seen)
            todo = plan(seen, tried, self._channels.count, horizon.now, self._limits)
            if todo.skipped:
                self.tally.skipped += store.pass_over(cursor, oldest, horizon.since)
            for delivery in todo.without_address:
                store.note_failure(cursor, delivery, "no address for the channel")
        for delivery in todo.without_address:
            self._report(delivery, "no address for the channel: set WAREHOUSE_ALERT_CHANNELS")
        self._queue(todo.due)
        self._look_took = time.monotonic() - self._looked
        self._next_look = self._looked + _seconds_to(seen, horizon)
        self._begin(connection)

    def count(self, run: LedgerRun) -> Tally:
        """Put what was done since the last count into a run of the ledger."""
        tally, self.tally = self.tally, Tally()
        # Its rows are those of ops.alert_deliveries, each committed by itself.
        run.rows_read = run.rows_inserted = tally.sent + tally.failed + tally.skipped
        run.detail = vars(tally)
        return tally

    def collect(self, connection: Connection) -> None:
        """Write down how attempts ended, and begin the next ones."""
        self._hear()
        if not self._unwritten:
            return
        now = store.now(connection)
        with connection, connection.cursor() as cursor:
            for work, error in self._unwritten:
                again = error and retry_at(now, work.first_try, work.delivery.attempt, self._limits)
                deliveries.finish(cursor, work.delivery_id, error, again or None)
                if error:
                    self._postpone(work)
                if again:
                    soon = time.monotonic() + (again - now).total_seconds()
                    self._next_look = min(self._next_look, soon)
        for work, error in self._unwritten:
            self._report(work.delivery, error)
        self._unwritten.clear()
        self._begin(connection)

    def wait(self, connection: Connection, *, until: float | None = None) -> bool:
        """Sleep until an attempt ends, quotes come in or it is time; whether quotes came in."""
        end_if_told()
        connection.poll()
        # Notifications that came with the reply to a statement no longer wake select().
        if not connection.notifies:
            seconds = None if until is None else max(0.0, until - time.monotonic())
            select.select([connection, self._bell], [], [], seconds)
            connection.poll()
        is_news = bool(connection.notifies)
        connection.notifies.clear()
        return is_news

    def watch(self, connection: Connection) -> Iterator[None]:
        """Look whenever there is something to see, for ever; yields after each round."""
        with connection, connection.cursor() as cursor:
            cursor.execute("listen quotes")
        self._looked_whole = -WHOLE_SECONDS
        is_news = True
        while True:
            self.collect(connection)
            now = time.monotonic()
            soonest = self._looked + max(LOOK_SECONDS, self._look_took / LOOK_SHARE)
            whole_at = self._looked_whole + WHOLE_SECONDS
            if now >= min(whole_at, soonest if is_news else self._next_look):
                is_news = False
                self.look(connection, whole=now >= whole_at)
                if now >= whole_at:
                    # `loader status` tells a quiet follower from a dead one by these.
                    with ledger_run(connection, JOB, {}) as run:
                        self.count(run)
            yield
            until = soonest if is_news else self._next_look
            is_news = self.wait(connection, until=until) or is_news

    def settle(self, connection: Connection) -> None:
        """Before the end: let what is under way end, for a while, and begin nothing new."""
        self._due.clear()
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._busy and time.monotonic() < deadline:
            select.select([self._bell], [], [], deadline - time.monotonic())
            self._hear()
        if self._unwritten:
            # An interrupted statement closes its connection: then use a new one.
            with contextlib.closing(connect("loader") if connection.closed else connection) as last:
                last.rollback()
                self.collect(last)

    def _hear(self) -> None:
        """Take note of the attempts that have ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with contextlib.suppress(queue.Empty):
            while True:
                ended = self._ended.get_nowait()
                del self._busy[ended[0].target]
                self._unwritten.append(ended)

    def _queue(self, due: Iterable[Delivery]) -> None:
        self._due.clear()
        for delivery in due:
            target = (delivery.channel, delivery.address)
            self._due.setdefault(target, deque()).append(delivery)

    def _postpone(self, failed: Sending) -> None:
        """Take what follows a failed message out of the queue: a later look finds it again."""
        waiting = self._due.pop(failed.target, deque())
        rest = [each for each in waiting if each.told != failed.delivery.told]
        if rest:
            self._due[failed.target] = deque(rest)

    def _begin(self, connection: Connection) -> None:
        """Write down the next attempt at each address that is free; then send."""
        free = [target for target in self._due if target not in self._busy]
        if not free:
            return
        begun = []
        with connection, connection.cursor() as cursor:
            for target in free:
                delivery = self._due[target].popleft()
                if not self._due[target]:
                    del self._due[target]
                text = message(delivery, store.coverage(cursor, delivery.episode))
                begun.append(Sending(delivery, text, *store.begin(cursor, delivery)))
        for work in begun:
            self._busy[work.target] = work
            # A daemon thread: the end of the process does not wait for a slow receiver.
            threading.Thread(target=self._send, args=(work,), daemon=True).start()

    def _send(self, work: Sending) -> None:
        error = self._channels.send(*work.target, work.message)
        self._ended.put((work, error))
        os.write(self._rope, b"!")

    def _report(self, delivery: Delivery, error: str | None) -> None:
        what = f"{headline(delivery)}, to {delivery.channel} {delivery.address}"
        if error:
            self.tally.failed += 1
            log.warning("%s: %s (attempt %d)", what, error, delivery.attempt)
        else:
            self.tally.sent += 1
            log.info("%s: sent", what)


def _seconds_to(seen: Iterable[Episode], horizon: store.Horizon) -> float:
    """To the next moment at which something is due though no quote has come in."""
    moments = [episode.blind_at for episode in seen if episode.closed_at is None]
    if horizon.next_retry:
        moments.append(horizon.next_retry)
    seconds = min(((moment - horizon.now).total_seconds() for moment in moments), default=60.0)
    # A little later than due, because our clock and that of Postgres may differ.
    return min(max(seconds, 0.0) + 0.05, IDLE_SECONDS)


def deliver() -> tuple[LedgerRun, Tally]:
    """Deliver what is due now, as one run of the ledger.

    What fails is due again later, to another call of this. Raises AlreadyRunningError while
    another sender is at work.
    """
    with (
        exclusive(JOB) as connection,
        ledger_run(connection, JOB, {}) as run,
    ):
        sender = Sender()
        try:
            sender.recover(connection)
            sender.look(connection, whole=True)
            while not sender.is_done:
                sender.wait(connection)
                sender.collect(connection)
        except (KeyboardInterrupt, Terminated):
            sender.settle(connection)
            raise
        tally = sender.count(run)
    return run, tally


def follow() -> None:
    """Deliver what is due, as it comes in, until the process is ended."""
    sender = Sender()
    pause = FIRST_PAUSE_SECONDS
    is_standing_by = False
    with interruptible():
        while True:
            end_if_told()
            try:
                for _ in _sessions(sender):
                    pause = FIRST_PAUSE_SECONDS
                    is_standing_by = False
            except AlreadyRunningError:
                if not is_standing_by:
                    log.info("another sender is at work: standing by")
                is_standing_by = True
                time.sleep(STAND_BY_SECONDS)
            except (psycopg2.Error, TransientError) as error:
                known = database_error(error) if isinstance(error, psycopg2.Error) else error
                log.warning("%s: trying again in %.1f s", known, pause)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _sessions(sender: Sender) -> Iterator[None]:
    """Watch on one connection, for as long as it lives."""
    with (
        contextlib.closing(connect("loader")) as connection,
        single_flight(connection, JOB),
    ):
        sender.recover(connection)
        log.info("watching")
        try:
            yield from sender.watch(connection)
        except (KeyboardInterrupt, Terminated, GeneratorExit):
            sender.settle(connection)
            raise
