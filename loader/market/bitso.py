"""Bitso's public REST API: tickers, order books and the catalogue of books.

A crossed book and an empty side are states of the market and are kept: the first is flagged
downstream, the second leaves `bid` or `ask` empty, for the second that was observed is not a gap.
A price that is zero, negative or no number is an error of the wire and goes to quarantine, and so
does a level with such an amount, because the best price could not be trusted.

Sources: docs.bitso.com/bitso-api/docs (ticker, list-order-book, list-available-books,
throttling-errors-08-http-420, validation-errors-03-http-400); what the wire does otherwise is in
github.com/nemanull/arbitrage-observatory, docs/profiles/bitso/rest.md.
"""

import contextlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from loader.warehouse.text import quoted
from loader.warehouse.values import PLAIN_POSITIVE, bad, book_name, counter, positive
from loader.wire.json_text import ShapeError, Value, items_at, value_at
from loader.wire.records import (
    Body,
    Parsed,
    Record,
    fields_of,
    instant,
    read_all,
    required,
)
from loader.wire.session import PoliteSession, Problem, status_problem

TICKERS = "bitso_tickers"
ORDER_BOOKS = "bitso_order_books"
BOOKS = "bitso_books"

# For so many books one call that returns all tickers costs less of the rate budget.
MANY_BOOKS = 5

# An unknown book: the ticker answers with code 20, a number of API v2, the others with 0301.
_UNKNOWN_BOOK = {"0301", "20"}


def judge(status: int, document: Any) -> Problem | None:
    """What a reply means: by status, by the presence of an error, by `success`.

    Codes come as text and as numbers; the ticker's errors have no `success` at all (the same
    rest.md; the categories of codes are in the pages on errors).
    """
    if status == 403:
        # The API is public: a 403 comes from the network edge before it, which blocks this address.
        return Problem("throttled", "blocked at the edge")
    fields = document if isinstance(document, dict) else {}
    error = fields.get("error")
    if isinstance(error, dict):
        code = str(error.get("code", ""))
        message = f"{code} {error.get('message', '')}".strip()
        if code in _UNKNOWN_BOOK:
            return Problem("not found", message)
        if code.startswith("08"):
            return Problem("throttled", message)
        if code.startswith("01") or code in {"1000", "1003"}:
            return Problem("transient", message)
        return status_problem(status, message) or Problem("terminal", message)
    if document is not None and status < 400 and fields.get("success") is not True:
        return Problem("terminal", "the reply is no success and gives no reason")
    return status_problem(status, str(error or ""))


class Bitso:
    """Fetches bodies; one object a thread."""

    def __init__(self, session: PoliteSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    @property
    def held_up_seconds(self) -> float:
        """For how long its call has been waiting for the rate budget; asked by another thread."""
        return self._session.held_up_seconds

    def ticker(self, book: str = "") -> Body:
        """The ticker of a book, or of all there are."""
        return self._fetch(TICKERS, "ticker", book, {"book": book} if book else {})

    def order_book(self, book: str) -> Body:
        """The 50 best price levels of each side of a book."""
        return self._fetch(ORDER_BOOKS, "order_book", book, {"book": book, "aggregate": "true"})

    def all_orders(self, book: str) -> Body:
        """Every order of a book, each by itself: what the stream's frames go on from."""
        return self._fetch(ORDER_BOOKS, "order_book", book, {"book": book, "aggregate": "false"})

    def available_books(self) -> Body:
        """The catalogue of books."""
        return self._fetch(BOOKS, "available_books", "", {})

    def _fetch(self, source: str, path: str, key: str, params: dict[str, str]) -> Body:
        answer = self._session.fetch(f"{self._url}/{path}", params)
        return Body(source, key, answer.received_at, answer.text)


def ticker_calls(books: Sequence[str]) -> list[str]:
    """What to ask `ticker` for: each book, or all there are in one call when many are wanted."""
    return list(dict.fromkeys(books)) if len(books) < MANY_BOOKS else [""]


def unknown_books(catalogue: Body, books: Iterable[str]) -> list[str]:
    """Those of the configured books that are not in the catalogue."""
    known = {record.key for record in parse_books(catalogue) if isinstance(record, Record)}
    return [book for book in books if book not in known]


def parse_tickers(body: Body) -> Parsed:
    """A record for each ticker in the reply, which holds one or an array of them."""
    return read_all(body, _one_or_many, _ticker)


def parse_order_books(body: Body) -> Parsed:
    """The one record of an order book."""
    return read_all(body, _one, _order_book)


def parse_books(body: Body) -> Parsed:
    """A record for each book of the catalogue."""
    return read_all(body, _many, _book)


def _one(body: Body) -> list[Value]:
    return [value_at(body.text, "payload")]


def _many(body: Body) -> list[Value]:
    found = items_at(body.text, "payload")
    if not found:
        # An empty list is a fault of the source. It must not be read as "every book is delisted".
        raise ShapeError("the reply is empty")
    return found


def _one_or_many(body: Body) -> list[Value]:
    # Most replies hold many: trying that first reads most replies only once.
    try:
        return _many(body)
    except ShapeError:
        one = value_at(body.text, "payload")
        if isinstance(one.data, list):
            raise
        return [one]


def _ticker(body: Body, value: Value) -> Record:
    fields = fields_of(value)
    book = book_name("book", required(fields, "book"))
    if body.key and book != body.key:
        bad("wrong_book", f"{body.key} was asked for, {book} came")
    instant(fields, "created_at")
    bid, ask = (
        None if required(fields, side) is None else positive(side, fields[side])
        for side in ("bid", "ask")
    )
    return Record(body.received_at, book, value.text, bid, ask)


def _order_book(body: Body, value: Value) -> Record:
    fields = fields_of(value)
    # Not in the reply: it is the book that was asked for.
    book_name("book", body.key)
    instant(fields, "updated_at")
    # Nothing promises that the best level comes first.
    bids = _prices(body.key, "bids", required(fields, "bids"))
    asks = _prices(body.key, "asks", required(fields, "asks"))
    return Record(
        body.received_at,
        body.key,
        value.text,
        max(bids, default=None),
        min(asks, default=None),
        counter("sequence", required(fields, "sequence")),
    )


def _prices(book: str, side: str, levels: Any) -> list[Decimal]:
    if not isinstance(levels, list):
        bad("not_an_array", f"{side} is not an array")
    with contextlib.suppress(TypeError, KeyError, AttributeError):
        if all(
            PLAIN_POSITIVE(level["price"])
            and PLAIN_POSITIVE(level["amount"])
            and level.get("book", book) == book
            for level in levels
        ):
            return [Decimal(level["price"]) for level in levels]
    # The fast check failed: look at each level, which says what is wrong, or that nothing is.
    return [_price(book, side, level) for level in levels]


def _price(book: str, side: str, level: Any) -> Decimal:
    if not isinstance(level, dict):
        bad("not_an_object", f"a level of {side} is not an object")
    if level.get("book", book) != book:
        bad("wrong_book", f"{book} was asked for, a level of {quoted(level['book'])} came")
    positive(f"an amount of {side}", required(level, "amount"))
    return positive(f"a price of {side}", required(level, "price"))


def _book(body: Body, value: Value) -> Record:
    book = book_name("book", required(fields_of(value), "book"))
    return Record(body.received_at, book, value.text)
