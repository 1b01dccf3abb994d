"""The sources aimed at a simulator, with a clock on which waiting takes no time."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from loader.market import bitso, coincap, coingecko
from loader.market.coingecko import Listing
from loader.wire.rate_budget import Budget, LocalBudget, RateLimits
from loader.wire.records import BadRecord, Body, Parsed, Record
from loader.wire.session import Judge, Manners, PoliteSession
from tests.clocks import ManualClock, SkippingClock
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import DEMO_KEY
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS


class SourcesRig:
    """A simulator, the sources on it, and their budgets.

    Waiting takes no time here, and a reply may take any; only about a path that is called
    `impatient` they give up after a tenth of a second, on the machine's own clock.
    """

    def __init__(
        self,
        simulator: Simulator,
        attempts: int = 3,
        impatient: str = "",
        clock: ManualClock | None = None,
    ) -> None:
        self.simulator = simulator
        self.clock = clock or SkippingClock(runs=bool(impatient))
        self._attempts = attempts
        self._impatient = impatient
        self.bitso_budget = LocalBudget("bitso", RateLimits(50), self.clock)
        self.bitso = bitso.Bitso(
            self._session("bitso", bitso.judge, self.bitso_budget), f"{simulator.url}/bitso/v3"
        )

    def _session(
        self, source: str, judge: Judge, budget: Budget, key_header: tuple[str, str] | None = None
    ) -> PoliteSession:
        def session(timeout: float) -> PoliteSession:
            return PoliteSession(
                source, judge, budget, key_header=key_header,
                manners=Manners(timeout, self._attempts), clock=self.clock,
            )  # fmt: skip

        made = session(LAST_RESORT_SECONDS)
        if self._impatient:
            url = self.simulator.url + self._impatient
            made.mount(url, session(0.1).get_adapter(url))
        return made

    def coingecko(self, plan: str = "demo", key: str | None = DEMO_KEY) -> coingecko.CoinGecko:
        """CoinGecko, on the host of a plan and with some key."""
        budget = LocalBudget("coingecko", RateLimits(30, freeze=5), self.clock)
        header = (coingecko.KEY_HEADERS[plan], key) if key else None
        host = "coingecko" if plan == "demo" else "coingecko-pro"
        return coingecko.CoinGecko(
            self._session("coingecko", coingecko.judge, budget, header),
            f"{self.simulator.url}/{host}/api/v3",
        )

    def coincap(self, key: str = KEY, version: str = "v3") -> coincap.CoinCap:
        """CoinCap, with some key."""
        budget = LocalBudget("coincap", RateLimits(30, freeze=5), self.clock)
        header = ("Authorization", f"Bearer {key}")
        return coincap.CoinCap(
            self._session("coincap", coincap.judge, budget, header),
            f"{self.simulator.url}/coincap/{version}",
        )


class Source(NamedTuple):
    """How the records of a source are got, and the requests that it takes."""

    path: str
    fetch: Callable[[SourcesRig], Iterator[Body]]
    parse: Callable[[Body], Parsed]


def _pages(rig: SourcesRig, listing: Listing) -> Iterator[Body]:
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


def collect(source: str, rig: SourcesRig) -> tuple[list[Record], list[BadRecord]]:
    """Everything that a source brings, good and bad."""
    bodies = list(SOURCES[source].fetch(rig))
    parsed = list(chain.from_iterable(map(SOURCES[source].parse, bodies)))
    texts = [body.text for body in bodies]
    records = [one for one in parsed if isinstance(one, Record)]
    for record in records:
        # The value's own text, not another way to write it.
        assert any(record.payload in text for text in texts)
    return records, [one for one in parsed if isinstance(one, BadRecord)]
