"""The budget of one process."""

import threading

import pytest

from loader.warehouse.errors import TransientError
from loader.wire.rate_budget import LocalBudget, RateLimits
from tests.clocks import ManualClock

LIMITS = RateLimits(calls=5, period=60, freeze=60, freeze_ceiling=3600, max_wait=120)


def test_no_period_has_more_calls_than_allowed() -> None:
    clock = ManualClock()
    budget = LocalBudget("x", LIMITS, clock)
    taken = []
    for pause in (0, 10, 0, 0, 25, 0, 0, 1, 0, 80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0):
        clock.sleep(pause)
        budget.take()
        taken.append(clock.monotonic())
    gaps = [later - earlier for earlier, later in zip(taken, taken[5:], strict=False)]
    assert min(gaps) >= 60


def test_a_burst_within_the_limit_does_not_wait() -> None:
    clock = ManualClock()
    budget = LocalBudget("x", LIMITS, clock)
    for _ in range(5):
        budget.take()
    assert clock.slept == []


def test_nobody_waits_longer_than_the_cap() -> None:
    clock = ManualClock()
    budget = LocalBudget("source", LIMITS, clock)
    budget.freeze(at_least=121)
    with pytest.raises(TransientError, match=r"^source: no call is free for another 121 s"):
        budget.take()
    assert clock.slept == []


def test_a_freeze_doubles_each_time_up_to_its_ceiling() -> None:
    clock = ManualClock()
    budget = LocalBudget("x", LIMITS, clock)
    lengths = []
    for _ in range(8):
        lengths.append(budget.extend_freeze(0))
        clock.sleep(lengths[-1])
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_calm_ends_the_doubling() -> None:
    clock = ManualClock()
    budget = LocalBudget("x", LIMITS, clock)
    clock.sleep(budget.extend_freeze(0))
    clock.sleep(599)
    assert budget.extend_freeze(0) == 120
    clock.sleep(120 + 601)
    assert budget.extend_freeze(0) == 60


def test_replies_to_calls_that_were_under_way_do_not_double() -> None:
    clock = ManualClock()
    budget = LocalBudget("x", LIMITS, clock)
    budget.freeze()
    clock.sleep(1)
    assert budget.extend_freeze(0) == 59
    assert budget.extend_freeze(100) == 100
    clock.sleep(100)
    assert budget.extend_freeze(0) == 120


def test_a_source_may_ask_for_more_than_the_ceiling() -> None:
    assert LocalBudget("x", LIMITS, ManualClock()).extend_freeze(86_400) == 86_400


def test_threads_share_it() -> None:
    budget = LocalBudget("x", LIMITS, ManualClock())
    free: list[float] = []
    threads = [threading.Thread(target=lambda: free.append(budget.try_take())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert free.count(0) == 5
