"""Replies of the market made by hand, and recordings of them."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loader.wire.records import Body

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def ticker(book: str = "btc_mxn", **fields: Any) -> dict[str, Any]:
    """The payload of a ticker, some fields changed."""
    return {
        "book": book, "bid": "100.5", "ask": "100.75", "last": "100.6",
        "created_at": "2026-01-05T12:00:00+00:00",
    } | fields  # fmt: skip


def tickers(at: datetime, *payloads: dict[str, Any]) -> Body:
    """A reply with the tickers of all books."""
    return Body("bitso_tickers", "", at, json.dumps({"success": True, "payload": payloads}))


def order_book(at: datetime, book: str = "btc_mxn", **fields: Any) -> Body:
    """An order book with one level a side."""
    levels = {
        side: [{"book": book, "price": price, "amount": "1"}]
        for side, price in (("bids", "100.5"), ("asks", "100.75"))
    }
    payload = {"updated_at": at.isoformat(), "sequence": "4520000000"} | levels | fields
    text = json.dumps({"success": True, "payload": payload})
    return Body("bitso_order_books", book, at, text)


def minutes(count: int, start: datetime = NOON) -> list[Body]:
    """A reply a minute, each with the tickers of two books."""
    return [
        tickers(
            start + timedelta(minutes=n),
            ticker(bid=f"100.{n + 1:04}"),
            ticker("eth_mxn", bid=f"90.{n + 1:04}"),
        )
        for n in range(count)
    ]


def line(body: Body, **fields: Any) -> str:
    """A line of a recording, some fields changed."""
    own = {
        "source": body.source, "key": body.key,
        "received_at": body.received_at.isoformat(), "body": body.text,
    }  # fmt: skip
    return json.dumps(own | fields)


def record(path: Path, bodies: Iterable[Body]) -> Path:
    """Write a recording, gzipped when its name says so."""
    data = "".join(f"{line(body)}\n" for body in bodies).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
