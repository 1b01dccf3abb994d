"""A market that moves: every price a pure function of a seed and a moment.

Nothing is stored, so that two servers with one seed and one clock say the same, and any moment can
be asked for in any order.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

# Quotes of Bitso's books as of 2026, and roughly what one dollar is in each.
_QUOTES = {
    "usd": "1", "mxn": "17.9", "usdt": "1", "brl": "5.2", "ars": "1450", "cop": "4050",
    "usds": "1", "btc": "0.00000962",
}  # fmt: skip
_DOLLARS = {
    "btc": "104000", "eth": "3900", "xrp": "2.4", "ltc": "98", "bch": "480", "sol": "178",
    "ada": "0.62", "doge": "0.19", "avax": "24.5", "link": "17.2", "dot": "4.1", "uni": "7.6",
    "aave": "240", "mana": "0.27", "bat": "0.2", "dai": "1", "trx": "0.3", "paxg": "4010",
    "shib": "0.00001012", "pepe": "0.00000705", "sand": "0.24", "grt": "0.071", "bar": "0.9",
    "mkr": "1450", "ape": "0.44", "crv": "0.55", "usd": "1", "tusd": "1",
}  # fmt: skip
_MAJORS = {
    "usd": [major for major in _DOLLARS if major not in ("usd", "tusd")],
    "mxn": ["btc", "eth", "xrp", "ltc", "bch", "sol", "ada", "mana", "bat", "dai", "usd", "doge"],
    "usdt": ["btc", "eth", "sol", "xrp", "doge"],
    "brl": ["btc", "eth", "sol", "usd"],
    "ars": ["btc", "eth", "usd"],
    "cop": ["btc", "usd"],
    "usds": ["btc"],
    "btc": ["tusd"],
}
BOOKS = [f"{major}_{minor}" for minor, majors in _MAJORS.items() for major in majors]
# Its sequence stands still, and so does its price.
DEAD_BOOK = "tusd_btc"
# One side of it is short.
THIN_BOOK = "bar_usd"
LEVELS = 50

# What the spread widens to, by turns: calm, then above 0.1 %, 0.5 % and 1 %.
_SPIKES = (Decimal(0), Decimal("0.15"), Decimal("0.6"), Decimal("1.3"))
_SPIKE_EVERY, _SPIKE_FROM, _SPIKE_TO = 900, 300, 420


# How far a price wanders from its start, and in what time.
_WAVES = (
    (86_400, Decimal("0.05")),
    (3600, Decimal("0.01")),
    (60, Decimal("0.001")),
    (1, Decimal("0.0001")),
)


class Level(NamedTuple):
    """So much at a price."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Snapshot:
    """A book at a moment; the best level of each side comes first."""

    sequence: int
    bids: list[Level]
    asks: list[Level]


def noise(*key: object) -> Decimal:
    """A number from -1 to 1 that depends on the key alone."""
    digest = blake2b(repr(key).encode(), digest_size=6).digest()
    return Decimal(int.from_bytes(digest)) / 2**47 - 1


def plain(number: Decimal) -> str:
    """As REST writes numbers: no exponent, no zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Market:
    """The books of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def price(self, book: str, at: datetime) -> Decimal:
        """The middle of a book: slow waves and quick ones."""
        second = _second(book, at)
        drift = sum(share * self._wave(book, period, second) for period, share in _WAVES)
        return _start(book) * (1 + drift)

    def spread_percent(self, book: str, at: datetime) -> Decimal:
        """How far ask and bid are apart, roughly, in percent."""
        second = _second(book, at)
        turn, into = divmod(second + 97 * BOOKS.index(book), _SPIKE_EVERY)
        calm = Decimal("0.05") + Decimal("0.03") * self._wave(f"{book} spread", 300, second)
        return calm + (_SPIKES[turn % 4] if _SPIKE_FROM <= into < _SPIKE_TO else 0)

    def best(self, book: str, at: datetime) -> tuple[Decimal, Decimal]:
        """The best bid and ask."""
        middle, half = self.price(book, at), self.spread_percent(book, at) / 200
        least = tick(book)
        bid = (middle * (1 - half)).quantize(least)
        return bid, max((middle * (1 + half)).quantize(least), bid + least)

    def snapshot(self, book: str, at: datetime, levels: int = LEVELS) -> Snapshot:
        """The best levels of both sides."""
        second = _second(book, at)
        bid, ask = self.best(book, at)
        step = 3 * tick(book)
        few = min(levels, 14) if book == THIN_BOOK else levels
        return Snapshot(
            4_520_000_000 + BOOKS.index(book) * 1_000_000 + 7 * (second % 10**8),
            [Level(bid - n * step, self._amount(book, second, -n)) for n in range(few)],
            [Level(ask + n * step, self._amount(book, second, n + 1)) for n in range(levels)],
        )

    def volume(self, book: str, at: datetime) -> Decimal:
        """What was traded in a day."""
        share = 2 + self._wave(f"{book} volume", 3600, _second(book, at))
        return (share * 100_000 / _start(book)).quantize(Decimal("1e-8"))

    def _amount(self, book: str, second: int, level: int) -> Decimal:
        share = (Decimal("1.01") + noise(self.seed, book, second // 5, level)) / 2
        return (share * 20_000 / _start(book)).quantize(Decimal("1e-8")) + Decimal("1e-8")

    def _wave(self, name: str, period: int, second: int) -> Decimal:
        turn, into = divmod(second, period)
        before, after = (noise(self.seed, name, period, turn + n) for n in (0, 1))
        return before + (after - before) * into / period


def _second(book: str, at: datetime) -> int:
    return 0 if book == DEAD_BOOK else int(at.timestamp())


@cache
def _start(book: str) -> Decimal:
    major, _, minor = book.partition("_")
    return Decimal(_DOLLARS[major]) * Decimal(_QUOTES[minor])


@cache
def tick(book: str) -> Decimal:
    """Six digits of the price."""
    return Decimal(1).scaleb(_start(book).adjusted() - 5)
