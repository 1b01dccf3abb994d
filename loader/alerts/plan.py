"""Which messages about alerts are due: decided from what is seen and what was tried, no I/O."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

Event = Literal["opened", "closed"]

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
_NAMESPACE = uuid.UUID("5f0c9a52-5d43-4f0e-9c2b-6a0b8ce9e6d1")
_INSTANT = timedelta(microseconds=1)


class Episode(NamedTuple):
    """An alert as the models see it now."""

    book: str
    threshold_pct: Decimal
    opened_at: datetime
    closed_at: datetime | None
    last_observed_at: datetime
    blind_at: datetime
    close_reason: str | None
    channels: str
    bid: Decimal
    ask: Decimal
    spread: Decimal
    peak_spread: Decimal
    observations: int

    @property
    def seen_until(self) -> datetime:
        """Where it ends so far; the next one of its book and threshold begins there or later."""
        return self.closed_at or self.last_observed_at + _INSTANT


class Attempt(NamedTuple):
    """A row of ops.alert_deliveries."""

    book: str
    threshold_pct: Decimal
    opened_at: datetime
    seen_until: datetime
    event: Event
    channel: str
    address: int
    attempt: int
    status: str
    started_at: datetime
    retry_at: datetime | None


class Delivery(NamedTuple):
    """A message that is due to one address. `known_as` is the opening that was first seen."""

    episode: Episode
    known_as: datetime
    event: Event
    channel: str
    address: int
    attempt: int
    is_repeat: bool

    @property
    def told(self) -> tuple[str, Decimal, datetime]:
        """The alert, as it is known to who was told of it."""
        return (self.episode.book, self.episode.threshold_pct, self.known_as)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this message, and for no other message."""
        name = (
            self.episode.book, f"{self.episode.threshold_pct:f}", self.known_as.isoformat(),
            self.event, self.channel, str(self.address),
        )  # fmt: skip
        return str(uuid.uuid5(_NAMESPACE, "\n".join(name)))


@dataclass(frozen=True)
class DeliveryLimits:
    """How old an alert may be when it is first seen, and how long a message is tried."""

    oldest: timedelta
    give_up: timedelta


@dataclass(frozen=True)
class Plan:
    """What to do now: messages to send, alerts to pass over, channels that have no address."""

    due: list[Delivery]
    skipped: list[Episode]
    without_address: list[Delivery]


def retry_at(
    now: datetime, first_try: datetime, attempt: int, limits: DeliveryLimits
) -> datetime | None:
    """When to try again after a failed attempt; None when that is over."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE)
    return now + pause if now + pause < first_try + limits.give_up else None


def plan(
    episodes: Iterable[Episode],
    attempts: Iterable[Attempt],
    addresses: Callable[[str], int],
    now: datetime,
    limits: DeliveryLimits,
) -> Plan:
    """Sort out what is due, by opening; when an opening fails, its closing is to wait for it."""
    tried = _by_watch(attempts)
    found = Plan([], [], [])
    for episode in sorted(episodes, key=lambda episode: episode.opened_at):
        of_watch = tried.get((episode.book, episode.threshold_pct), [])
        overlapping = [one.opened_at for one in of_watch if _overlap(episode, one)]
        if not overlapping and episode.opened_at < now - limits.oldest:
            found.skipped.append(episode)
            continue
        # A late row may have moved the opening, or joined two alerts into one: then the message
        # sent last counts as the one about this alert.
        known_as = max(overlapping, default=episode.opened_at)
        told = [one for one in of_watch if one.opened_at == known_as]
        for channel in filter(None, episode.channels.split(",")):
            _plan_channel(found, episode, known_as, channel, told, addresses(channel), now)
    return found


def _by_watch(attempts: Iterable[Attempt]) -> dict[tuple[str, Decimal], list[Attempt]]:
    tried = defaultdict(list)
    for attempt in attempts:
        tried[attempt.book, attempt.threshold_pct].append(attempt)
    return tried


def _overlap(episode: Episode, known: Attempt) -> bool:
    return known.opened_at < episode.seen_until and episode.opened_at < known.seen_until


def _plan_channel(
    found: Plan,
    episode: Episode,
    known_as: datetime,
    channel: str,
    told: Sequence[Attempt],
    addresses: int,
    now: datetime,
) -> None:
    of_channel = [one for one in told if one.channel == channel]
    events: tuple[Event, ...] = ("opened", "closed") if episode.closed_at else ("opened",)
    if not addresses:
        noted = {one.event for one in of_channel}
        found.without_address.extend(
            Delivery(episode, known_as, event, channel, 0, 1, is_repeat=False)
            for event in events
            if event not in noted
        )
    for address in range(1, addresses + 1):
        for event in events:
            tries = [one for one in of_channel if (one.address, one.event) == (address, event)]
            last = max(tries, key=lambda one: one.attempt, default=None)
            if last and (last.status == "sending" or (last.retry_at and last.retry_at > now)):
                # Nobody hears that it closed before having heard that it opened.
                break
            if last is None or last.retry_at:
                is_repeat = any(one.status == "unknown" for one in tries)
                found.due.append(
                    Delivery(episode, known_as, event, channel, address, len(tries) + 1, is_repeat)
                )
