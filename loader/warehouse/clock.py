"""Time as an argument, so that a test need not wait."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Clock(Protocol):
    """What waits and what stamps asks this."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, which no correction of the time of day moves."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class AsyncClock(Clock, Protocol):
    """A clock that an event loop can wait for too."""

    async def pause(self, seconds: float) -> None:
        """Wait, and let others go on."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Wait, and let others go on."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
