"""From the sampler to Postgres: by way of the spool, in threads, so that the books never wait."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.stream.account import JOB, StreamAccount
from loader.stream.seconds import Second, Stop, decode
from loader.stream.spool import Spool
from loader.warehouse.errors import WarehouseError
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.postgres.failures import database_error

RETRY_SECONDS = 1.0
# The longest that a statement of the stream may take: a lock that lasts must not stop it for ever.
STATEMENT_SECONDS = 30
SPOOL_IS_FULL = "Postgres was away and the spool is full"

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
        self._is_stopping = False
        self._is_careful = False
        self._started = threading.Event()
        self._refused: WarehouseError | None = None
        # Lines that Postgres has refused as data: their samples become gaps.
        self._poison: set[bytes] = set()
        self._threads = [
            threading.Thread(target=work, name=f"stream {name}", daemon=True)
            for name, work in (("spool", self._append_all), ("postgres", self._write_all))
        ]

    def start(self) -> None:
        """Begin; returns when the job's lock is held.

        Raises AlreadyRunningError when another instance holds it, TransientError or TerminalError
        when Postgres cannot be used.
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

    def put(self, second: Second) -> None:
        """Take a second in; never waits."""
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
            kept = self._spool.append(second.encode(), sync=self._is_away)
            if not kept:
                self._spool.append(second.without_samples(SPOOL_IS_FULL).encode(), must=True)
            if is_full == kept:
                is_full = not kept
                log.warning("%s", SPOOL_IS_FULL if is_full else "the spool has room again")
            until = second.until
            self._tell()
        if until:
            self._spool.append(Stop(until).encode(), must=True, sync=self._is_away)
        self._is_stopping = True
        self._tell()

    def _tell(self) -> None:
        with self._news:
            self._is_news = True
            self._news.notify()

    # --------------------------------------------------------- into Postgres

    def _write_all(self) -> None:
        while True:
            try:
                with (
                    closing(self._connect()) as connection,
                    single_flight(connection, JOB, keeps_rows=True),
                ):
                    self._write_on(connection)
                    return
            except (psycopg2.Error, WarehouseError) as error:
                known = database_error(error) if isinstance(error, psycopg2.Error) else error
                if not self._started.is_set():
                    self._refused = known
                    self._started.set()
                    return
                if not self._is_away:
                    log.warning("Postgres is away, the spool takes over: %s", known)
                self._is_away = True
                with self._news:
                    self._news.wait(RETRY_SECONDS)

    def _write_on(self, connection: Connection) -> None:
        """Write what is in the spool and what comes, to the end."""
        with transaction(connection) as cursor:
            cursor.execute("set statement_timeout = %s", (f"{STATEMENT_SECONDS}s",))
        ledger = StreamAccount(connection)
        self._started.set()
        is_last = False
        while not is_last:
            with self._news:
                self._news.wait_for(lambda: self._is_news or self._is_away)
                self._is_news = False
                is_last = self._is_stopping
            # One by one after a refusal, to find the culprit.
            while lines := self._spool.peek()[: 1 if self._is_careful else None]:
                self._write(ledger, lines)
                self._spool.advance(lines)
            self._is_careful = False
            if self._is_away:
                log.info("Postgres is back, the spool is empty")
                self._is_away = False

    def _write(self, ledger: StreamAccount, lines: list[bytes]) -> None:
        try:
            ledger.write(map(self._decode, lines))
        except psycopg2.DataError:
            if self._is_careful:
                self._poison.update(lines)
            self._is_careful = True
            raise

    def _decode(self, line: bytes) -> Second | Stop:
        second = decode(line)
        if line in self._poison and isinstance(second, Second):
            return replace(second.without_samples("Postgres cannot hold them"), bad=())
        return second
