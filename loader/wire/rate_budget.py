"""How many calls may go out: a budget for one process, and one that all of a host share.

A budget is never bursting past its limit: in any `period` no more than `calls` are let go.
When a source says that it is too much, the budget freezes, twice as long each time in a row.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import psycopg2
from psycopg2.extensions import connection as Connection

from loader.warehouse.clock import SYSTEM_CLOCK, Clock
from loader.warehouse.errors import TransientError, WarehouseError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RateLimits:
    """What a source allows, and how long one of ours is ready to wait for it."""

    calls: int
    period: float = 60.0
    freeze: float = 60.0
    freeze_ceiling: float = 3600.0
    max_wait: float = 120.0


class Budget(Protocol):
    """Asked before every call, and told when a source has had enough."""

    def take(self) -> None:
        """Wait for the next free call.

        Raises TransientError when that is longer than `max_wait` away.
        """

    def freeze(self, at_least: float = 0.0) -> None:
        """Let nobody call for a while: `at_least` as long as the source asked for."""


class LocalBudget:
    """The budget of one process; its threads share it."""

    def __init__(self, name: str, limits: RateLimits, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[float] = deque(maxlen=limits.calls)
        self._frozen_until = float("-inf")
        self._freezes = 0

    def take(self) -> None:
        """Wait for the next free call."""
        _take(self._name, self._limits, self._clock, self.try_take)

    def try_take(self) -> float:
        """Take a call if one is free; returns the seconds until it is worth asking again."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._frozen_until:
                return self._frozen_until - now
            if len(self._calls) == self._limits.calls:
                wait = self._calls[0] + self._limits.period - now
                if wait > 0:
                    return wait
            self._calls.append(now)
            return 0.0

    def freeze(self, at_least: float = 0.0) -> None:
        """Let nobody call for a while."""
        _log_freeze(self._name, self.extend_freeze(at_least))

    def extend_freeze(self, at_least: float) -> float:
        """Freeze; returns for how many seconds from now."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._frozen_until:
                # The answer to a call that was under way when the freeze began: no new offence.
                self._frozen_until = max(self._frozen_until, now + at_least)
                return self._frozen_until - now
            if now > self._frozen_until + 10 * self._limits.freeze:
                self._freezes = 0
            doubled = self._limits.freeze * 2.0 ** min(self._freezes, 20)
            self._freezes += 1
            length = max(min(doubled, self._limits.freeze_ceiling), at_least)
            self._frozen_until = now + length
            return length


class SharedBudget:
    """One budget for every process and container of the host, kept in Postgres.

    While Postgres is out of reach each process lives on a tenth of it, in case others do too.
    """

    RETRY_STORE_SECONDS = 30.0

    def __init__(
        self,
        name: str,
        limits: RateLimits,
        connect: Callable[[], Connection],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._name = name
        self._limits = limits
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._store_lost_at: float | None = None
        self._fallback = LocalBudget(name, replace(limits, calls=max(1, limits.calls // 10)), clock)

    def take(self) -> None:
        """Wait for the next free call."""
        _take(self._name, self._limits, self._clock, self._try_take)

    def freeze(self, at_least: float = 0.0) -> None:
        """Let nobody on this host call for a while."""
        limits = self._limits
        length = self._fallback.extend_freeze(at_least)
        shared = self._ask(
            "select ops.freeze_calls(%s, %s, %s, %s)",
            (self._name, at_least, limits.freeze, limits.freeze_ceiling),
        )
        _log_freeze(self._name, length if shared is None else shared)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try_take(self) -> float:
        wait = self._ask(
            "select ops.take_call(%s, %s, %s)",
            (self._name, self._limits.calls, self._limits.period),
        )
        return self._fallback.try_take() if wait is None else wait

    def _ask(self, query: str, values: tuple[object, ...]) -> float | None:
        """What the store answers, None while it is out of reach."""
        now = self._clock.monotonic()
        lost_at = self._store_lost_at
        if lost_at is not None and now < lost_at + self.RETRY_STORE_SECONDS:
            return None
        try:
            with self._connected().cursor() as cursor:
                cursor.execute(query, values)
                [(seconds,)] = cursor.fetchall()
        except (psycopg2.Error, WarehouseError) as error:
            with contextlib.suppress(psycopg2.Error):
                self.close()
            self._connection = None
            self._store_lost_at = now
            if lost_at is None:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning(
                    "%s: the shared rate budget is out of reach, going on with a tenth: %s",
                    self._name,
                    reason,
                )
            return None
        self._store_lost_at = None
        return float(seconds)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
            # Autocommit: other processes wait for the row only while the function runs.
            self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("set statement_timeout = '5s'")
        return self._connection


def _take(name: str, limits: RateLimits, clock: Clock, try_take: Callable[[], float]) -> None:
    deadline = clock.monotonic() + limits.max_wait
    while wait := try_take():
        if clock.monotonic() + wait > deadline:
            until = clock.now() + timedelta(seconds=wait)
            raise TransientError(
                f"{name}: no call is free for another {wait:.0f} s, longer than "
                f"WAREHOUSE_MAX_WAIT_SECONDS: try again after {until:%Y-%m-%d %H:%M:%S} UTC"
            )
        clock.sleep(wait)


def _log_freeze(name: str, length: float) -> None:
    log.warning("%s: too many calls, or blocked: none for %.0f s", name, length)
