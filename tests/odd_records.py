"""Whole records with one odd field each, for every field of every source; see `odd_values`."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from loader.market.rows import FEEDS
from loader.wire.records import Body
from tests.odd_values import json_values, written_values
from tests.snapshot_files import HEADERS, TEMPLATES

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
# What is put in the place of a field, as JSON: nothing else looks like it.
_HERE = "@here@"
Path = tuple[str | int, ...]


class OddRecord(NamedTuple):
    """A record of a source: which field is odd, and its JSON text."""

    source: str
    field: str
    body: Body
    text: str


def _level(price: str) -> dict[str, str]:
    return {"book": "odd_mxn", "price": price, "amount": "1"}


# A good record of each source.
RECORDS: dict[str, dict[str, Any]] = {
    "bitso_tickers": {
        "book": "odd_mxn", "bid": "100.5", "ask": "100.75",
        "created_at": "2026-01-05T12:00:00+00:00",
    },
    "bitso_order_books": {
        "updated_at": "2026-01-05T12:00:00+00:00", "sequence": "7",
        "bids": [_level("100.5")], "asks": [_level("100.75")],
    },
    "bitso_books": {"book": "odd_mxn"},
    "coingecko_exchanges": {
        "id": "odd", "name": "Odd", "trust_score": 10, "trust_score_rank": 1,
        "trade_volume_24h_btc": 12.5,
    },
    "coingecko_tickers": {
        "base": "BTC", "target": "MXN", "volume": 12.5,
        "market": {"name": "Odd", "identifier": "odd"},
    },
    "coincap_exchanges": {
        "exchangeId": "odd", "name": "Odd", "rank": "1", "percentTotalVolume": "20.5",
        "volumeUsd": "123.4", "tradingPairs": "10", "socket": True, "exchangeUrl": "https://x",
        "updated": 1750000000000,
    },
}  # fmt: skip


def fields_of(record: Any, path: Path = ()) -> Iterator[Path]:
    """The places of everything in a record, at whatever depth."""
    inside = record.items() if isinstance(record, dict) else enumerate(record)
    for name, value in inside:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from fields_of(value, (*path, name))


def _with(record: Any, path: Path, change: Callable[[Any, Any], None]) -> str:
    copy = json.loads(json.dumps(record))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    change(inner, path[-1])
    return json.dumps(copy)


def variants(record: Any) -> Iterator[tuple[str, str]]:
    """A record as JSON, by the field that is odd in it: each with every value, and without it."""
    for path in fields_of(record):
        name = ".".join(map(str, path))
        place = _with(record, path, lambda inner, key: inner.__setitem__(key, _HERE))
        for value in json_values():
            yield name, place.replace(f'"{_HERE}"', value)
        yield name, _with(record, path, lambda inner, key: inner.__delitem__(key))


def odd_records() -> Iterator[OddRecord]:
    """Those of the JSON sources, each in a reply of its own instant."""
    for source, record in RECORDS.items():
        before, after = FEEDS[source].around
        key = "odd_mxn" if source == "bitso_order_books" else ""
        for number, (field, text) in enumerate(variants(record)):
            at = NOON + number * timedelta(seconds=1)
            reply = f"{before}{text}{after}".replace('{"payload"', '{"success":true,"payload"', 1)
            yield OddRecord(source, field, Body(source, key, at, reply), text)


# --- the stream -------------------------------------------------------------------------------

FRAME = {
    "type": "diff-orders", "book": "odd_mxn", "sequence": 8, "sent": 1750000000000,
    "payload": [{"o": "new", "s": "open", "t": 0, "r": "100.6", "a": "2"}],
}  # fmt: skip
SNAPSHOT = {
    "success": True,
    "payload": {
        "sequence": "7",
        "bids": [{"book": "odd_mxn", "price": "100.5", "amount": "1", "oid": "bid"}],
        "asks": [{"book": "odd_mxn", "price": "100.75", "amount": "1", "oid": "ask"}],
    },
}


# --- files ------------------------------------------------------------------------------------

LAKE_ROW = {
    "orderbook_timestamp": "2024-03-02 10:00:00", "book": "odd_mxn", "bid": "455000",
    "ask": "457250", "spread": "0.492",
}  # fmt: skip


def _row(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def odd_lake_rows() -> Iterator[tuple[str, list[str]]]:
    """Values of a row of a lake, by the column that is odd in it, each of an instant of its own."""
    at = datetime(2024, 3, 2, 10, tzinfo=UTC)
    for column in LAKE_ROW:
        for value in written_values():
            at += timedelta(seconds=1)
            good = {**LAKE_ROW, "orderbook_timestamp": at.isoformat()}
            yield column, [*{**good, column: value}.values()]


def odd_snapshot_rows(kind: str) -> Iterator[tuple[str, list[str]]]:
    """Values of a row of a snapshot, by the column that is odd in it; its key is its own."""
    columns = HEADERS[kind].split(",")
    number = 0
    for place, column in enumerate(columns):
        for value in written_values():
            number += 1
            values = TEMPLATES[kind].format(number).split(",")
            values[place] = value
            yield column, values


def as_csv(header: str, rows: Iterator[list[str]] | list[list[str]]) -> bytes:
    """A file; what is no text at all stands in it as bytes that are none."""
    lines = [header, *map(_row, rows)]
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
