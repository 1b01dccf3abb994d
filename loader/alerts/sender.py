"""Delivers alerts: each opened and each closed one to each address of its channels, once.

What an address is told follows from what it was told before (`plan`, `blindness`), so that it makes
no difference how often, and in whose process, somebody looks.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.alerts import store
from loader.alerts.blindness import plan_blindness
from loader.alerts.known import View
from loader.alerts.misnamed import warn_of_misnamed
from loader.alerts.notices import notices
from loader.alerts.outbox import Outbox, Tally
from loader.alerts.plan import Plan, plan, unseen
from loader.alerts.tries import DeliveryLimits
from loader.alerts.watchdog import Watchdog
from loader.warehouse.errors import AlreadyRunningError, TransientError
from loader.warehouse.ledger import deliveries
from loader.warehouse.ledger.mutes import mutes
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run, single_flight
from loader.warehouse.postgres.connection import connect, interruptible, transaction
from loader.warehouse.postgres.failures import known_error
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
# Books that go blind at once do so within seconds of each other, and are one message.
BLINDNESS_SECONDS = 30.0
STAND_BY_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class Sender:
    """Looks for what is due, and has it sent. It outlives its connections."""

    def __init__(self) -> None:
        settings = get_settings()
        self._limits = DeliveryLimits(
            timedelta(minutes=settings.alert_oldest_minutes),
            timedelta(hours=settings.alert_retry_hours),
        )
        self.outbox = Outbox(self._limits)
        self._watchdog = Watchdog(self.outbox.channels)
        self._looked = self._looked_whole = self._looked_at_books = -WHOLE_SECONDS
        self._next_look = 0.0
        self._look_took = 0.0

    def look(self, connection: Connection, *, whole: bool) -> None:
        """See what is due, and begin with it; `whole`: over all of history."""
        self._looked = time.monotonic()
        if whole:
            self._looked_whole = self._looked
        oldest = self._limits.oldest
        with connection, connection.cursor() as cursor:
            # All of it as of one instant: while dbt runs, the models change between two statements.
            cursor.execute("set transaction isolation level repeatable read")
            if whole:
                self.outbox.tally.skipped += store.pass_over(cursor, oldest, None)
            horizon = store.horizon(cursor, oldest, whole=whole)
            view = self._view(cursor, horizon)
            todo = plan(view, self.outbox.channels.count, self._limits)
            if whole or self._looked - self._looked_at_books >= BLINDNESS_SECONDS:
                self._looked_at_books = self._looked
                self._plan_blindness(cursor, todo, view)
            self._write_down(cursor, todo, horizon)
        self.outbox.queue(notices(todo.due))
        self._look_took = time.monotonic() - self._looked
        self._next_look = self._looked + _seconds_to(view, horizon)
        self.outbox.begin(connection)

    def count(self, run: LedgerRun) -> Tally:
        """Put what was done since the last count into a run of the ledger."""
        outbox = self.outbox
        tally, outbox.tally = outbox.tally, Tally()
        # Its rows are those of ops.alert_deliveries, each committed by itself.
        run.rows_read = run.rows_inserted = outbox.rows + tally.skipped + tally.muted
        outbox.rows = 0
        run.detail = vars(tally)
        return tally

    def watch(self, connection: Connection) -> Iterator[None]:
        """Look whenever there is something to see, for ever; yields after each round."""
        with connection, connection.cursor() as cursor:
            cursor.execute("listen quotes")
        self._looked_whole = -WHOLE_SECONDS
        is_news = True
        while True:
            pause = self.outbox.collect(connection)
            now = time.monotonic()
            if pause is not None:
                self._next_look = min(self._next_look, now + pause)
            soonest = self._looked + max(LOOK_SECONDS, self._look_took / LOOK_SHARE)
            whole_at = self._looked_whole + WHOLE_SECONDS
            if now >= min(whole_at, soonest if is_news else self._next_look):
                is_news = False
                self.look(connection, whole=now >= whole_at)
                if now >= whole_at:
                    # `loader status` tells a quiet follower from a dead one by these.
                    with ledger_run(connection, JOB, {}) as run:
                        self.count(run)
            self._watchdog.turn(connection)
            yield
            until = min(soonest if is_news else self._next_look, self._watchdog.next_at)
            is_news = self.outbox.wait(connection, until=until) or is_news

    def close(self) -> None:
        """End what is under way, whatever it is."""
        self._watchdog.close()
        self.outbox.close()

    def _view(self, cursor: object, horizon: store.Horizon) -> View:
        seen = store.episodes(cursor, horizon.since)
        tried = store.attempts(cursor, seen, horizon.since)
        view = View(horizon.now, horizon.since, seen, tried, mutes(cursor, horizon.since), None)
        return view._replace(judged=store.judged(cursor)) if unseen(view) else view

    def _plan_blindness(self, cursor: object, todo: Plan, view: View) -> None:
        plan_blindness(
            todo, store.book_states(cursor), store.blind_attempts(cursor), view.mutes,
            self.outbox.channels.count, view.now,
        )  # fmt: skip

    def _write_down(self, cursor: object, todo: Plan, horizon: store.Horizon) -> None:
        if todo.too_old:
            self.outbox.tally.skipped += store.pass_over(cursor, self._limits.oldest, horizon.since)
        self.outbox.tally.muted += store.pass_over_muted(cursor, todo.muted)
        store.note_growth(cursor, todo.grown)
        store.forget(cursor, todo.forgotten)
        self.outbox.note_without_address(cursor, notices(todo.without_address))


def _seconds_to(view: View, horizon: store.Horizon) -> float:
    """To the next moment at which something is due though no quote has come in."""
    moments = [episode.blind_at for episode in view.episodes if episode.closed_at is None]
    moments += [mute.until for mute in view.mutes if mute.until > view.now]
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
        contextlib.closing(Sender()) as sender,
    ):
        outbox = sender.outbox
        try:
            warn_of_misnamed(connection)
            outbox.recover(connection)
            sender.look(connection, whole=True)
            while not outbox.is_done:
                outbox.wait(connection)
                outbox.collect(connection)
        except (KeyboardInterrupt, Terminated):
            outbox.settle(connection)
            raise
        tally = sender.count(run)
    return run, tally


def undelivered() -> deliveries.Undelivered:
    """The messages that wait for another try."""
    with contextlib.closing(connect("loader")) as connection, transaction(connection) as cursor:
        return deliveries.undelivered(cursor)


def follow() -> None:
    """Deliver what is due, as it comes in, until the process is ended."""
    pause = FIRST_PAUSE_SECONDS
    is_standing_by = False
    trouble = ""
    with interruptible(), contextlib.closing(Sender()) as sender:
        sender.outbox.channels.prepare()
        while True:
            end_if_told()
            try:
                for _ in _sessions(sender):
                    pause = FIRST_PAUSE_SECONDS
                    is_standing_by = False
                    trouble = ""
            except AlreadyRunningError:
                if not is_standing_by:
                    log.info("another sender is at work: standing by")
                is_standing_by = True
                time.sleep(STAND_BY_SECONDS)
            except (psycopg2.Error, TransientError) as error:
                # Of what lasts, as when somebody has stopped the database, once.
                known = str(known_error(error))
                if known != trouble:
                    log.warning("%s: trying again in %.1f s", known, pause)
                trouble = known
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _sessions(sender: Sender) -> Iterator[None]:
    """Watch on one connection, for as long as it lives."""
    with (
        contextlib.closing(connect("loader")) as connection,
        single_flight(connection, JOB),
    ):
        warn_of_misnamed(connection)
        sender.outbox.recover(connection)
        log.info("watching")
        try:
            yield from sender.watch(connection)
        except (KeyboardInterrupt, Terminated, GeneratorExit):
            sender.outbox.settle(connection)
            raise
