"""A reply in which nothing can be read is a failed run, which keeps it, and is asked for again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loader.market import bitso
from loader.market import jobs as market_load
from loader.market.coingecko import Listing
from loader.warehouse.errors import WarehouseError
from loader.warehouse.ledger.runs import LedgerRun
from tests.conftest import Warehouse
from tests.exchange.replies import Reply
from tests.exchange.rig import SourcesRig
from tests.exchange.server import Simulator

COINS = [Listing("coin", "bitcoin"), Listing("coin", "x")]
REFUSED = [{"surprise": 1}, {"surprise": 2}]
REPLIES: dict[str, Any] = {
    "null": None,
    "an empty list": [],
    "an object of another shape": {"a": {"b": 1}},
    "nothing where the records belong": {"success": True, "payload": None, "data": None},
    "no records": {"success": True, "payload": [], "data": []},
    "records that are refused": {
        "success": True, "payload": REFUSED, "data": REFUSED, "tickers": REFUSED,
    },
    "a list of records that are refused": REFUSED,
}  # fmt: skip
# By its job: how it is loaded, and what it asks for.
JOBS: dict[str, tuple[Callable[[], Iterator[LedgerRun]], str]] = {
    "tickers": (lambda: market_load.load_tickers(["btc_mxn"]), "ticker"),
    "all tickers": (lambda: market_load.load_tickers(["btc_mxn", "usd_mxn"]), "ticker"),
    "order-books": (lambda: market_load.load_order_books(["btc_mxn", "usd_mxn"]), "order_book"),
    "books": (market_load.load_books, "available_books"),
    "exchanges": (market_load.load_exchanges, "/coingecko/"),
    "exchange-volumes": (market_load.load_exchange_volumes, "/coincap/"),
}


@pytest.fixture(scope="module")
def simulator(simulators: Simulator) -> Simulator:
    del simulators.coingecko.exchange_ids[24:]
    return simulators


@pytest.fixture
def rig(
    simulator: Simulator, module_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> SourcesRig:
    """The jobs sent to a simulator, where waiting takes no time."""
    rig = SourcesRig(simulator, attempts=1)
    monkeypatch.setattr(market_load, "open_bitso", lambda: rig.bitso)
    monkeypatch.setattr(market_load, "open_coingecko", rig.coingecko)
    monkeypatch.setattr(market_load, "open_coincap", rig.coincap)
    monkeypatch.setattr(market_load, "coin_listings", lambda _: COINS)
    monkeypatch.setattr(bitso, "MANY_BOOKS", 2)
    module_warehouse.activate()
    [_] = market_load.load_books()
    module_warehouse.rows("truncate ops.cursors")
    return rig


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_in_which_nothing_can_be_read_is_no_success(
    module_warehouse: Warehouse, rig: SourcesRig, job: str, reply: str
) -> None:
    load, path = JOBS[job]
    [(last,)] = module_warehouse.rows("select max(run_id) from ops.runs")
    with rig.simulator.faults.during("document", path, argument=REPLIES[reply]):
        with pytest.raises(WarehouseError) as caught:
            list(load())
        assert str(caught.value).isprintable()
        runs = module_warehouse.rows(
            "select status, error is not null, rows_inserted, rows_quarantined, "
            "rows_read = rows_inserted + rows_duplicate + rows_quarantined, "
            "(select count(*) from ops.quarantine where run_id = runs.run_id) "
            "from ops.runs where run_id > %s",
            last,
        )
        assert runs
        for status, has_error, inserted, set_aside, is_conserved, rows in runs:
            assert (status, has_error, inserted, is_conserved) == ("failed", True, 0, True)
            # Whoever mends the reader loads them by `loader quarantine redrive`.
            assert rows == set_aside
        assert module_warehouse.rows("select count(*) from ops.cursors") == [(0,)]
        # What nobody could read is asked for again.
        rig.simulator.requests.clear()
        with pytest.raises(WarehouseError):
            list(load())
        assert any(path in request.path for request in rig.simulator.requests)


def test_of_several_replies_one_that_cannot_be_read_fails_beside_the_others(
    module_warehouse: Warehouse, rig: SourcesRig
) -> None:
    broken = {"success": True, "payload": REFUSED[0]}
    with (
        rig.simulator.faults.during("document", "order_book?book=eth_mxn", argument=broken),
        pytest.raises(WarehouseError, match="eth_mxn: nothing in the reply can be read: there is"),
    ):
        list(market_load.load_order_books(["btc_mxn", "eth_mxn", "usd_mxn"]))
    assert module_warehouse.rows(
        "select status, rows_inserted, rows_quarantined from ops.runs order by run_id desc limit 2"
    ) == [("failed", 0, 0), ("succeeded", 2, 1)]


def test_a_coin_that_nobody_trades_is_known_by_an_empty_list(
    rig: SourcesRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = rig.simulator.answer

    def untraded(path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        is_coin = "/coins/x/" in path
        return Reply(200, {"tickers": []}) if is_coin else answer(path, query, headers)

    monkeypatch.setattr(rig.simulator, "answer", untraded)
    assert len(list(market_load.load_exchanges())) == 4
    rig.simulator.requests.clear()
    [run] = market_load.load_exchanges()
    assert (run.status, rig.simulator.requests) == ("unchanged", [])
