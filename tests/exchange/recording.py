"""Writes the market recording that is bundled in `seeds/market`: what `loader replay` sends in.

A JSON object a line:

    {"source": "bitso_tickers", "key": "btc_mxn", "received_at": "2026-01-05T12:00:00+00:00",
     "body": "..."}

`source` is the raw table that the reply is for, `key` what was asked for (a book, an exchange, a
coin, or "" for all there are), `body` the text of the reply. Its first lines say what was to be
recorded, and how often. The same arguments give the same bytes.
"""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loader.wire.records import Body
from tests.clocks import NOON
from tests.exchange.bitso import BitsoApi
from tests.exchange.coincap import KEY, CoinCapApi
from tests.exchange.coingecko import CoinGeckoApi
from tests.exchange.market import Market
from tests.exchange.replies import Request, dumps

RECORDED = ("btc_mxn", "usd_mxn")
LENGTH = timedelta(hours=2)
TICKER_EVERY = timedelta(seconds=10)
ORDER_BOOK_EVERY = timedelta(seconds=60)
LEVELS = 5
# Nobody was listening for a while.
HOLE = (timedelta(minutes=70), timedelta(minutes=76))
# For one minute the best bid was above the best ask.
CROSSED = (timedelta(minutes=95), timedelta(minutes=96))
CROSSED_BOOK = "usd_mxn"
# A reply takes its time to arrive.
DELAY = timedelta(milliseconds=137)
EXCHANGES = 60


def write(directory: Path, seed: int = 7, start: datetime = NOON) -> list[Path]:
    """Write the recording's files; returns them."""
    market = Market(seed)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, bodies in (
        ("bitso", _bitso(market, start)),
        ("exchanges", _exchanges(market, start)),
    ):
        path = directory / f"{name}.jsonl.gz"
        lines = [*(watched(start) if name == "bitso" else []), *map(line, bodies)]
        text = "".join(f"{each}\n" for each in lines)
        # No file name and no time in the header: the same bytes each time.
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        written.append(path)
    return written


def line(body: Body) -> str:
    """A reply as a line of a recording, without the line's end."""
    fields = {
        "source": body.source,
        "key": body.key,
        "received_at": body.received_at.isoformat(),
        "body": body.text,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def watched(start: datetime) -> list[str]:
    """What the recorder was to record, as lines of a recording: also while nobody was listening."""
    return [
        json.dumps({"watched": {
            "feed": feed, "interval_seconds": int(every.total_seconds()), "books": RECORDED,
            "from": start.isoformat(), "until": (start + LENGTH).isoformat(),
        }}, separators=(",", ":"))
        for feed, every in (("ticker", TICKER_EVERY), ("order_book", ORDER_BOOK_EVERY))
    ]  # fmt: skip


def _bitso(market: Market, start: datetime) -> Iterator[Body]:
    api = BitsoApi(market, rate_limited=False)
    yield _body("bitso_books", "", start, _ask(api, "/available_books", start))
    passed = timedelta()
    while passed < LENGTH:
        at = start + passed
        if not HOLE[0] <= passed < HOLE[1]:
            for book in RECORDED:
                is_crossed = book == CROSSED_BOOK and CROSSED[0] <= passed < CROSSED[1]
                ticker = api.ticker(book, at)
                if is_crossed:
                    ticker["bid"], ticker["ask"] = ticker["ask"], ticker["bid"]
                yield _body("bitso_tickers", book, at, _success(ticker))
                if not passed % ORDER_BOOK_EVERY:
                    levels = api.order_book(book, at, LEVELS)
                    if is_crossed:
                        best = levels["bids"][0], levels["asks"][0]
                        levels["bids"][0], levels["asks"][0] = best[1], best[0]
                    yield _body("bitso_order_books", book, at, _success(levels))
        passed += TICKER_EVERY


def _exchanges(market: Market, start: datetime) -> Iterator[Body]:
    gecko = CoinGeckoApi(market, "demo", EXCHANGES)
    exchanges = _ask(gecko, "/exchanges", start, per_page="250")
    yield _body("coingecko_exchanges", "", start, exchanges)
    at = start + timedelta(seconds=2)
    tickers = _ask(gecko, "/exchanges/bitso/tickers", at)
    yield _body("coingecko_tickers", "bitso", at, tickers)
    coins = dict.fromkeys(ticker["coin_id"] for ticker in tickers["tickers"])
    for coin in coins:
        page = 1
        while True:
            at += timedelta(seconds=2)
            document = _ask(gecko, f"/coins/{coin}/tickers", at, page=str(page))
            yield _body("coingecko_tickers", coin, at, document)
            if len(document["tickers"]) < 100:
                break
            page += 1
    at += timedelta(seconds=2)
    headers = {"authorization": f"Bearer {KEY}"}
    reply = CoinCapApi(market).answer(Request("/v3/exchanges", {}, headers, at))
    yield _body("coincap_exchanges", "", at, reply.document)


def _ask(api: BitsoApi | CoinGeckoApi, path: str, at: datetime, **query: str) -> Any:
    reply = api.answer(Request(path, query, {}, at))
    assert reply.status == 200, (path, reply.document)
    return reply.document


def _success(payload: Any) -> Any:
    return {"success": True, "payload": payload}


def _body(source: str, key: str, at: datetime, document: Any) -> Body:
    return Body(source, key, at + DELAY, dumps(document))
