"""What is known of alerts and books, and what was told of them: the words that plans use."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from loader.warehouse.ledger.mutes import Mute

Event = Literal["opened", "closed", "withdrawn", "blind", "seen"]
# A book and one of its thresholds.
Watch = tuple[str, Decimal]
# The least difference between two times.
INSTANT = timedelta(microseconds=1)


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
        return self.closed_at or self.last_observed_at + INSTANT


class BookState(NamedTuple):
    """Whether a watched book is seen, and why not (`cause`, in words)."""

    book: str
    is_blind: bool
    last_seen_at: datetime | None
    blind_since: datetime | None
    cause: str | None
    channels: str


class Attempt(NamedTuple):
    """A row of ops.alert_deliveries."""

    book: str
    # None: about a book that is not seen
    threshold_pct: Decimal | None
    opened_at: datetime
    seen_until: datetime
    event: Event
    channel: str
    address: int
    attempt: int
    status: str
    retry_at: datetime | None
    is_open: bool
    is_repeat: bool
    key: str


class Delivery(NamedTuple):
    """Something that is due to one address. `known_as` is the opening that was first seen."""

    book: str
    threshold_pct: Decimal | None
    known_as: datetime
    seen_until: datetime
    event: Event
    channel: str
    address: int
    attempt: int
    is_repeat: bool
    # of the message that an earlier attempt was part of
    key: str | None
    about: Episode | BookState | None

    @property
    def told(self) -> tuple[str, Decimal | None, datetime]:
        """The alert, as it is known to who was told of it."""
        return (self.book, self.threshold_pct, self.known_as)


class Judged(NamedTuple):
    """Of which instants it is certain that an alert that is not seen there has been taken back.

    Those before `until`, of which the models know all, and those from `fresh_from` on, which the
    live view judges by itself; of `watched` books and thresholds.
    """

    until: datetime
    fresh_from: datetime
    watched: frozenset[Watch]

    def knows(self, instant: datetime) -> bool:
        """Whether this is such an instant."""
        return instant < self.until or instant >= self.fresh_from


class View(NamedTuple):
    """All that a plan is made from; `since` is how far back episodes and attempts are complete."""

    now: datetime
    since: datetime
    episodes: Sequence[Episode]
    attempts: Sequence[Attempt]
    mutes: Sequence[Mute]
    judged: Judged | None


class Grown(NamedTuple):
    """An alert that was told of and goes on."""

    book: str
    threshold_pct: Decimal
    known_as: datetime
    seen_until: datetime


class Coverage(NamedTuple):
    """How much of a stretch of time was observed, 0 to 1."""

    since: datetime
    span: str
    share: Decimal


class Ending(NamedTuple):
    """The quote that an alert closed with, and the limit that it had to fall below."""

    bid: Decimal | None
    ask: Decimal | None
    spread: Decimal | None
    close_below_pct: Decimal | None
