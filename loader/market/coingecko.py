"""CoinGecko: the exchanges, and who else trades the markets of one of them.

pycoingecko knows the addresses; everything else of it is replaced. It would put the key into the
address, and so into every exception, would not retry, would sleep for as long as it is told to,
and reads prices into floats: here the session is ours, with the key in a header, and the body is
taken from the response before pycoingecko looks at it.

Sources: github.com/coingecko/coingecko-api-oas and docs.coingecko.com for the API; for its errors
man-c/pycoingecko#74 and #76, rotki/rotki#10292 (a key at the wrong host), l2beat/l2beat#4730 (429
as plain text); DrewCarlson/CoinGecko-Kotlin#16 for what comes past the last page.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import requests
from pycoingecko import CoinGeckoAPI

from loader.warehouse.errors import TerminalError
from loader.warehouse.values import any_text, bad, whole_number, zero_or_more
from loader.wire.json_text import Value, items_at, read_json
from loader.wire.pages import page_numbers, path_segment
from loader.wire.records import (
    Body,
    Parsed,
    ReadValue,
    Record,
    fields_of,
    key_text,
    read_all,
    required,
    text,
    unreadable,
)
from loader.wire.session import HttpReply, PoliteSession, Problem, answer_of, status_problem

EXCHANGES = "coingecko_exchanges"
TICKERS = "coingecko_tickers"

# What describes a record that is good without it.
DESCRIPTIVE: dict[str, ReadValue] = {
    "trust_score": whole_number,
    "trust_score_rank": whole_number,
    "trade_volume_24h_btc": zero_or_more,
}
DESCRIPTIVE_OF_TICKER: dict[str, ReadValue] = {"volume": zero_or_more}
DESCRIPTIVE_OF_MARKET: dict[str, ReadValue] = {"name": any_text}

URLS = {
    "demo": "https://api.coingecko.com/api/v3",
    "pro": "https://pro-api.coingecko.com/api/v3",
}
KEY_HEADERS = {"demo": "x-cg-demo-api-key", "pro": "x-cg-pro-api-key"}

_EXCHANGES_A_PAGE = 250
# What any of its counts fits in.
_MOST_DIGITS = 9

_WRONG_PLAN = {"10010", "10011"}

log = logging.getLogger(__name__)


class Listing(NamedTuple):
    """Something that comes in pages; `name` is what a caller remembers it by."""

    kind: Literal["exchanges", "exchange", "coin"]
    id: str = ""

    @property
    def name(self) -> str:
        """Such as `coin bitcoin`."""
        return f"{self.kind} {self.id}".strip()

    @property
    def table(self) -> str:
        """The raw table that its records are for."""
        return EXCHANGES if self.kind == "exchanges" else TICKERS


class Page(NamedTuple):
    """A page of a listing: its body, its number from 1 on, and whether none comes after it."""

    body: Body
    number: int
    is_last: bool


def judge(status: int, document: Any) -> Problem | None:
    """What a reply means; errors come in three shapes, and with status 200 too."""
    fields = document if isinstance(document, dict) else {}
    nested = fields.get("status")
    detail = nested if isinstance(nested, dict) else {}
    code = str(fields.get("error_code") or detail.get("error_code") or "")
    plain = fields.get("error")
    reason = detail.get("error_message") or (plain if isinstance(plain, str) else "")
    message = f"{code} {reason}".strip()
    if code == "429":
        return Problem("throttled", message)
    if code in _WRONG_PLAN:
        return Problem("terminal", f"{message}: set WAREHOUSE_COINGECKO_PLAN to the key's plan")
    if status == 403 and document is None:
        return Problem("throttled", "blocked at the edge")
    if status < 400 and message:
        return Problem("terminal", message)
    return status_problem(status, message)


class CoinGecko:
    """Fetches listings page by page; one object a thread."""

    def __init__(self, session: PoliteSession, url: str) -> None:
        self._api = CoinGeckoAPI()
        self._api.api_base_url = url.rstrip("/") + "/"
        self._api.session = session
        self._answer: HttpReply | None = None
        session.hooks["response"].append(self._keep)

    def pages(self, listing: Listing, first: int = 1) -> Iterator[Page]:
        """The pages of a listing, from one on: a caller that stored some goes on behind them.

        Entries may move between pages while they are read: the same one can come twice.
        """
        before = b""
        for number in page_numbers(f"coingecko: {listing.name}", first):
            body, headers = self._page(listing, number)
            digest = hashlib.sha256(body.text.encode()).digest()
            if digest == before:
                raise TerminalError(f"coingecko: page {number} of {listing.name} repeats the last")
            before = digest
            page = Page(body, number, _is_last(listing, body, headers, number))
            yield page
            if page.is_last:
                return

    def _page(self, listing: Listing, number: int) -> tuple[Body, dict[str, str]]:
        answer = self._call(self._caller(listing, number))
        body = Body(listing.table, listing.id, answer.received_at, answer.text)
        return body, dict(answer.headers)

    def _caller(self, listing: Listing, number: int) -> Callable[[], object]:
        # The order is named because the default one sorts by a column that is always null by now.
        if listing.kind == "exchanges":
            return lambda: self._api.get_exchanges_list(per_page=_EXCHANGES_A_PAGE, page=number)
        # pycoingecko puts it into the path as it is, and a coin's comes from a reply.
        name = path_segment(listing.id)
        if listing.kind == "exchange":
            return lambda: self._api.get_exchanges_tickers_by_id(
                name, page=number, order="base_target"
            )
        return lambda: self._api.get_coin_ticker_by_id(name, page=number, order="volume_desc")

    def _call(self, caller: Callable[[], object]) -> HttpReply:
        self._answer = None
        caller()
        assert self._answer is not None, "pycoingecko went another way than through our session"
        return self._answer

    def _keep(self, response: requests.Response, **_: object) -> None:
        self._answer = answer_of(response)


def coin_listings(records: Iterable[Record]) -> list[Listing]:
    """The coins of an exchange's tickers: all who share a market with it trade one of them."""
    coins: dict[str, Listing] = {}
    for record in records:
        ticker = read_json(record.payload)
        # What raw holds already was not always looked at by the rules of today.
        fields = ticker if isinstance(ticker, dict) else {}
        coin = fields.get("coin_id")
        if isinstance(coin, str) and coin:
            coins.setdefault(coin, Listing("coin", coin))
        else:
            log.warning(
                "coingecko: no coin is known for %s/%s: others who trade it are not looked for",
                fields.get("base"),
                fields.get("target"),
            )
    return list(coins.values())


def parse_exchanges(body: Body) -> Parsed:
    """A record for each exchange of a page."""
    return read_all(body, lambda body: items_at(body.text), _exchange)


def parse_tickers(body: Body) -> Parsed:
    """A record for each ticker of a page, under the exchange that it is of."""
    return read_all(body, _tickers, _ticker)


def _tickers(body: Body) -> list[Value]:
    return items_at(body.text, "tickers")


def _exchange(body: Body, value: Value) -> Record:
    fields = fields_of(value)
    text(fields, "name")
    return Record(
        body.received_at,
        key_text(fields, "id"),
        value.text,
        unreadable=unreadable(fields, DESCRIPTIVE),
    )


def _ticker(body: Body, value: Value) -> Record:
    fields = fields_of(value)
    key_text(fields, "base")
    key_text(fields, "target")
    market = required(fields, "market")
    if not isinstance(market, dict):
        bad("not_an_object", "market is not an object")
    of_market = unreadable(market, DESCRIPTIVE_OF_MARKET)
    return Record(
        body.received_at,
        key_text(market, "identifier"),
        value.text,
        unreadable=(
            *unreadable(fields, DESCRIPTIVE_OF_TICKER),
            *(f"market.{name}" for name in of_market),
        ),
    )


def _is_last(listing: Listing, body: Body, headers: dict[str, str], number: int) -> bool:
    """By the `total` of the reply; without one, only an empty page is the last for sure."""
    lower = {name.lower(): value for name, value in headers.items()}
    total, size = lower.get("total", ""), lower.get("per-page", "")
    if all(count.isdecimal() and len(count) <= _MOST_DIGITS for count in (total, size)):
        return number * int(size) >= int(total)
    document = read_json(body.text)
    if listing.kind != "exchanges" and isinstance(document, dict):
        document = document.get("tickers")
    return not document or not isinstance(document, list)
