"""The sources aimed at a simulator, with a clock on which waiting takes no time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

from loader.market import bitso, coincap, coingecko
from loader.market.coingecko import Listing
from loader.warehouse.settings import get_settings
from loader.wire.rate_budget import LocalBudget, RateLimits
from loader.wire.records import BadRecord, Body, Parsed, Record
from loader.wire.session import Manners, PoliteSession
from tests.clocks import SkippingClock
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import DEMO_KEY
from tests.exchange.server import Simulator


class Rig:
    """A simulator, the sources on it, and their budgets."""

    def __init__(self, simulator: Simulator, timeout: float = 5.0, attempts: int = 3) -> None:
        self.simulator = simulator
        self.clock = SkippingClock()
        self._manners = Manners(timeout, attempts)
        self.bitso_budget = LocalBudget("bitso", RateLimits(50), self.clock)
        self.bitso = bitso.Bitso(
            PoliteSession(
                "bitso", bitso.judge, self.bitso_budget, manners=self._manners, clock=self.clock
            ),
            f"{simulator.url}/bitso/v3",
        )

    def coingecko(self, plan: str = "demo", key: str | None = DEMO_KEY) -> coingecko.CoinGecko:
        """CoinGecko, on the host of a plan and with some key."""
        session = PoliteSession(
            "coingecko",
            coingecko.judge,
            LocalBudget("coingecko", RateLimits(30, freeze=5), self.clock),
            key_header=(coingecko.KEY_HEADERS[plan], key) if key else None,
            manners=self._manners,
            clock=self.clock,
        )
        host = "coingecko" if plan == "demo" else "coingecko-pro"
        return coingecko.CoinGecko(session, f"{self.simulator.url}/{host}/api/v3")

    def coincap(self, key: str = KEY, version: str = "v3") -> coincap.CoinCap:
        """CoinCap, with some key."""
        session = PoliteSession(
            "coincap",
            coincap.judge,
            LocalBudget("coincap", RateLimits(30, freeze=5), self.clock),
            key_header=("Authorization", f"Bearer {key}"),
            manners=self._manners,
            clock=self.clock,
        )
        return coincap.CoinCap(session, f"{self.simulator.url}/coincap/{version}")


class Source(NamedTuple):
    """How the records of a source are got, and the requests that it takes."""

    path: str
    fetch: Callable[[Rig], Iterator[Body]]
    parse: Callable[[Body], Parsed]


def _pages(rig: Rig, listing: Listing) -> Iterator[Body]:
    return (page.body for page in rig.coingecko().pages(listing))


SOURCES = {
    "ticker": Source(
        "/bitso/v3/ticker", lambda rig: iter([rig.bitso.ticker("btc_mxn")]), bitso.parse_tickers
    ),
    "all_tickers": Source(
        "/bitso/v3/ticker", lambda rig: iter([rig.bitso.ticker()]), bitso.parse_tickers
    ),
    "order_book": Source(
        "/bitso/v3/order_book",
        lambda rig: iter([rig.bitso.order_book("btc_mxn")]),
        bitso.parse_order_books,
    ),
    "books": Source(
        "/bitso/v3/available_books",
        lambda rig: iter([rig.bitso.available_books()]),
        bitso.parse_books,
    ),
    "exchanges": Source(
        "/coingecko/api/v3/exchanges?",
        lambda rig: _pages(rig, Listing("exchanges")),
        coingecko.parse_exchanges,
    ),
    "exchange_tickers": Source(
        "/coingecko/api/v3/exchanges/bitso/tickers",
        lambda rig: _pages(rig, Listing("exchange", "bitso")),
        coingecko.parse_tickers,
    ),
    "coin_tickers": Source(
        "/coingecko/api/v3/coins/bitcoin/tickers",
        lambda rig: _pages(rig, Listing("coin", "bitcoin")),
        coingecko.parse_tickers,
    ),
    "exchange_volumes": Source(
        "/coincap/v3/exchanges", lambda rig: rig.coincap().exchanges(), coincap.parse_exchanges
    ),
}


def collect(source: str, rig: Rig) -> tuple[list[Record], list[BadRecord]]:
    """Everything that a source brings, good and bad."""
    bodies = list(SOURCES[source].fetch(rig))
    parsed = list(chain.from_iterable(map(SOURCES[source].parse, bodies)))
    texts = [body.text for body in bodies]
    records = [one for one in parsed if isinstance(one, Record)]
    for record in records:
        # The value's own text, not another way to write it.
        assert any(record.payload in text for text in texts)
    return records, [one for one in parsed if isinstance(one, BadRecord)]


@contextmanager
def settings(**values: str) -> Iterator[None]:
    """Settings for as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(values)
    get_settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()
