"""Replies recorded from the live services are read without loss."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loader.market import bitso, coincap, coingecko
from loader.warehouse.settings import PROJECT_ROOT
from loader.wire.records import Body, Parsed, Record

PAYLOADS = PROJECT_ROOT.parent / "shared" / "reference" / "payloads"
RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no recordings here"),
]


def _good(parsed: Parsed) -> list[Record]:
    found = list(parsed)
    assert all(isinstance(one, Record) for one in found), found
    return [one for one in found if isinstance(one, Record)]


def _body(file: str, key: str = "") -> Body:
    return Body("", key, RECEIVED_AT, (PAYLOADS / file).read_text())


def _errors(file: str) -> list[Any]:
    errors: list[Any] = json.loads((PAYLOADS / file).read_text())
    return errors


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("ticker_all_2017-08-07.json", ""),
        ("DERIVED_ticker_all_2024_shape.json", ""),
        ("ticker_btc_usdt_2024-03-13.json", "btc_usdt"),
        ("ticker_btc_mxn_2023-03-09_docs.json", "btc_mxn"),
    ],
)
def test_tickers(file: str, key: str) -> None:
    records = _good(bitso.parse_tickers(_body(f"bitso/{file}", key)))
    assert all(record.bid and record.ask for record in records)


@pytest.mark.parametrize(
    "file",
    [
        "order_book_docs.json",
        "order_book_aggregated_btc_mxn_2017-08-01.json",
        "order_book_aggregated_btc_mxn_2017-11-12.json",
        "order_book_l3_btc_mxn_2026-07-15_top50.json",
        "DERIVED_order_book_aggregated_btc_mxn_2026-07-15.json",
    ],
)
def test_order_books(file: str) -> None:
    [record] = _good(bitso.parse_order_books(_body(f"bitso/{file}", "btc_mxn")))
    assert record.bid
    assert record.ask
    assert record.sequence


@pytest.mark.parametrize("file", ["available_books_docs.json", "available_books_2017-08.json"])
def test_catalogues(file: str) -> None:
    assert "btc_mxn" in [record.key for record in _good(bitso.parse_books(_body(f"bitso/{file}")))]


@pytest.mark.parametrize("file", ["exchanges.json", "exchanges_2019.json"])
def test_exchanges(file: str) -> None:
    assert _good(coingecko.parse_exchanges(_body(f"coingecko/{file}")))


@pytest.mark.parametrize("file", ["coin_tickers_bitcoin.json", "exchange_tickers_binance.json"])
def test_coin_and_exchange_tickers(file: str) -> None:
    records = _good(coingecko.parse_tickers(_body(f"coingecko/{file}", "binance")))
    assert "binance" in [record.key for record in records]


@pytest.mark.parametrize(
    "file", ["v3_exchanges_2025-06-21.json", "v2_exchanges_2021-07-08_bitcoinMonitor.json"]
)
def test_exchange_volumes(file: str) -> None:
    assert _good(coincap.parse_exchanges(_body(f"coincap/{file}")))


def test_the_reply_of_the_retired_version_is_an_error() -> None:
    document = json.loads((PAYLOADS / "coincap" / "v2_deprecated_2025-04-16.json").read_text())
    problem = coincap.judge(200, document)
    assert problem
    assert problem.verdict == "terminal"


def test_every_recorded_error_of_bitso_is_one() -> None:
    for error in _errors("bitso/errors.json"):
        if error["status"] is None or error["body"] == {"payload": [], "success": True}:
            continue
        document = error["body"] if isinstance(error["body"], dict) else None
        problem = bitso.judge(error["status"], document)
        assert problem, error
        throttled = error["status"] in (420, 429, 403)
        assert (problem.verdict == "throttled") == throttled, error


def test_every_recorded_error_of_coingecko_is_one() -> None:
    for error in _errors("coingecko/errors.json"):
        document = error["body"] if isinstance(error["body"], dict) else None
        problem = coingecko.judge(error["status"], document)
        assert problem, error
        throttled = error["status"] in (429, 403) or "429" in str(document)
        assert (problem.verdict == "throttled") == throttled, error
