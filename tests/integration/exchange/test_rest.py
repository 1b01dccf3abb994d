"""The exchange simulator answers as the exchanges do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from loader.warehouse.settings import PROJECT_ROOT
from tests.clocks import NOON, SimulatedClock
from tests.exchange.coincap import DEPRECATED, KEY
from tests.exchange.market import BOOKS, DEAD_BOOK
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(3, SimulatedClock(NOON, 0)) as simulator:
        yield simulator


def _get(simulator: Simulator, path: str, **headers: str) -> requests.Response:
    return requests.get(simulator.url + path, headers=headers, timeout=LAST_RESORT_SECONDS)


UNKNOWN = "Unknown order book"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (
            "/ticker/?book=nope_usd",
            400,
            {"error": {"code": 20, "message": "Unknown OrderBook nope_usd"}},
        ),
        (
            "/order_book/?book=nope_usd",
            400,
            {
                "error": {"code": "0301", "details": [], "message": f"{UNKNOWN} nope_usd"},
                "success": False,
            },
        ),
        (
            "/order_book/",
            400,
            {
                "error": {"code": "0301", "details": [], "message": f"{UNKNOWN} missing"},
                "success": False,
            },
        ),
        ("/trades/?book=nope_usd", 200, {"payload": [], "success": True}),
        ("/nope/", 404, None),
    ],
)
def test_bitso_says_no_in_many_ways(
    simulator: Simulator, path: str, status: int, body: Any
) -> None:
    reply = _get(simulator, f"/bitso/v3{path}")
    assert reply.status_code == status
    assert (reply.json() if reply.content else None) == body


def test_bitso_locks_out_for_a_minute_after_60_calls(simulator: Simulator) -> None:
    statuses = [_get(simulator, "/bitso/v3/ticker?book=btc_mxn").status_code for _ in range(61)]
    assert statuses == [200] * 60 + [420]
    simulator.clock.advance(59)
    refused = _get(simulator, "/bitso/v3/ticker?book=btc_mxn")
    assert refused.json()["error"]["code"] == "0801"
    assert "Retry-After" not in refused.headers
    simulator.clock.advance(2)
    assert _get(simulator, "/bitso/v3/ticker?book=btc_mxn").status_code == 200


def test_the_market_moves_with_the_clock_and_depends_on_the_seed(simulator: Simulator) -> None:
    path = "/bitso/v3/order_book?book=btc_mxn"
    first = _get(simulator, path).text
    assert _get(simulator, path).text == first
    simulator.clock.advance(1)
    second = json.loads(_get(simulator, path).text)["payload"]
    before = json.loads(first)["payload"]
    assert second["bids"] != before["bids"]
    assert int(second["sequence"]) > int(before["sequence"]) > 2**32
    with Simulator(4, SimulatedClock(NOON, 0)) as another:
        assert _get(another, path).json()["payload"]["bids"] != before["bids"]


def test_a_dead_book_stands_still_but_for_its_stamp(simulator: Simulator) -> None:
    path = f"/bitso/v3/order_book?book={DEAD_BOOK}"
    before = _get(simulator, path).json()["payload"]
    simulator.clock.advance(3600)
    after = _get(simulator, path).json()["payload"]
    assert after.pop("updated_at") != before.pop("updated_at")
    assert after == before


def test_levels_are_sorted_and_numbers_plain(simulator: Simulator) -> None:
    for book in BOOKS[:40]:
        payload = _get(simulator, f"/bitso/v3/order_book?book={book}").json()["payload"]
        for side, is_falling in (("bids", True), ("asks", False)):
            prices = [Decimal(level["price"]) for level in payload[side]]
            assert prices == sorted(prices, reverse=is_falling)
            assert min(prices) > 0
        assert "e" not in json.dumps(payload["bids"][0]["price"]).lower()


def test_coingecko_pages_say_how_many_there_are(simulator: Simulator) -> None:
    first = _get(simulator, "/coingecko/api/v3/exchanges?per_page=250")
    assert (first.headers["total"], first.headers["per-page"]) == ("300", "250")
    assert first.headers["Link"] == '<?page=2>; rel="next"'
    assert len(first.json()) == 250
    past = _get(simulator, "/coingecko/api/v3/exchanges?per_page=250&page=3")
    assert (past.status_code, past.json()) == (200, [])
    tickers = _get(simulator, "/coingecko/api/v3/exchanges/bitso/tickers?page=9").json()
    assert tickers["tickers"] == []


def test_coincap_wants_its_key_and_version_2_is_gone(simulator: Simulator) -> None:
    assert _get(simulator, "/coincap/v3/exchanges").status_code == 401
    good = _get(simulator, "/coincap/v3/exchanges?limit=5", Authorization=f"Bearer {KEY}")
    assert len(good.json()["data"]) == 5
    old = _get(simulator, "/coincap/v2/exchanges")
    assert (old.status_code, old.json()["data"]) == (200, {"message": DEPRECATED})


def test_faults_are_at_hand_over_http(simulator: Simulator) -> None:
    control = f"{simulator.url}/control/faults"
    fault = {"name": "status", "path": "ticker", "times": 1, "argument": 503}
    assert (
        requests.post(control, json=fault, timeout=LAST_RESORT_SECONDS).json()[0]["name"]
        == "status"
    )
    statuses = [_get(simulator, "/bitso/v3/ticker").status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert (
        requests.post(control, json={"name": "nope"}, timeout=LAST_RESORT_SECONDS).status_code
        == 400
    )
    assert requests.delete(control, timeout=LAST_RESORT_SECONDS).json() == []
    requests.post(
        f"{simulator.url}/control/clock", json={"advance": 60}, timeout=LAST_RESORT_SECONDS
    )
    created = _get(simulator, "/bitso/v3/ticker?book=btc_mxn").json()["payload"]["created_at"]
    assert created == "2026-01-05T12:01:00+00:00"
    seen = requests.get(f"{simulator.url}/control/requests", timeout=LAST_RESORT_SECONDS).json()
    assert seen[-1] == ["/bitso/v3/ticker", {"book": "btc_mxn"}]


def test_it_runs_on_its_own() -> None:
    command = [sys.executable, "-m", "tests.exchange", "--seed", "5", "--speed", "0"]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name, _, url = process.stdout.readline().strip().partition("=")
        assert name == "export WAREHOUSE_BITSO_URL"
        assert (
            requests.get(f"{url}/available_books", timeout=LAST_RESORT_SECONDS).json()["success"]
            is True
        )
        process.terminate()
