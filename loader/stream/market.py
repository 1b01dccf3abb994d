"""Where the stream meets the market, and nowhere else: its REST client, its ticker, its rows."""

from dataclasses import replace

from loader.market import bitso
from loader.market.bitso import Bitso, parse_tickers
from loader.market.rows import FEEDS
from loader.stream.frames import CHANNEL

__all__ = ["SAMPLES", "Bitso", "parse_tickers"]

# A sample is a row of an order book, told apart by its channel.
SAMPLES = replace(FEEDS[bitso.ORDER_BOOKS], channel=CHANNEL)
