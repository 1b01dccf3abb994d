"""A book kept in step with the exchange: frames wait for a snapshot, then go on from it.

Nothing here waits or calls; whoever fetches snapshots asks `wants_snapshot` and hands them in.
"""

from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from loader.stream.order_book import MOST_ORDERS, Diff, Level, OrderBook, OutOfStepError
from loader.stream.seconds import Cause, Sample
from loader.warehouse.text import plain

# The most frames of a book that wait for a snapshot, and the most orders in them. Past it the
# oldest are dropped, and the snapshot must be newer than those.
MOST_WAITING, MOST_WAITING_ORDERS = 10_000, MOST_ORDERS
# After so many snapshots that are older than frames seen before, the exchange must have begun to
# count anew, or what was seen was none of its frames.
MOST_OLDER = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quote(NamedTuple):
    """The two best prices."""

    bid: Decimal | None
    ask: Decimal | None


class TrackedBook:
    """One book of the stream, in step (`book` is there) or not (`cause` says why)."""

    def __init__(self, name: str, depth: int) -> None:
        self.name = name
        self.book: OrderBook | None = None
        self.cause: Cause = "starting"
        self.detail: str | None = None
        self.is_subscribed = False
        # Grows whenever the book falls out of step, to tell snapshots that were asked for before.
        self.generation = 0
        self._depth = depth
        self._waiting: deque[Diff] = deque()
        self._waiting_orders = 0
        self._highest = -1
        self._older = 0
        self._levels: tuple[OrderBook | None, int, str] = (None, -1, "")

    @property
    def wants_snapshot(self) -> bool:
        """Whether one asked for from now on would bring it into step."""
        return self.is_subscribed and self.book is None

    @property
    def quote(self) -> Quote:
        """The best prices, while in step."""
        assert self.book is not None
        return Quote(self.book.best_bid, self.book.best_ask)

    def lose(self, cause: Cause) -> None:
        """Fall out of step; who is already, keeps the first cause."""
        if self.book is not None:
            self._highest = self.book.sequence
            self.book = None
            self.cause = cause
        self.detail = None
        self._drop_waiting()
        self.generation += 1

    def disconnect(self) -> None:
        """The frames have ended."""
        self.lose("disconnected")
        self.is_subscribed = False

    def take(self, diff: Diff) -> bool:
        """Take a frame; False when it shows that one is missing."""
        if self.book is not None:
            try:
                self.book.apply(diff)
            except OutOfStepError:
                self.lose("resync")
                self._wait(diff)
                return False
            return True
        self._wait(diff)
        return True

    def _wait(self, diff: Diff) -> None:
        # A frame proves that the subscription works, even if the answer to it was lost.
        self.is_subscribed = True
        if self._waiting:
            latest = self._waiting[-1].sequence
            if diff.sequence <= latest:
                return
            if diff.sequence > latest + 1:
                self._drop_waiting()
        self._waiting.append(diff)
        self._waiting_orders += len(diff.orders)
        while len(self._waiting) > MOST_WAITING or self._waiting_orders > MOST_WAITING_ORDERS:
            self._waiting_orders -= len(self._waiting.popleft().orders)
        self._highest = max(self._highest, diff.sequence)

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_orders = 0

    def seed(self, book: OrderBook) -> str | None:
        """Go on from a snapshot; returns why not, if so."""
        if self._waiting:
            first = self._waiting[0].sequence
            if first > book.sequence + 1:
                self._older += 1
                if self._older >= MOST_OLDER:
                    # One frame with a sequence from far ahead would else keep all others out.
                    self._older = 0
                    self._drop_waiting()
                return f"the snapshot ({book.sequence}) is older than the frames ({first})"
        elif book.sequence < self._highest and self._older < MOST_OLDER:
            self._older += 1
            return f"the snapshot ({book.sequence}) is older than what was seen ({self._highest})"
        for diff in self._waiting:
            book.apply(diff)
        self._drop_waiting()
        self._older = 0
        self._highest = -1
        self.book = book
        self.detail = None
        return None

    def sample(self, sampled_at: str) -> Sample:
        """The best levels now, while in step."""
        book = self.book
        assert book is not None
        known, sequence, levels = self._levels
        if known is not book or sequence != book.sequence:
            levels = (
                f'"bids":{_levels(book.bids(self._depth))},'
                f'"asks":{_levels(book.asks(self._depth))},"changed_at":{_instant(book.changed)}'
            )
            self._levels = (book, book.sequence, levels)
        bid, ask = self.quote
        payload = f'{{"sampled_at":"{sampled_at}",{levels}}}'
        return Sample(self.name, book.sequence, _or_none(bid), _or_none(ask), payload)


def _levels(levels: list[Level]) -> str:
    inside = ",".join(f'["{plain(price)}","{plain(amount)}"]' for price, amount in levels)
    return f"[{inside}]"


def _instant(milliseconds: int) -> str:
    if not milliseconds:
        return "null"
    return f'"{(_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()}"'


def _or_none(price: Decimal | None) -> str | None:
    return None if price is None else plain(price)
