"""Pauses between attempts, and how often to speak of what happens again and again."""

import logging
import random

from loader.warehouse.clock import AsyncClock

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# Of what lasts is told again after so many attempts: with the longest pauses, after ten minutes.
TOLD_EACH = 25

log = logging.getLogger(__name__)


class Backoff:
    """Longer each time, and never the same for all who failed together; in seconds."""

    def __init__(self, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = self._next = first
        self._longest = longest
        self._trouble: str | None = None
        self._times = 0

    def pause(self) -> float:
        """The next one."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return random.uniform(pause / 2, pause)

    def reset(self) -> None:
        """Begin anew."""
        self._next = self._first
        self._trouble = None

    def is_news(self, trouble: str) -> bool:
        """Whether to tell of what stands in the way: when it comes or changes, and now and then."""
        self._times = self._times + 1 if trouble == self._trouble else 0
        self._trouble = trouble
        return self._times % TOLD_EACH == 0


class PerMinute:
    """Lets so many through in any minute, and says how many more there were."""

    def __init__(self, what: str, most: int, clock: AsyncClock) -> None:
        self._what = what
        self._most = most
        self._clock = clock
        self._minute = 0
        self._count = 0

    def lets_through(self) -> bool:
        """Whether there is room for one more."""
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            if self._count > self._most:
                log.warning("%d more %s in a minute", self._count - self._most, self._what)
            self._minute, self._count = minute, 0
        self._count += 1
        return self._count <= self._most
