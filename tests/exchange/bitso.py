"""Bitso's public REST API, version 3."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.exchange.live import LiveMarket
from tests.exchange.market import BOOKS, Level, Market, Snapshot, plain
from tests.exchange.replies import Reply, Request

CALLS_PER_MINUTE = 60
LOCKOUT = timedelta(minutes=1)
RATE_LIMIT_ERROR = {"code": "0801", "message": "You have hit the request rate-limit"}


class BitsoApi:
    """Answers below `/v3`; past 60 calls a minute it locks the caller out for another one."""

    def __init__(
        self, market: Market, live: LiveMarket | None = None, *, rate_limited: bool = True
    ) -> None:
        self.market = market
        self.live = live
        self.rate_limited = rate_limited
        self._calls: list[datetime] = []
        self._locked_until: datetime | None = None

    def answer(self, request: Request) -> Reply:
        """One call."""
        if self.rate_limited and self._is_too_much(request.at):
            return Reply(420, {"success": False, "error": RATE_LIMIT_ERROR})
        book = request.query.get("book")
        match request.path.strip("/"):
            case "ticker":
                return self._ticker(book, request.at)
            case "order_book":
                return self._order_book(request)
            case "trades":
                return self._trades(book, request.at)
            case "available_books":
                return _success([_catalogue_row(name) for name in BOOKS])
        return Reply(404, text="")

    def _is_too_much(self, at: datetime) -> bool:
        if self._locked_until and at < self._locked_until:
            return True
        self._calls = [call for call in self._calls if call > at - timedelta(minutes=1)] + [at]
        if len(self._calls) <= CALLS_PER_MINUTE:
            return False
        self._locked_until = at + LOCKOUT
        return True

    def _ticker(self, book: str | None, at: datetime) -> Reply:
        if book is None:
            return _success([self.ticker(name, at) for name in BOOKS])
        if book not in BOOKS:
            # The one endpoint that still has version 2's code, and no `success`.
            error = {"code": 20, "message": f"Unknown OrderBook {book}"}
            return Reply(400, {"error": error})
        return _success(self.ticker(book, at))

    def ticker(self, book: str, at: datetime) -> dict[str, Any]:
        """The payload of a ticker."""
        bid, ask = self.market.best(book, at)
        quotes: tuple[Decimal | None, Decimal | None] = (bid, ask)
        if self.live:
            with self.live.lock:
                quotes = self.live.books[book].best()
        last = bid if int(at.timestamp()) % 2 else ask
        before = self.market.price(book, at - timedelta(days=1))
        average = (last + before) / 2
        return {
            "high": plain(max(last, before).quantize(bid)),
            "last": plain(last),
            "created_at": _stamp(at),
            "book": book,
            "volume": plain(self.market.volume(book, at)),
            "vwap": plain(average.quantize(bid.scaleb(-8))),
            "low": plain(min(last, before).quantize(bid)),
            "ask": quotes[1] and plain(quotes[1]),
            "bid": quotes[0] and plain(quotes[0]),
            "change_24": plain((last - before).quantize(bid)),
            "rolling_average_change": {"6": plain((last / before - 1).quantize(Decimal("1e-4")))},
        }

    def _order_book(self, request: Request) -> Reply:
        book, at = request.query.get("book"), request.at
        if book not in BOOKS:
            error = {
                "code": "0301",
                "details": [],
                "message": f"Unknown order book {book or 'missing'}",
            }
            return Reply(400, {"error": error, "success": False})
        if request.query.get("aggregate") == "false":
            return _success(self.whole_book(book, at))
        return _success(self.order_book(book, at))

    def whole_book(self, book: str, at: datetime, back: int = 0) -> dict[str, Any]:
        """The payload of an order book, order by order, as it was some frames ago."""
        if self.live is None:
            snapshot = self.market.snapshot(book, at)
            sides = [
                [{**_level(book, level), "oid": f"{side}{n:015}"} for n, level in enumerate(levels)]
                for side, levels in (("b", snapshot.bids), ("a", snapshot.asks))
            ]
            sequence = snapshot.sequence
        else:
            with self.live.lock:
                sequence, *orders = self.live.books[book].orders_at(back)
            sides = [
                [{**_level(book, Level(o.price, o.amount)), "oid": o.oid} for o in side]
                for side in orders
            ]
        return {
            "updated_at": _stamp(at),
            "bids": sides[0],
            "asks": sides[1],
            "sequence": str(sequence),
        }

    def order_book(self, book: str, at: datetime, levels: int = 50) -> dict[str, Any]:
        """The payload of an aggregated order book."""
        if self.live is None:
            snapshot = self.market.snapshot(book, at, levels)
        else:
            with self.live.lock:
                live = self.live.books[book]
                snapshot = Snapshot(live.sequence, *map(list, live.levels(levels)))
        return {
            "updated_at": _stamp(at),
            "bids": [_level(book, level) for level in snapshot.bids],
            "asks": [_level(book, level) for level in snapshot.asks],
            "sequence": str(snapshot.sequence),
        }

    def _trades(self, book: str | None, at: datetime) -> Reply:
        if book not in BOOKS:
            # An unknown book looks like an empty market here.
            return _success([])
        bid, _ = self.market.best(book, at)
        trade = {
            "book": book,
            "created_at": f"{at:%Y-%m-%dT%H:%M:%S}+0000",
            "amount": "0.00025",
            "maker_side": "buy",
            "price": plain(bid),
            "tid": int(at.timestamp()),
        }
        return _success([trade])


def _success(payload: Any) -> Reply:
    return Reply(200, {"success": True, "payload": payload})


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}+00:00"


def _level(book: str, level: Level) -> dict[str, str]:
    return {"book": book, "price": plain(level.price), "amount": plain(level.amount)}


def _catalogue_row(book: str) -> dict[str, Any]:
    fees = {"maker": "0.003", "taker": "0.0036"}
    return {
        "book": book,
        "default_chart": "candle",
        "minimum_price": "0.0001",
        "fees": {"flat_rate": fees, "structure": [{"volume": "1500000", **fees}]},
        "margin_enabled": False,
        "maximum_price": "100000000",
        "minimum_amount": "0.00005",
        "maximum_amount": "500",
        "minimum_value": "10",
        "maximum_value": "10000000",
        "tick_size": "0.01",
    }
