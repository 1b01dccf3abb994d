"""The market jobs as people type them, against the simulator: books, resuming, keys, one line."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loader.market import jobs as market_load
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import get_settings
from loader.wire.session import Manners
from tests.conftest import BIN, Warehouse
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import PRO_KEY
from tests.exchange.market import BOOKS
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS, try_until_done, wait_for


@pytest.fixture
def simulator(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator that the settings lead to, with few exchanges, few tries and no hurry."""
    with Simulator(3, rate_limited=False) as simulator:
        del simulator.coingecko.exchange_ids[24:]
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WAREHOUSE_COINGECKO_CALLS_PER_MINUTE", "6000")
        monkeypatch.setenv("WAREHOUSE_MAX_WAIT_SECONDS", "0")
        monkeypatch.setenv("WAREHOUSE_HTTP_ATTEMPTS", "2")
        monkeypatch.setenv("WAREHOUSE_HTTP_TIMEOUT_SECONDS", str(LAST_RESORT_SECONDS))
        monkeypatch.setattr(
            "loader.market.live._manners", lambda: Manners(LAST_RESORT_SECONDS, 2, first_pause=0.01)
        )
        warehouse.activate()
        yield simulator
    get_settings.cache_clear()


def asked(simulator: Simulator) -> list[str]:
    """What was asked for since the last look, without hosts."""
    paths = [
        request.path.rpartition("/v3/")[2]
        + (f" {request.query['book']}" if "book" in request.query else "")
        for request in simulator.requests
    ]
    simulator.requests.clear()
    return paths


def ledger(warehouse: Warehouse) -> list[Any]:
    return warehouse.rows("select job, status, rows_inserted, detail from ops.runs order by run_id")


def test_a_fresh_warehouse_takes_one_command(warehouse: Warehouse, simulator: Simulator) -> None:
    done = warehouse.loader("tickers")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "books: listing: 54 rows loaded, 0 duplicate, 0 quarantined (run 1)",
        "tickers: btc_mxn, usd_mxn: 2 rows loaded, 0 duplicate, 0 quarantined (run 2)",
    ]
    assert warehouse.rows("select book from raw.bitso_tickers order by 1") == [
        ("btc_mxn",), ("usd_mxn",),
    ]  # fmt: skip
    done = warehouse.loader("order-books", "--books", "eth_mxn")
    assert done.stdout == (
        "order-books: eth_mxn: 1 row loaded, 0 duplicate, 0 quarantined (run 3)\n"
    )
    assert len(asked(simulator)) <= 4


def test_books_that_bitso_does_not_list_are_named_and_the_rest_go_on(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    done = warehouse.loader("tickers", "--books", "btc_mxn,mxn_btc,btc_mxn,nope_usd")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "mxn_btc: Bitso does not list it: it is called btc_mxn",
        "nope_usd: Bitso does not list it",
        (
            "loader: 2 of them failed (mxn_btc, nope_usd): "
            "Bitso does not list it: it is called btc_mxn"
        ),
    ]
    assert [row[:3] for row in ledger(warehouse)] == [
        ("books", "succeeded", 54), ("tickers", "succeeded", 1), ("tickers", "failed", 0),
    ]  # fmt: skip
    assert set(ledger(warehouse)[2][3]["failed"]) == {"mxn_btc", "nope_usd"}
    # The listing is new: it is not asked for again.
    asked(simulator)
    done = warehouse.loader("order-books", "--books", "nope_usd")
    assert (done.returncode, done.stderr) == (1, "loader: nope_usd: Bitso does not list it\n")
    assert asked(simulator) == []


def test_an_old_listing_is_asked_for_anew_before_a_book_is_refused(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    warehouse.rows("select raw.ensure_day('bitso_books', current_date - 1)")
    warehouse.rows(
        "insert into raw.bitso_books values (%s, 'old_mxn', '{}', 0), (%s, 'btc_mxn', '{}', 0)",
        *[datetime.now(UTC).replace(hour=0) - timedelta(hours=2)] * 2,
    )
    assert [run.job for run in market_load.load_tickers(["btc_mxn"])] == ["tickers"]
    assert [run.job for run in market_load.load_tickers(["eth_mxn"])] == ["books", "tickers"]
    # What was listed once stays in raw: when it was last seen is said downstream.
    assert warehouse.rows("select count(*) from raw.bitso_books where book = 'old_mxn'") == [(1,)]
    with pytest.raises(TerminalError, match="old_mxn: Bitso does not list it"):
        list(market_load.load_tickers(["old_mxn"]))
    assert "available_books" in asked(simulator)


def test_without_any_listing_bitso_itself_refuses(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    simulator.faults.add("status", "available_books", argument=500)
    with pytest.raises(TerminalError, match="nope_usd: bitso: HTTP 400 0301 Unknown order book"):
        list(market_load.load_order_books(["btc_mxn", "nope_usd"]))
    assert [row[:3] for row in ledger(warehouse)] == [
        ("books", "failed", 0), ("order-books", "succeeded", 1), ("order-books", "failed", 0),
    ]  # fmt: skip


def test_a_book_whose_listing_is_in_quarantine_is_not_refused(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    simulator.faults.add("set", "available_books", 1, {"surprise": "\x00"})
    assert [run.rows_quarantined for run in market_load.load_books()] == [1]
    first = BOOKS[0]
    assert warehouse.rows("select location from ops.quarantine") == [(first,)]
    assert [run.rows_inserted for run in market_load.load_tickers([first])] == [1]


def test_one_order_book_that_fails_does_not_lose_the_others(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    simulator.faults.add("html", "order_book?book=eth_mxn", argument=502)
    with pytest.raises(TransientError, match="eth_mxn: bitso: HTTP 502"):
        list(market_load.load_order_books(["btc_mxn", "eth_mxn", "xrp_mxn"]))
    assert warehouse.rows("select book from raw.bitso_order_books order by 1") == [
        ("btc_mxn",), ("xrp_mxn",),
    ]  # fmt: skip


def test_a_source_that_is_down_is_not_asked_for_everything(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    list(market_load.load_books())
    asked(simulator)
    simulator.faults.add("status", "order_book", argument=500)
    with pytest.raises(TransientError, match="54 of them failed"):
        list(market_load.load_order_books(BOOKS))
    assert len(asked(simulator)) == 3 * 2
    [run] = ledger(warehouse)[1:]
    assert len(run[3]["failed"]) == 54


def test_a_wanted_book_that_is_not_in_the_reply_is_a_failure(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    list(market_load.load_books())
    payload = [
        {"book": "btc_mxn", "bid": "1", "ask": "2", "created_at": "2026-01-05T12:00:00+00:00"}
    ]
    simulator.faults.add("document", "ticker", argument={"success": True, "payload": payload})
    with pytest.raises(TerminalError, match=r"53 of them failed .*: it is not in the reply"):
        list(market_load.load_tickers(BOOKS))
    assert warehouse.rows("select book from raw.bitso_tickers") == [("btc_mxn",)]


def test_too_many_calls_freeze_all_of_the_host(warehouse: Warehouse, simulator: Simulator) -> None:
    list(market_load.load_books())
    simulator.faults.add("status", "ticker", 1, {"status": 420})
    with pytest.raises(TransientError, match="no call is free for another"):
        list(market_load.load_tickers(["btc_mxn"]))
    asked(simulator)
    done = warehouse.loader("order-books", "--books", "btc_mxn")
    assert done.returncode == 75
    assert done.stderr.startswith("loader: btc_mxn: bitso: no call is free for another")
    assert done.stderr.count("\n") == 1
    assert asked(simulator) == []
    assert {row[1] for row in ledger(warehouse)[1:]} == {"failed"}


@pytest.mark.parametrize(
    ("command", "source"),
    [("exchanges", "coingecko"), ("exchange-volumes", "coincap"), ("books", "bitso")],
)
def test_what_one_command_was_told_to_wait_the_next_one_waits(
    warehouse: Warehouse, simulator: Simulator, command: str, source: str
) -> None:
    simulator.faults.add("status", argument={"status": 429, "headers": {"Retry-After": "3000"}})
    asked(simulator)
    for _ in range(2):
        done = warehouse.loader(command, WAREHOUSE_COINCAP_KEY=KEY)
        assert done.returncode == 75
        [(until,)] = warehouse.rows(
            "select frozen_until from ops.rate_budgets where budget = %s", source
        )
        assert f"{source}: no call is free for another " in done.stderr
        told = done.stderr.splitlines()[-1].rpartition("try again after ")[2]
        moment = datetime.fromisoformat(told.removesuffix(" UTC")).replace(tzinfo=UTC)
        assert abs(moment - until) < timedelta(minutes=1)
    assert len(asked(simulator)) == 1


def test_the_exchanges_go_on_where_they_stopped(warehouse: Warehouse, simulator: Simulator) -> None:
    simulator.faults.add("status", "coins/ethereum/tickers", argument=500)
    with pytest.raises(TransientError, match="coin ethereum: coingecko: HTTP 500"):
        list(market_load.load_exchanges())
    everything = asked(simulator)
    assert {"exchanges", "exchanges/bitso/tickers", "coins/bitcoin/tickers"} <= set(everything)
    assert warehouse.rows("select count(*) from ops.cursors where item = '*'") == [(0,)]
    simulator.faults.clear()
    assert [run.detail["items"] for run in market_load.load_exchanges()] == [["coin ethereum"]]
    assert asked(simulator) == ["coins/ethereum/tickers"]
    [nothing] = market_load.load_exchanges()
    assert (nothing.status, nothing.rows_read) == ("unchanged", 0)
    assert asked(simulator) == []
    assert warehouse.loader("exchanges").stdout == (
        "exchanges: all was loaded within 20 hours, nothing to do\n"
    )
    coins = len({path for path in everything if path.startswith("coins/")})
    assert len(list(market_load.load_exchanges(again=True))) == coins + 2
    # Everybody who trades one of Bitso's coins is found.
    assert warehouse.rows("select count(distinct exchange_id) from raw.coingecko_tickers") == [
        (len({listed.exchange for listed in simulator.coingecko.listed}),)
    ]


@pytest.mark.usefixtures("simulator")
def test_a_day_later_the_exchanges_are_read_again(warehouse: Warehouse) -> None:
    first = len(list(market_load.load_exchanges()))
    warehouse.rows("update ops.cursors set done_at = done_at - interval '20 hours 1 second'")
    assert len(list(market_load.load_exchanges())) == first
    assert warehouse.rows("select distinct status from ops.runs") == [("succeeded",)]


def test_coins_are_those_of_the_last_time_when_bitso_cannot_be_asked_for(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    first = len(list(market_load.load_exchanges()))
    simulator.faults.add("status", "exchanges/bitso/tickers", argument=500)
    with pytest.raises(TransientError, match="exchange bitso"):
        list(market_load.load_exchanges(again=True))
    assert len(ledger(warehouse)) == 2 * first


def test_the_exchanges_killed_half_way_lose_nothing_and_ask_for_nothing_twice(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    simulator.faults.add("slow", "coins/dogecoin/tickers")
    process = subprocess.Popen(
        [BIN / "loader", "exchanges"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(
        lambda: "coins/dogecoin/tickers" in [r.path[-22:] for r in simulator.requests],
        lambda: f"the call that is held, but {process.poll()} and {simulator.requests}",
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    simulator.faults.clear()
    done = set(asked(simulator)) - {"coins/dogecoin/tickers"}
    rest = try_until_done(
        lambda: list(market_load.load_exchanges()), TransientError, "that Postgres notices the kill"
    )
    assert done.isdisjoint(asked(simulator))
    assert rest[0].detail["items"] == ["coin dogecoin"]
    assert warehouse.rows("select status, count(*) from ops.runs group by 1 order by 1") == [
        ("failed", 1),
        ("succeeded", len(done) + len(rest)),
    ]
    assert warehouse.rows(
        "select sum(rows_inserted) = (select count(*) from raw.coingecko_tickers) "
        "+ (select count(*) from raw.coingecko_exchanges) from ops.runs"
    ) == [(True,)]
    assert warehouse.rows("select count(*) from ops.cursors where item = '*'") == [(1,)]


def test_a_source_without_its_key_says_so_in_one_line_and_in_the_ledger(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    done = warehouse.loader("exchange-volumes")
    message = "coincap: it needs a key: set WAREHOUSE_COINCAP_KEY"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"loader: {message}\n")
    assert warehouse.rows("select status, error from ops.runs") == [("failed", message)]
    assert asked(simulator) == []
    done = warehouse.loader("exchange-volumes", WAREHOUSE_COINCAP_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert warehouse.rows("select count(*) > 0 from raw.coincap_exchanges") == [(True,)]


def test_no_key_gets_into_a_message_or_the_ledger(
    warehouse: Warehouse, simulator: Simulator
) -> None:
    for command, setting in (
        ("exchange-volumes", "WAREHOUSE_COINCAP_KEY"), ("exchanges", "WAREHOUSE_COINGECKO_KEY"),
    ):  # fmt: skip
        for fault in (None, "reset"):
            if fault:
                simulator.faults.add(fault)
            done = warehouse.loader(command, **{setting: PRO_KEY})
            assert done.returncode in (1, 75)
            assert PRO_KEY not in done.stdout + done.stderr
            simulator.faults.clear()
    [(text,)] = warehouse.rows("select string_agg(runs::text, '') from ops.runs as runs")
    assert PRO_KEY not in text


@pytest.mark.parametrize("job", ["tickers", "order-books", "books", "exchanges", "prune"])
def test_a_job_does_not_overlap_itself(warehouse: Warehouse, job: str) -> None:
    with closing(connect("loader")) as other, single_flight(other, job):
        done = warehouse.loader(job)
    assert done.returncode == 75
    assert done.stderr == f"loader: another {job} run is at work: try again later\n"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["tickers", "--books", " , "], {}),
        (["tickers"], {"WAREHOUSE_BOOKS": "BTC/MXN"}),
        (["books"], {"WAREHOUSE_BITSO_URL": "ftp://example.com"}),
    ],
)
def test_wrong_usage_is_one_line(
    warehouse: Warehouse, arguments: list[str], environment: dict[str, str]
) -> None:
    done = warehouse.loader(*arguments, **environment)
    assert done.returncode == 2
    assert warehouse.rows("select count(*) from ops.runs") == [(0,)]
