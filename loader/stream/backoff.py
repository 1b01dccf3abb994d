"""Pauses between attempts."""

import random

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class Backoff:
    """Longer each time, and never the same for all who failed together; in seconds."""

    def __init__(self, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = self._next = first
        self._longest = longest

    def pause(self) -> float:
        """The next one."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return random.uniform(pause / 2, pause)

    def reset(self) -> None:
        """Begin anew."""
        self._next = self._first
