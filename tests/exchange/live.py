"""Books that live: order by order and frame by frame, around the prices of a market.

What a book was is kept by sequence, so that a reader of the stream can be held against it.
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from tests.exchange.market import BOOKS, DEAD_BOOK, THIN_BOOK, Level, Market, plain, tick

BUY, SELL = 0, 1
TOP = 20
_OID = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LONGEST_SWEEP = 11
# What happens to a full book, and how often.
_HABITS = {"cancel": 4, "fill": 1, "part": 2, "modify": 2, "split": 2, "both": 1}
# Never more at once, however far the clock jumped.
_MOST_DUE_SECONDS = 2.0


class Order(NamedTuple):
    """An order in a book."""

    oid: str
    side: int
    price: Decimal
    amount: Decimal
    value: Decimal
    created: int


class Frame(NamedTuple):
    """One message of the channel diff-orders, not yet as text."""

    book: str
    sequence: int
    entries: list[dict[str, Any]]
    sent: int

    def document(self) -> dict[str, Any]:
        """As the wire has it."""
        return {
            "type": "diff-orders",
            "book": self.book,
            "sequence": self.sequence,
            "payload": self.entries,
            "sent": self.sent,
        }


class BookState(NamedTuple):
    """A book right after a sequence: its best levels, and how to get back before it."""

    sequence: int
    at: datetime
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    undo: list[tuple[str, Order | None]]


class Side:
    """The orders of one side, as price levels."""

    def __init__(self) -> None:
        self._prices: list[Decimal] = []
        self._orders: dict[Decimal, dict[str, Order]] = {}

    def add(self, order: Order) -> None:
        """Put an order in."""
        if order.price not in self._orders:
            insort(self._prices, order.price)
        self._orders.setdefault(order.price, {})[order.oid] = order

    def remove(self, order: Order) -> None:
        """Take an order out."""
        level = self._orders[order.price]
        del level[order.oid]
        if not level:
            del self._orders[order.price]
            del self._prices[bisect_left(self._prices, order.price)]

    def levels(self, side: int, most: int) -> tuple[Level, ...]:
        """The best levels, best first."""
        prices = self._prices[: -most - 1 : -1] if side == BUY else self._prices[:most]
        return tuple(Level(price, self._total(price)) for price in prices)

    def _total(self, price: Decimal) -> Decimal:
        return sum((order.amount for order in self._orders[price].values()), Decimal(0))

    def orders(self, side: int) -> Iterator[Order]:
        """All of them, best first."""
        for price in reversed(self._prices) if side == BUY else self._prices:
            yield from self._orders[price].values()


@dataclass
class Pace:
    """How much of a book there is, and is kept."""

    orders: int = 80
    history: int = 5000


class LiveBook:
    """One book."""

    def __init__(self, market: Market, book: str, at: datetime, pace: Pace) -> None:
        self.book = book
        self.history: dict[int, BookState] = {}
        self._market = market
        self._pace = pace
        self._random = Random(f"{market.seed} {book}")
        self._orders: dict[str, Order] = {}
        self._sides = (Side(), Side())
        self._step = 3 * tick(book)
        self._pending: list[Order] = []
        start = market.snapshot(book, at)
        self.sequence = start.sequence
        for side, levels in ((BUY, start.bids), (SELL, start.asks)):
            for n in range(self._depth(side)):
                level = levels[n % len(levels)]
                self._put(self._new(side, level.price, at))
        self._remember(at, [])

    def _depth(self, side: int) -> int:
        return 14 if self.book == THIN_BOOK and side == BUY else self._pace.orders

    # ---------------------------------------------------------- what moves

    def move(self, at: datetime) -> Frame:
        """Let something happen."""
        changes = self._changes(at)
        return self._frame(at, changes)

    def empty(self, side: int, at: datetime) -> Frame:
        """Let every order of one side be cancelled."""
        gone = list(self._sides[side].orders(side))
        return self._frame(at, [(order, "cancelled") for order in gone])

    def _changes(self, at: datetime) -> list[tuple[Order, str]]:
        if self._pending:
            return [(self._pending.pop(), "open")]
        bid, ask = self._market.best(self.book, at)
        swept = [
            *(one for one in self._sides[BUY].orders(BUY) if one.price >= ask),
            *(one for one in self._sides[SELL].orders(SELL) if one.price <= bid),
        ]
        if swept:
            return [(order, "completed") for order in swept[:_LONGEST_SWEEP]]
        side = self._random.choice((BUY, SELL))
        orders = list(self._sides[side].orders(side))
        touch = bid if side == BUY else ask
        if len(orders) < self._depth(side):
            return [(self._new(side, self._price(side, touch), at), "open")]
        is_behind = (
            orders[0].price < bid - self._step
            if side == BUY
            else orders[0].price > (ask + self._step)
        )
        if is_behind:
            return [
                (orders[-1], "cancelled"),
                (self._new(side, touch, at), "open"),
            ]
        return self._routine(side, orders, touch, at)

    def _routine(
        self, side: int, orders: list[Order], touch: Decimal, at: datetime
    ) -> list[tuple[Order, str]]:
        any_one, best = self._random.choice(orders), orders[0]
        match self._random.choices(list(_HABITS), list(_HABITS.values())):
            case ["cancel"]:
                return [(any_one, "cancelled")]
            case ["fill"]:
                return [(best, "completed")]
            case ["part"]:
                rest = max((best.amount / 2).quantize(Decimal("1e-8")), Decimal("1e-8"))
                return [(best._replace(amount=rest), "open")]
            case ["modify"]:
                moved = any_one._replace(price=self._price(side, touch))
                return [(any_one, "cancelled"), (moved, "open")]
            case ["split"]:
                # the new price comes with the next frame
                self._pending.append(any_one._replace(price=self._price(side, touch)))
                return [(any_one, "cancelled")]
        return [
            (any_one, "cancelled"),
            (self._new(side, self._price(side, touch), at), "open"),
        ]

    def _price(self, side: int, touch: Decimal) -> Decimal:
        away = min(int(self._random.expovariate(0.15)), 60) * self._step
        return touch - away if side == BUY else touch + away

    def _new(self, side: int, price: Decimal, at: datetime) -> Order:
        oid = "".join(self._random.choices(_OID, k=16))
        worth = Decimal(self._random.randrange(100, 2_000_000)) / 100
        amount = max((worth / price).quantize(Decimal("1e-8")), Decimal("1e-8"))
        return Order(oid, side, price, amount, worth, _millis(at))

    def _frame(self, at: datetime, changes: list[tuple[Order, str]]) -> Frame:
        undo: list[tuple[str, Order | None]] = []
        entries = []
        for order, status in changes:
            undo.append((order.oid, self._orders.get(order.oid)))
            self._drop(order.oid)
            if status == "open":
                self._put(order)
            entries.append(_entry(order, status, at))
        self.sequence += 1
        self._remember(at, undo)
        return Frame(self.book, self.sequence, entries, _millis(at))

    def _put(self, order: Order) -> None:
        self._orders[order.oid] = order
        self._sides[order.side].add(order)

    def _drop(self, oid: str) -> None:
        order = self._orders.pop(oid, None)
        if order:
            self._sides[order.side].remove(order)

    def _remember(self, at: datetime, undo: list[tuple[str, Order | None]]) -> None:
        bids, asks = (self._sides[side].levels(side, TOP) for side in (BUY, SELL))
        self.history[self.sequence] = BookState(self.sequence, at, bids, asks, undo)
        if len(self.history) > self._pace.history:
            del self.history[next(iter(self.history))]

    # --------------------------------------------------------- what is read

    def best(self) -> tuple[Decimal | None, Decimal | None]:
        """The best bid and ask."""
        state = self.history[self.sequence]
        bid, ask = (side[0].price if side else None for side in (state.bids, state.asks))
        return bid, ask

    def levels(self, most: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """The best price levels of both sides."""
        return self._sides[BUY].levels(BUY, most), self._sides[SELL].levels(SELL, most)

    def orders_at(self, back: int = 0) -> tuple[int, list[Order], list[Order]]:
        """The sequence and all orders, best first, as they were some frames ago."""
        orders = dict(self._orders)
        sequence = self.sequence
        while back and sequence - 1 in self.history:
            for oid, before in reversed(self.history[sequence].undo):
                orders.pop(oid, None)
                if before:
                    orders[oid] = before
            sequence -= 1
            back -= 1
        bids = [order for order in orders.values() if order.side == BUY]
        asks = [order for order in orders.values() if order.side == SELL]
        return (
            sequence,
            sorted(bids, key=lambda order: -order.price),
            sorted(asks, key=lambda order: order.price),
        )


class LiveMarket:
    """Every book, moving at so many frames a second all together."""

    def __init__(
        self, market: Market, at: datetime, frames_per_second: float, pace: Pace | None = None
    ) -> None:
        self.rate = frames_per_second
        self.lock = threading.RLock()
        self.paused = {DEAD_BOOK}
        self.books = {book: LiveBook(market, book, at, pace or Pace()) for book in BOOKS}
        self._random = Random(market.seed)
        self._moved_at = at
        self._owed = 0.0

    def due(self, at: datetime) -> list[Frame]:
        """Let everything happen that is due."""
        with self.lock:
            passed = (at - self._moved_at) / timedelta(seconds=1)
            self._moved_at = at
            self._owed += self.rate * min(passed, _MOST_DUE_SECONDS)
            count = int(self._owed)
            self._owed -= count
            alive = [book for book in BOOKS if book not in self.paused]
            chosen = self._random.choices(alive, k=count) if alive else []
            return [self.books[book].move(at) for book in chosen]

    def states(self, book: str, sequences: list[int]) -> dict[str, Any]:
        """What a book was, by sequence; those that are forgotten are left out."""
        with self.lock:
            history = self.books[book].history
            return {
                str(sequence): _as_json(history[sequence], history.get(sequence + 1))
                for sequence in sequences
                if sequence in history
            }


def _as_json(state: BookState, following: BookState | None) -> dict[str, Any]:
    return {
        "from": state.at.isoformat(),
        "until": following and following.at.isoformat(),
        "bids": [[plain(level.price), plain(level.amount)] for level in state.bids],
        "asks": [[plain(level.price), plain(level.amount)] for level in state.asks],
    }


def _entry(order: Order, status: str, at: datetime) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "o": order.oid,
        "d": order.created,
        "r": padded(order.price),
        "t": order.side,
        "s": status,
        "z": _millis(at),
    }
    if status != "completed":
        entry |= {"a": padded(order.amount), "v": padded(order.value)}
    return entry


def padded(number: Decimal) -> str:
    """As the stream writes numbers: eight decimals, more where it takes more."""
    decimals = max(8, -int(number.as_tuple().exponent))
    return f"{number:.{decimals}f}"


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)
