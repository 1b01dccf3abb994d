"""The attempts at one message to one address: whether another one is due, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from loader.alerts.known import Attempt

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True)
class DeliveryLimits:
    """How old an alert may be when it is first seen, and how long a message is tried."""

    oldest: timedelta
    give_up: timedelta


def retry_at(
    now: datetime, first_try: datetime, attempt: int, limits: DeliveryLimits
) -> datetime | None:
    """When to try again after a failed attempt; None when that is over."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE)
    return now + pause if now + pause < first_try + limits.give_up else None


def is_under_way(tries: Sequence[Attempt], now: datetime) -> bool:
    """Whether the last attempt has not ended yet, or is to be repeated later."""
    last = _last(tries)
    return bool(last and (last.status == "sending" or (last.retry_at and last.retry_at > now)))


def is_due(tries: Sequence[Attempt]) -> bool:
    """Whether an attempt is to be made, unless one is under way."""
    last = _last(tries)
    return last is None or last.retry_at is not None


def turn_of(tries: Sequence[Attempt]) -> tuple[int, bool, str | None]:
    """Of the next attempt: its number, whether it may be a repeat, and its message's key."""
    last = _last(tries)
    is_repeat = any(one.status == "unknown" for one in tries)
    return (last.attempt + 1 if last else 1, is_repeat, last.key if last else None)


def _last(tries: Sequence[Attempt]) -> Attempt | None:
    return max(tries, key=lambda one: one.attempt, default=None)
