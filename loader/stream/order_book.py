"""One book, order by order: what a snapshot and the frames after it make of it.

Prices and amounts are Decimals and are compared as numbers: the wire writes the same one with and
without trailing zeros.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import NamedTuple

from loader.warehouse.values import MAX_DIGITS, bad

BUY, SELL = 0, 1
# A hundred times the orders of the fullest book: past it the source only makes us keep things.
MOST_ORDERS = 100_000

# Enough digits for the sum of any amounts that a frame may hold.
_exact = Context(prec=2 * MAX_DIGITS).add


class Order(NamedTuple):
    """An order that rests in the book, or, without a price, one that has left it."""

    oid: str
    side: int
    price: Decimal | None
    amount: Decimal | None


class Diff(NamedTuple):
    """One frame: what happened between a sequence and the one before it."""

    book: str
    sequence: int
    orders: tuple[Order, ...]
    # milliseconds, by the source's clock
    sent: int


Level = tuple[Decimal, Decimal]


class OutOfStepError(Exception):
    """A frame is missing before this one."""


class _Side:
    """The orders of one side, by price."""

    def __init__(self) -> None:
        self.prices: list[Decimal] = []
        self.amounts: dict[Decimal, dict[str, Decimal]] = {}

    def put(self, oid: str, price: Decimal, amount: Decimal) -> None:
        level = self.amounts.get(price)
        if level is None:
            level = self.amounts[price] = {}
            insort(self.prices, price)
        level[oid] = amount

    def drop(self, oid: str, price: Decimal) -> None:
        level = self.amounts[price]
        del level[oid]
        if not level:
            del self.amounts[price]
            del self.prices[bisect_left(self.prices, price)]

    def levels(self, prices: Iterable[Decimal]) -> list[Level]:
        """Each price with the sum of its orders."""
        found = []
        for price in prices:
            first, *others = self.amounts[price].values()
            for amount in others:
                first = _exact(first, amount)
            found.append((price, first))
        return found


class OrderBook:
    """A book in step with its source up to `sequence`.

    What enters it is within the limits of `values`. Raises BadValueError past MOST_ORDERS.
    """

    def __init__(self, sequence: int, orders: Iterable[Order] = (), changed: int = 0) -> None:
        self.sequence = sequence
        # milliseconds, by the source's clock
        self.changed = changed
        self._places: dict[str, tuple[int, Decimal]] = {}
        self._sides = (_Side(), _Side())
        for order in orders:
            self._set(order)

    def apply(self, diff: Diff) -> bool:
        """Take a frame; False when it is known already.

        Raises OutOfStepError when one before it is missing, BadValueError when there is no room
        for it; of what was in it, some may be in the book then.
        """
        if diff.sequence != self.sequence + 1:
            if diff.sequence <= self.sequence:
                return False
            raise OutOfStepError(f"{diff.sequence} came after {self.sequence}")
        for order in diff.orders:
            self._set(order)
        self.sequence = diff.sequence
        self.changed = diff.sent or self.changed
        return True

    def _set(self, order: Order) -> None:
        oid, side, price, amount = order
        place = self._places.pop(oid, None)
        if place is not None:
            self._sides[place[0]].drop(oid, place[1])
        if price is not None and amount:
            if len(self._places) >= MOST_ORDERS:
                bad("too_many", f"over {MOST_ORDERS} orders in a book")
            self._sides[side].put(oid, price, amount)
            self._places[oid] = (side, price)

    @property
    def best_bid(self) -> Decimal | None:
        """The highest price that somebody pays."""
        prices = self._sides[BUY].prices
        return prices[-1] if prices else None

    @property
    def best_ask(self) -> Decimal | None:
        """The lowest price that somebody asks."""
        prices = self._sides[SELL].prices
        return prices[0] if prices else None

    def bids(self, depth: int) -> list[Level]:
        """The best levels of the buyers, best first."""
        side = self._sides[BUY]
        return side.levels(side.prices[: -depth - 1 : -1])

    def asks(self, depth: int) -> list[Level]:
        """The best levels of the sellers, best first."""
        side = self._sides[SELL]
        return side.levels(side.prices[:depth])
