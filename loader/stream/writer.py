"""From the sampler to Postgres: by way of the spool, in threads, so that the books never wait."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.stream.account import JOB, StreamAccount
from loader.stream.backoff import Backoff
from loader.stream.seconds import (
    Damage,
    OtherWarehouseError,
    Second,
    Stop,
    UnreadableLineError,
    decode,
)
from loader.stream.spool import LONGEST_LINE_BYTES, Spool, SpoolLine
from loader.stream.told import told
from loader.stream.word import leave_word
from loader.warehouse.errors import (
    AlreadyRunningError,
    TerminalError,
    TransientError,
    WarehouseError,
)
from loader.warehouse.halving import refused_rows
from loader.warehouse.ledger.identity import warehouse_id
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.failures import cause_of, database_error, known_error
from loader.warehouse.text import counted

# The pauses before Postgres is tried again grow from the one to the other.
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 15.0
# The longest that a statement of the stream may take: a lock that lasts must not stop it for ever.
STATEMENT_SECONDS = 30
SPOOL_IS_FULL = "Postgres was away and the spool is full"
TOO_LONG = "they are too long to be kept"
# Of lines that cannot be taken, so much of the first is kept.
MOST_KEPT_BYTES = 64 << 10
# Seconds that wait for the spool's disk. Of more, only that they were there is kept in memory.
MOST_QUEUED = 600

log = logging.getLogger(__name__)


class SpoolWriter:
    """Two threads: one appends to the spool, one takes from it to Postgres.

    Neither is waited for by the end of the process; what is left is in the spool.
    """

    def __init__(self, spool: Spool, connect: Callable[[], Connection]) -> None:
        self._spool = spool
        self._connect = connect
        self._incoming: queue.SimpleQueue[Second | None] = queue.SimpleQueue()
        self._news = threading.Condition()
        # True at the start: an earlier process may have left lines in the spool.
        self._is_news = True
        self._is_away = False
        # An earlier process may have left one.
        self._has_word = True
        self._stopping = threading.Event()
        self._started = threading.Event()
        # Whether it ever had the account, and with it the lock of the job.
        self._was_alone = False
        self._refused: WarehouseError | None = None
        self._backoff = Backoff(RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        # Known from the first connection on.
        self._warehouse = ""
        self._threads = [
            threading.Thread(target=work, name=f"stream {name}", daemon=True)
            for name, work in (("spool", self._append_all), ("postgres", self._write_all))
        ]

    def start(self) -> None:
        """Begin; returns when the job's lock is held, or the spool has to take over at once.

        It can where the warehouse is known and takes nothing for now, as when it is read only.
        Raises AlreadyRunningError when another instance holds the lock, TransientError or
        TerminalError when Postgres or the spool cannot be used.
        """
        self._spool.open()
        appending, writing = self._threads
        writing.start()
        self._started.wait()
        if self._refused:
            self._spool.close()
            raise self._refused
        appending.start()

    @property
    def is_alive(self) -> bool:
        """Whether both threads are at work."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def refused(self) -> WarehouseError:
        """Why it is not at work any more."""
        return self._refused or TerminalError("the stream cannot write any more: start it again")

    def put(self, second: Second) -> None:
        """Take a second in; never waits."""
        if self._incoming.qsize() >= MOST_QUEUED:
            second = second.without_samples("the disk of the spool did not answer")
        self._incoming.put(second)

    def stop(self, seconds: float) -> bool:
        """Write what there is and that it ends here; False when that was not to be had in time."""
        self._incoming.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        is_done = not any(thread.is_alive() for thread in self._threads)
        if is_done:
            self._spool.close()
        return is_done

    # ------------------------------------------------------- into the spool

    def _append_all(self) -> None:
        is_full = False
        until = None
        while second := self._incoming.get():
            line = second.encode(self._warehouse)
            if len(line) > LONGEST_LINE_BYTES:
                line = second.without_samples(TOO_LONG).encode(self._warehouse)
            kept = self._spool.append(line, sync=self._is_away)
            if not kept:
                line = second.without_samples(SPOOL_IS_FULL).encode(self._warehouse)
                self._spool.append(line, must=True)
            if is_full == kept:
                is_full = not kept
                log.warning("%s", SPOOL_IS_FULL if is_full else "the spool has room again")
            until = second.until
            self._tell()
        if until:
            self._spool.append(Stop(until).encode(self._warehouse), must=True, sync=self._is_away)
        self._stopping.set()
        self._tell()

    def _tell(self) -> None:
        with self._news:
            self._is_news = True
            self._news.notify()

    # --------------------------------------------------------- into Postgres

    def _write_all(self) -> None:
        while True:
            try:
                with closing(self._connect()) as connection:
                    self._begin(connection)
                    with single_flight(connection, JOB, keeps_rows=True):
                        self._write_on(connection)
                        return
            except Exception as error:  # noqa: BLE001 - the spool keeps what comes meanwhile
                known = _in_our_words(error)
                if not (self._was_alone or self._can_wait(known)):
                    self._refused = known
                    self._started.set()
                    return
                self._started.set()
                self._bridge(known)

    def _can_wait(self, trouble: WarehouseError) -> bool:
        """Whether the spool may take over before anything was written.

        Not from another instance, which writes the same seconds, nor for a warehouse that nobody
        knows: each line of the spool names its own.
        """
        is_passing = isinstance(trouble, TransientError)
        is_other = isinstance(trouble, AlreadyRunningError)
        return bool(self._warehouse) and is_passing and not is_other

    def _bridge(self, trouble: WarehouseError) -> None:
        """Let time pass until Postgres is tried again, and say so where people look."""
        pause = self._backoff.pause()
        if self._backoff.is_news(str(trouble)):
            is_passing = isinstance(trouble, TransientError)
            what = "Postgres is away" if is_passing else "Postgres takes nothing until it is mended"
            log.warning("%s, the spool takes over: %s", what, trouble)
            leave_word(self._spool.path, f"{what}, the spool takes over: {trouble}")
            self._has_word = True
        self._is_away = True
        if self._stopping.wait(pause):
            # Whoever stops waits for a while, but not for ever.
            time.sleep(RETRY_SECONDS)

    def _begin(self, connection: Connection) -> None:
        with transaction(connection) as cursor:
            cursor.execute("set statement_timeout = %s", (f"{STATEMENT_SECONDS}s",))
            self._recognise(warehouse_id(cursor))

    def _write_on(self, connection: Connection) -> None:
        """Write what is in the spool and what comes, to the end."""
        self._account = StreamAccount(connection)
        self._was_alone = True
        self._started.set()
        is_last = False
        while not is_last:
            with self._news:
                self._news.wait_for(lambda: self._is_news or self._is_away)
                self._is_news = False
                is_last = self._stopping.is_set()
            while lines := self._spool.peek():
                for line, reason in refused_rows(lines, self._write):
                    self._account.write([_damage(line, reason)])
                    self._spool.advance([line])
            self._be_at_ease()

    def _be_at_ease(self) -> None:
        """All is in Postgres."""
        if self._is_away:
            log.info("Postgres is back, the spool is empty")
            self._is_away = False
        self._backoff.reset()
        if self._has_word:
            leave_word(self._spool.path, None)
            self._has_word = False

    def _recognise(self, warehouse: str) -> None:
        """Go on only with the warehouse that the stream began with, and that the spool is for."""
        if self._warehouse not in ("", warehouse):
            raise TerminalError("the database is another warehouse by now: start the stream again")
        self._warehouse = warehouse
        if self._started.is_set():
            return
        # The first line that can be read tells whose it is.
        for line in self._spool.peek():
            try:
                decode(line.text, warehouse)
                return
            except OtherWarehouseError:
                raise TerminalError(
                    f"{self._spool.path} holds seconds of another warehouse: name another "
                    "directory in WAREHOUSE_STREAM_SPOOL_DIR, or move the file away"
                ) from None
            except UnreadableLineError:
                continue

    def _write(self, lines: Sequence[SpoolLine]) -> str | None:
        """Write lines and take them from the spool; returns why Postgres refuses one, if so."""
        try:
            self._account.write(self._read(lines))
        except psycopg2.Error as error:
            if cause_of(error) != "row":
                raise
            self._account = self._account.reread()
            return f"Postgres cannot hold it: {told(database_error(error))}"
        self._spool.advance(lines)
        return None

    def _read(self, lines: Sequence[SpoolLine]) -> Iterator[Second | Stop | Damage]:
        """What the lines say; those in a row that say nothing are one damage."""
        damage: Damage | None = None
        for line in lines:
            try:
                if not line.is_whole:
                    raise UnreadableLineError("it is longer than any second")
                found = decode(line.text, self._warehouse)
            except UnreadableLineError as error:
                damage = (
                    damage._replace(lines=damage.lines + 1) if damage else _damage(line, str(error))
                )
                continue
            if damage:
                yield damage
                damage = None
            yield found
        if damage:
            yield damage


def _damage(line: SpoolLine, reason: str) -> Damage:
    return Damage(
        1,
        f"a line of {counted(line.size, 'byte')}: {reason}",
        line.text.strip(b"\0")[:MOST_KEPT_BYTES],
    )


def _in_our_words(error: Exception) -> WarehouseError:
    if isinstance(error, psycopg2.Error | WarehouseError):
        return known_error(error)
    return TerminalError(told(error))
