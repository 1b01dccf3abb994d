"""Every market source against the exchange simulator, through every fault there is."""

import json
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from loader.market import bitso, coingecko
from loader.market.coingecko import Listing
from loader.market.live import open_bitso, open_coincap, open_coingecko
from loader.warehouse.errors import NotFoundError, TerminalError, TransientError, WarehouseError
from loader.wire.records import Body, Record
from tests.clocks import NOON, SimulatedClock
from tests.conftest import Warehouse
from tests.environment import settings
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import DEMO_KEY, PRO_KEY
from tests.exchange.market import BOOKS, THIN_BOOK
from tests.exchange.matrix import CASES, Case
from tests.exchange.rig import SOURCES, SourcesRig, collect
from tests.exchange.server import Simulator

ERRORS: dict[str, type[WarehouseError]] = {
    "transient": TransientError,
    "terminal": TerminalError,
    "not found": NotFoundError,
}
SECRETS = (DEMO_KEY, PRO_KEY, KEY)


@pytest.fixture
def simulator(simulators: Simulator) -> Iterator[Simulator]:
    """The simulator, well again after each test."""
    simulators.requests.clear()
    yield simulators
    simulators.faults.clear()


@pytest.fixture
def rig(simulator: Simulator) -> SourcesRig:
    return SourcesRig(simulator)


@pytest.fixture(scope="module")
def good(simulators: Simulator) -> dict[str, list[Record]]:
    """What each source brings when nothing is wrong."""
    found = {}
    for source in SOURCES:
        found[source], bad = collect(source, SourcesRig(simulators))
        assert not bad
    return found


def _keys(records: list[Record]) -> list[str]:
    return [record.key for record in records]


def test_the_matrix_is_large_enough_and_without_repeats() -> None:
    names = [case.id for case in CASES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_source_comes_through_a_fault(
    simulator: Simulator,
    good: dict[str, list[Record]],
    case: Case,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = SOURCES[case.source].path
    rig = SourcesRig(simulator, 2, path) if case.takes_time else SourcesRig(simulator)
    caplog.set_level(logging.DEBUG)
    rig.simulator.faults.add(case.fault, path, case.times, case.argument)
    expected = good[case.source]
    if case.outcome in ERRORS:
        with pytest.raises(WarehouseError) as caught:
            collect(case.source, rig)
        assert type(caught.value) is ERRORS[case.outcome]
        message = str(caught.value)
        assert "\n" not in message
        assert not any(secret in message for secret in SECRETS)
        assert len(rig.simulator.requests) <= 4
    else:
        records, bad = collect(case.source, rig)
        assert [one.code for one in bad] == [case.code][: case.outcome == "quarantined"]
        assert all(one.reason and one.raw for one in bad)
        if case.outcome == "quarantined":
            lost = len(expected) if case.code == "wrong_shape" else 1
            if case.source in ("exchanges", "coin_tickers") and case.code == "wrong_shape":
                lost = {"exchanges": 250, "coin_tickers": 100}[case.source]
            assert _keys(records) == _keys(expected)[lost:]
        elif case.fault == "repeated":
            assert set(_keys(records)) == set(_keys(expected))
            assert len(records) > len(expected)
        else:
            assert _keys(records) == _keys(expected)
        assert all(record.received_at.tzinfo is not None for record in records)
    assert not any(secret in caplog.text for secret in SECRETS)


# ------------------------------------------------------------------ Bitso


def test_best_prices_and_sequences_are_exact(rig: SourcesRig) -> None:
    bid, ask = rig.simulator.market.best("btc_mxn", NOON)
    [ticker] = bitso.parse_tickers(rig.bitso.ticker("btc_mxn"))
    [book] = bitso.parse_order_books(rig.bitso.order_book("btc_mxn"))
    assert isinstance(ticker, Record)
    assert isinstance(book, Record)
    assert (ticker.bid, ticker.ask, ticker.sequence) == (bid, ask, None)
    assert (book.bid, book.ask) == (bid, ask)
    assert book.sequence == rig.simulator.market.snapshot("btc_mxn", NOON).sequence > 2**32


@pytest.mark.parametrize("source", ["ticker", "order_book"])
def test_eighteen_decimals_come_through(rig: SourcesRig, source: str) -> None:
    rig.simulator.faults.add("many_decimals")
    [record], _ = collect(source, rig)
    assert str(record.bid) == "1234.000000000000000001"
    assert str(record.ask) == "1234.000000000000000002"


@pytest.mark.parametrize("source", ["ticker", "order_book"])
def test_an_empty_side_has_no_price(rig: SourcesRig, source: str) -> None:
    rig.simulator.faults.add("empty_side", argument=["bid"])
    [record], _ = collect(source, rig)
    assert record.bid is None
    assert record.ask is not None


@pytest.mark.parametrize("source", ["ticker", "order_book"])
def test_a_crossed_book_is_kept_as_it_is(rig: SourcesRig, source: str) -> None:
    rig.simulator.faults.add("crossed")
    [record], _ = collect(source, rig)
    assert record.bid is not None
    assert record.ask is not None
    assert record.bid > record.ask


def test_unsorted_levels_do_not_change_the_best(
    rig: SourcesRig, good: dict[str, list[Record]]
) -> None:
    rig.simulator.faults.add("unsorted")
    [record], _ = collect("order_book", rig)
    assert record[3:] == good["order_book"][0][3:]
    assert (
        json.loads(record.payload)["bids"][0]
        != json.loads(good["order_book"][0].payload)["bids"][0]
    )


def test_the_payload_is_the_text_that_came(rig: SourcesRig) -> None:
    rig.simulator.faults.add("extra_key")
    body = rig.bitso.ticker("btc_mxn")
    [record] = bitso.parse_tickers(body)
    assert isinstance(record, Record)
    assert f'{{"success":true,"payload":{record.payload}}}' == body.text
    assert '"nested":[1,2.50,null]' in record.payload


def test_all_books_take_one_call_and_few_take_one_each() -> None:
    assert bitso.ticker_calls(["btc_mxn", "usd_mxn", "btc_mxn"]) == ["btc_mxn", "usd_mxn"]
    assert bitso.ticker_calls(BOOKS) == [""]


def test_all_books_come_in_one_call(rig: SourcesRig) -> None:
    records, _ = collect("all_tickers", rig)
    assert _keys(records) == BOOKS
    assert len(rig.simulator.requests) == 1


@pytest.mark.parametrize("endpoint", ["ticker", "order_book"])
def test_an_unknown_book_is_said_by_name_and_not_tried_again(
    rig: SourcesRig, endpoint: str
) -> None:
    fetch: Callable[[str], Body] = getattr(rig.bitso, endpoint)
    with pytest.raises(NotFoundError, match=r"(?i)unknown order ?book nope_usd"):
        fetch("nope_usd")
    assert len(rig.simulator.requests) == 1


def test_configured_books_are_checked_against_the_catalogue(rig: SourcesRig) -> None:
    catalogue = rig.bitso.available_books()
    assert bitso.unknown_books(catalogue, ["btc_mxn", "mxn_btc"]) == ["mxn_btc"]


def test_a_thin_book_is_no_error(rig: SourcesRig) -> None:
    [record] = bitso.parse_order_books(rig.bitso.order_book(THIN_BOOK))
    assert isinstance(record, Record)
    payload = json.loads(record.payload)
    assert (len(payload["bids"]), len(payload["asks"])) == (14, 50)


def test_a_redrive_of_a_single_ticker_under_its_own_name_works(rig: SourcesRig) -> None:
    body = rig.bitso.ticker("btc_mxn")
    [record] = bitso.parse_tickers(body)
    assert isinstance(record, Record)
    again = body._replace(text=f'{{"payload":[{record.payload}]}}')
    assert list(bitso.parse_tickers(again)) == [record]


# -------------------------------------------------------------- CoinGecko


def _exchanges_sharing_a_market(simulator: Simulator) -> set[str]:
    listed = simulator.coingecko.listed
    ours = {(one.base, one.target) for one in listed if one.exchange == "bitso"}
    return {one.exchange for one in listed if (one.base, one.target) in ours}


def test_every_exchange_that_shares_a_market_is_found(rig: SourcesRig) -> None:
    source = rig.coingecko()
    ours, _ = collect("exchange_tickers", rig)
    markets = {_market(record) for record in ours}
    found: set[str] = set()
    for listing in coingecko.coin_listings(ours):
        for page in source.pages(listing):
            for record in coingecko.parse_tickers(page.body):
                assert isinstance(record, Record)
                if _market(record) in markets:
                    found.add(record.key)
    assert found == _exchanges_sharing_a_market(rig.simulator)
    known, _ = collect("exchanges", rig)
    assert found <= set(_keys(known))


def _market(record: Record) -> tuple[str, str]:
    ticker = json.loads(record.payload)
    return ticker["base"], ticker["target"]


def test_a_listing_goes_on_where_it_stopped(rig: SourcesRig) -> None:
    source = rig.coingecko()
    listing = Listing("coin", "bitcoin")
    pages = list(source.pages(listing))
    assert len(pages) > 2
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    rest = list(source.pages(listing, first=3))
    assert [page.number for page in rest] == [page.number for page in pages[2:]]
    assert [page.body.text for page in rest] == [page.body.text for page in pages[2:]]


def test_without_a_total_an_empty_page_is_the_last(rig: SourcesRig) -> None:
    # The same reply without its headers.
    rig.simulator.faults.add("good_gzip")
    pages = list(rig.coingecko().pages(Listing("coin", "bitcoin")))
    assert '"tickers":[]' in pages[-1].body.text
    assert [page.is_last for page in pages].index(True) == len(pages) - 1


def test_a_server_that_ignores_the_page_does_not_keep_us(rig: SourcesRig) -> None:
    rig.simulator.faults.add("text", argument='{"tickers":[{"base":"A"}]}')
    with pytest.raises(TerminalError, match="page 2 of coin bitcoin repeats"):
        list(rig.coingecko().pages(Listing("coin", "bitcoin")))


def test_an_unknown_coin_is_not_found(rig: SourcesRig) -> None:
    with pytest.raises(NotFoundError, match="coin not found"):
        list(rig.coingecko().pages(Listing("coin", "nope")))


def test_numbers_of_coingecko_keep_their_text(rig: SourcesRig) -> None:
    rig.simulator.faults.add("bare_number", argument=["volume", "1.50E-7"], times=1)
    records, _ = collect("exchange_tickers", rig)
    assert '"volume":1.50E-7' in records[0].payload


@pytest.mark.parametrize(
    ("plan", "key", "message"),
    [
        ("demo", PRO_KEY, "10010 .*WAREHOUSE_COINGECKO_PLAN"),
        ("pro", DEMO_KEY, "10011 .*WAREHOUSE_COINGECKO_PLAN"),
        ("pro", None, "10002 API Key Missing"),
        ("pro", "CG-wrong", "10002"),
    ],
)
def test_a_wrong_key_or_host_says_what_to_do_and_shows_no_key(
    rig: SourcesRig, plan: str, key: str | None, message: str
) -> None:
    with pytest.raises(TerminalError, match=message) as caught:
        list(rig.coingecko(plan, key).pages(Listing("exchanges")))
    assert key is None or key not in str(caught.value)


@pytest.mark.parametrize(("plan", "key"), [("demo", DEMO_KEY), ("demo", None), ("pro", PRO_KEY)])
def test_keys_go_in_headers_and_never_in_an_address(
    rig: SourcesRig, plan: str, key: str | None
) -> None:
    list(rig.coingecko(plan, key).pages(Listing("exchanges")))
    for request in rig.simulator.requests:
        assert not any("key" in name for name in request.query)
        assert request.headers.get(f"x-cg-{plan}-api-key") == key


# ---------------------------------------------------------------- CoinCap


def test_the_retired_version_is_an_error(rig: SourcesRig) -> None:
    with pytest.raises(TerminalError, match=r"We are deprecating .*WAREHOUSE_COINCAP_URL"):
        list(rig.coincap(version="v2").exchanges())


def test_a_wrong_coincap_key_is_an_error_that_does_not_show_it(rig: SourcesRig) -> None:
    with pytest.raises(TerminalError, match="WAREHOUSE_COINCAP_KEY") as caught:
        list(rig.coincap("sesame0123").exchanges())
    assert "sesame0123" not in str(caught.value)


def test_coincap_keeps_every_decimal(rig: SourcesRig) -> None:
    records, _ = collect("exchange_volumes", rig)
    first = json.loads(records[0].payload)
    assert len(Decimal(first["percentTotalVolume"]).as_tuple().digits) >= 36
    assert "Uniswap V3 (BSC)" in _keys(records)
    assert json.loads(records[-1].payload)["volumeUsd"] is None


# ------------------------------------------------------------ live sources


def test_the_settings_lead_to_every_source(simulator: Simulator, warehouse: Warehouse) -> None:
    keys = {"WAREHOUSE_COINGECKO_KEY": DEMO_KEY, "WAREHOUSE_COINCAP_KEY": KEY}
    with settings(**simulator.environment, **keys):
        assert open_bitso().ticker("btc_mxn").key == "btc_mxn"
        assert next(open_coingecko().pages(Listing("exchanges"))).number == 1
        assert next(open_coincap().exchanges()).text
    calls = warehouse.rows("select budget, cardinality(calls) from ops.rate_budgets order by 1")
    assert calls == [("bitso", 1), ("coincap", 1), ("coingecko", 1)]


def test_a_source_without_the_key_it_needs_says_so() -> None:
    with settings(WAREHOUSE_COINCAP_KEY=""), pytest.raises(TerminalError, match="COINCAP_KEY"):
        open_coincap()
    pro = {"WAREHOUSE_COINGECKO_PLAN": "pro", "WAREHOUSE_COINGECKO_KEY": ""}
    with settings(**pro), pytest.raises(TerminalError, match="COINGECKO_KEY"):
        open_coingecko()


def test_a_server_that_is_down_is_a_passing_error(rig: SourcesRig) -> None:
    with rig.simulator.refusing(), pytest.raises(TransientError, match="Connection refused"):
        rig.bitso.ticker("btc_mxn")
    assert rig.bitso.ticker("btc_mxn").text


def test_a_lockout_freezes_the_budget_twice_as_long_each_time() -> None:
    # The exchange's clock stands still: to it all calls come at once.
    with Simulator(3, SimulatedClock(NOON, 0)) as strict:
        rig = SourcesRig(strict)
        for _ in range(50):
            rig.bitso.ticker("btc_mxn")
        assert rig.clock.slept == []
        for _ in range(10):
            rig.bitso.ticker("btc_mxn")
        assert 50 < sum(rig.clock.slept) <= 60
        rig.clock.slept.clear()
        with pytest.raises(TransientError, match="HTTP 420 0801 You have hit the request rate-l"):
            rig.bitso.ticker("btc_mxn")
        assert 178 < sum(rig.clock.slept) < 200
        # Frozen for 240 s now, which is longer than anybody waits.
        with pytest.raises(TransientError, match=r"no call is free for another 2[34]. s"):
            rig.bitso.ticker("btc_mxn")
        strict.clock.advance(3600)
        rig.clock.sleep(3600)
        assert rig.bitso.ticker("btc_mxn").text
