"""The bundled recording of the market: what it is made of, and that it can be made again."""

import gzip
import json
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from loader.market.recording import read_line
from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.settings import PROJECT_ROOT
from loader.wire.records import Body, Record
from tests.clocks import NOON
from tests.exchange import recording
from tests.exchange.rig import SOURCES

BUNDLED = PROJECT_ROOT / "seeds" / "market"
PARSERS = {
    "bitso_tickers": SOURCES["ticker"].parse,
    "bitso_order_books": SOURCES["order_book"].parse,
    "bitso_books": SOURCES["books"].parse,
    "coingecko_exchanges": SOURCES["exchanges"].parse,
    "coingecko_tickers": SOURCES["coin_tickers"].parse,
    "coincap_exchanges": SOURCES["exchange_volumes"].parse,
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [
        line
        for path in sorted(BUNDLED.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


@pytest.fixture(scope="module")
def tickers(lines: list[str]) -> list[Record]:
    return [record for source, record in _records(lines) if source == "bitso_tickers"]


def _records(lines: list[str]) -> list[tuple[str, Record]]:
    found = []
    for line in lines:
        fields = json.loads(line)
        if "watched" in fields:
            continue
        received_at = datetime.fromisoformat(fields["received_at"])
        body = Body(fields["source"], fields["key"], received_at, fields["body"])
        for record in PARSERS[body.source](body):
            assert isinstance(record, Record), record
            found.append((body.source, record))
    return found


def test_the_bundled_recording_is_what_its_generator_writes(
    tmp_path: Path, lines: list[str]
) -> None:
    written = recording.write(tmp_path)
    assert sorted(path.name for path in written) == sorted(p.name for p in BUNDLED.iterdir())
    again = [
        line
        for path in sorted(written)
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    assert again == lines


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 2**20


def test_every_source_is_in_it_and_every_record_is_good(lines: list[str]) -> None:
    counts = Counter(source for source, _ in _records(lines))
    assert set(counts) == set(PARSERS)
    assert counts["bitso_tickers"] == 2 * (2 * 360 - 36)
    assert counts["bitso_order_books"] == 2 * (120 - 6)


@pytest.mark.parametrize("book", recording.RECORDED)
@pytest.mark.parametrize("threshold", ["0.1", "0.5", "1"])
def test_each_threshold_is_passed_for_a_while_and_not_always(
    tickers: list[Record], book: str, threshold: str
) -> None:
    above = [
        (record.ask - record.bid) * 100 > Decimal(threshold) * record.ask
        for record in tickers
        if record.key == book and record.bid and record.ask
    ]
    assert 10 < sum(above) < len(above) / 2


def test_a_book_is_crossed_for_a_minute(tickers: list[Record]) -> None:
    crossed = [one for one in tickers if one.bid and one.ask and one.bid > one.ask]
    assert {one.key for one in crossed} == {recording.CROSSED_BOOK}
    assert len(crossed) == 6


def test_it_says_what_was_to_be_recorded(lines: list[str]) -> None:
    watches = [read_line(line.encode()) for line in lines if line.startswith('{"watched"')]
    until = NOON + recording.LENGTH
    books = tuple(sorted(recording.RECORDED))
    assert watches == [
        Watch("ticker", recording.TICKER_EVERY, books, NOON, until, is_recorded=True),
        Watch("order_book", recording.ORDER_BOOK_EVERY, books, NOON, until, is_recorded=True),
    ]


def test_there_is_a_hole_in_it(tickers: list[Record]) -> None:
    times = sorted({one.received_at for one in tickers})
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) == timedelta(minutes=6, seconds=10)
    assert Counter(gaps).most_common(1)[0][0] == timedelta(seconds=10)
    assert times[0] == NOON + recording.DELAY
