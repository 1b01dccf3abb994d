"""Clocks for tests: time that a test moves, that passes in sleep alone, or that runs at a speed.

None of them lets the machine's own pace decide what a test sees, but for a `SkippingClock` that
runs, which measures real calls.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tests.waiting import LAST_RESORT_SECONDS, wait_on_loop

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP_SECONDS = 0.1
# Rounds of an event loop after which whoever was woken, or has got a message, has dealt with it.
_ROUNDS = 12


class ExchangeClock(Protocol):
    """The time of the exchange simulator."""

    def now(self) -> datetime:
        """What time it is over there."""

    def real(self, seconds: float, /) -> float:
        """How long so much of its time takes here."""

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""

    def follow(self, turn: Callable[[], None], /) -> bool:
        """Call `turn` after each step; False if this clock runs by itself, without steps."""

    def leave(self, turn: Callable[[], None], /) -> None:
        """Call it no more."""


class SimulatedClock:
    """Runs from a start at a speed of one's choice; 0 stands still."""

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        self._start = start or datetime.now(UTC)
        self._speed = speed
        self._started = time.monotonic()

    def now(self) -> datetime:
        """What time it is over there."""
        passed = (time.monotonic() - self._started) * self._speed
        return self._start + timedelta(seconds=passed)

    def real(self, seconds: float) -> float:
        """How long so much of its time takes here."""
        return seconds / (self._speed or 1)

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._start += timedelta(seconds=seconds)

    def follow(self, _: Callable[[], None]) -> bool:
        """It has no steps."""
        return False

    def leave(self, _: Callable[[], None]) -> None:
        """Nobody follows it."""


class ManualClock:
    """Time passes in sleep alone, which is over at once and written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._passed = 0.0

    def now(self) -> datetime:
        """The time of day."""
        return NOON + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds."""
        return self._passed

    def sleep(self, seconds: float) -> None:
        """Be there already."""
        self.slept.append(seconds)
        self._passed += seconds


class SkippingClock(ManualClock):
    """The same, but the time of day is this machine's, and so are the seconds where it `runs`."""

    def __init__(self, *, runs: bool = False) -> None:
        super().__init__()
        self._runs = runs

    def now(self) -> datetime:
        """The time of day."""
        return datetime.now(UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds."""
        return self._passed + (time.monotonic() if self._runs else 0.0)


class _Sleeper:
    """Whoever waits for a moment, and whether a call is under way that the clock waits for."""

    def __init__(self, due: float, wake: Callable[[], None], *, is_held: bool = False) -> None:
        self.due = due
        self.wake = wake
        self.is_held = is_held


class SteppedClock:
    """Stands still until a test moves it, by steps; at each, everybody does what is due by then.

    Whoever waits is woken at the very moment that was asked for, so that nothing is ever late,
    however long a step takes here. The clock waits for calls under way (`held`), but not for one
    that itself waits for a moment to come.
    """

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._passed = 0.0
        self._lock = threading.Condition()
        self._sleepers: list[_Sleeper] = []
        self._turns: list[Callable[[], None]] = []
        self._calls = 0
        self._call = threading.local()
        self._is_over = False

    # ------------------------------------------------------ what others ask

    def now(self) -> datetime:
        """The time of day."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds."""
        return self._passed

    def real(self, _: float) -> float:
        """No time at all: it passes when the test says so."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Wait, in a thread."""
        woken = threading.Event()
        with self._lock:
            if self._is_over:
                self._passed += seconds
                return
            is_held = bool(getattr(self._call, "depth", 0))
            self._calls -= is_held
            self._sleepers.append(_Sleeper(self._passed + seconds, woken.set, is_held=is_held))
        assert woken.wait(LAST_RESORT_SECONDS), "the test did not move its clock"

    async def pause(self, seconds: float) -> None:
        """Wait, and let others go on."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        with self._lock:
            self._sleepers.append(_Sleeper(self._passed + seconds, wake))
        await woken

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this lasts no time passes: a call is under way."""
        with self._lock:
            self._calls += 1
            self._call.depth = getattr(self._call, "depth", 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                self._call.depth -= 1

    def follow(self, turn: Callable[[], None]) -> bool:
        """Call `turn` after each step."""
        self._turns.append(turn)
        return True

    def leave(self, turn: Callable[[], None]) -> None:
        """Call it no more."""
        if turn in self._turns:
            self._turns.remove(turn)

    # --------------------------------------------------- what the test does

    def jump(self, seconds: float) -> None:
        """Set the time of day to another, as after a suspend or a correction."""
        self._start += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, where nobody but threads and followers is to see it."""
        end = self._passed + seconds
        while self._passed < end:
            self._step(end)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, and the tasks of this event loop do what is due meanwhile."""
        end = self._passed + seconds
        while self._passed < end:
            await wait_on_loop(lambda: not self._calls, "the end of the calls under way")
            self._step(end)
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)

    def let_go(self) -> None:
        """Wake everybody: the test is over, and from now on nobody waits."""
        with self._lock:
            self._is_over = True
            self._wake(float("inf"))

    def _step(self, end: float) -> None:
        with self._lock:
            soonest = min((one.due for one in self._sleepers), default=end)
            self._passed = max(self._passed, min(end, self._passed + STEP_SECONDS, soonest))
            self._wake(self._passed)
        for turn in list(self._turns):
            turn()

    def _wake(self, moment: float) -> None:
        due = sorted((one for one in self._sleepers if one.due <= moment), key=lambda one: one.due)
        self._sleepers = [one for one in self._sleepers if one.due > moment]
        for one in due:
            self._calls += one.is_held
            one.wake()
