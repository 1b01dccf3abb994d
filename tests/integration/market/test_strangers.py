"""Whatever a source answers, it costs its own item: no other rows, no key, no memory, no lock."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from loader.market import jobs as market_load
from loader.market.coingecko import Listing, coin_listings
from loader.warehouse.errors import TerminalError, WarehouseError
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.settings import get_settings
from loader.wire import pages
from loader.wire.json_text import MOST_ITEMS, MOST_VALUES
from loader.wire.records import Record
from loader.wire.reply import MAX_BODY_BYTES
from loader.wire.session import Manners
from tests.bench import launcher
from tests.clocks import NOON
from tests.conftest import BIN, Server, Warehouse
from tests.dripping import dripping
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import DEMO_KEY
from tests.exchange.faults import send
from tests.exchange.replies import Reply
from tests.exchange.rig import SOURCES, SourcesRig, collect
from tests.exchange.server import Simulator
from tests.local_server import QuietHandler, serving
from tests.waiting import LAST_RESORT_SECONDS

MOST_MIB = 150


def drained(runs: Iterator[LedgerRun]) -> WarehouseError | None:
    """Runs to their end, and how they ended."""
    try:
        for _ in runs:
            pass
    except WarehouseError as error:
        return error
    return None


# ------------------------------------------------------------- wrong kinds

KINDS: list[Any] = [
    None, True, -1.5, "text", [], {}, [None], [[]], {"a": {"b": 1}},
]  # fmt: skip
# Where any source reads one.
PLACES = ("payload", "data", "tickers", "error", "status", "success", "message", "error_code")


def documents() -> Iterator[Any]:
    """A value of each kind at each place, by itself and beside what makes a reply a success."""
    yield from KINDS
    for kind in KINDS:
        for place in PLACES:
            yield {place: kind}
            yield {"success": True, "payload": [], "data": [], "tickers": [], place: kind}
        for inner in ("code", "message", "error_code", "error_message"):
            yield {"success": False, "error": {inner: kind}, "status": {inner: kind}}
        yield {"success": True, "payload": kind, "data": kind, "tickers": kind}
        yield {"success": True, "payload": [kind], "data": [kind], "tickers": [kind]}


@pytest.mark.parametrize("source", SOURCES)
def test_a_reply_of_another_kind_is_one_line_or_set_aside(
    simulators: Simulator, source: str
) -> None:
    rig = SourcesRig(simulators, attempts=1)
    outcomes = set()
    for document in documents():
        with simulators.faults.during("text", argument=json.dumps(document)):
            try:
                _, bad = collect(source, rig)
                said = [one.reason for one in bad]
                outcomes.add("set aside" if bad else "taken")
            except WarehouseError as error:
                said = [str(error)]
                outcomes.add("refused")
        assert all(reason.isprintable() and 0 < len(reason) < 500 for reason in said)
        # Whatever froze the source is over.
        rig.clock.sleep(3600)
    assert outcomes - {"taken"} == {"set aside", "refused"}


# ------------------------------------------------------------------- names

ODD_NAMES = [
    "a/../../../control/faults",
    "../x",
    "a?b=c",
    "a#b",
    "a%2fb",
    "%2e%2e",
    "a b",
    "a&b",
    "é",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_stays_where_it_belongs(simulators: Simulator, name: str) -> None:
    rig = SourcesRig(simulators)
    simulators.requests.clear()
    for listing in (Listing("coin", name), Listing("exchange", name)):
        with pytest.raises(TerminalError):
            list(rig.coingecko().pages(listing))
    with pytest.raises(TerminalError):
        rig.bitso.order_book(name)
    asked = [request.path for request in simulators.requests]
    assert asked == [
        f"/coingecko/api/v3/coins/{quote(name, safe='')}/tickers",
        f"/coingecko/api/v3/exchanges/{quote(name, safe='')}/tickers",
        "/bitso/v3/order_book",
    ]
    assert simulators.requests[-1].query["book"] == name


@pytest.mark.parametrize("name", ["", " ", ".", "..", " .. ", "a\nb", "\x1b[2J", "a\x00", "\ud800"])
def test_what_is_no_name_is_not_asked_for(simulators: Simulator, name: str) -> None:
    simulators.requests.clear()
    with pytest.raises(
        TerminalError, match="is no name that anything can be asked for by"
    ) as caught:
        list(SourcesRig(simulators).coingecko().pages(Listing("coin", name)))
    assert str(caught.value).isprintable()
    assert simulators.requests == []


def test_raw_may_hold_tickers_of_any_kind() -> None:
    payloads = ["[]", "null", "7", "{}", '{"coin_id": 7}', '{"coin_id": ""}', '{"coin_id": "c"}']
    records = [Record(NOON, "bitso", payload) for payload in payloads]
    assert coin_listings(records) == [Listing("coin", "c")]


# -------------------------------------------------------------------- jobs


@pytest.fixture(scope="module")
def exchange() -> Iterator[Simulator]:
    with Simulator(3, rate_limited=False) as simulator:
        del simulator.coingecko.exchange_ids[24:]
        yield simulator


@pytest.fixture
def simulator(
    exchange: Simulator, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    """An exchange that the settings lead to, with keys."""
    for name, value in {
        **exchange.environment,
        "WAREHOUSE_COINGECKO_KEY": DEMO_KEY,
        "WAREHOUSE_COINCAP_KEY": KEY,
        "WAREHOUSE_COINGECKO_CALLS_PER_MINUTE": "6000",
        "WAREHOUSE_HTTP_ATTEMPTS": "1",
        "WAREHOUSE_HTTP_TIMEOUT_SECONDS": str(LAST_RESORT_SECONDS),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("loader.market.live._manners", lambda: Manners(LAST_RESORT_SECONDS, 1))
    monkeypatch.setattr(
        market_load, "coin_listings", lambda _: [Listing("coin", "bitcoin"), Listing("coin", "x")]
    )
    warehouse.activate()
    yield exchange
    exchange.faults.clear()
    get_settings.cache_clear()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in upper case": str.upper,
    "in JSON": lambda key: "".join(f"\\u{ord(character):04x}" for character in key),
    "quoted": lambda key: "".join(f"%{ord(character):02X}" for character in key),
    "in base64": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "in hex": lambda key: key.encode().hex(),
}
JOBS: dict[str, Callable[[], Iterator[LedgerRun]]] = {
    "tickers": lambda: market_load.load_tickers(["btc_mxn", "usd_mxn"]),
    "order-books": lambda: market_load.load_order_books(["btc_mxn", "usd_mxn"]),
    "books": market_load.load_books,
    "exchanges": market_load.load_exchanges,
    "exchange-volumes": market_load.load_exchange_volumes,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("job", "key"), [("exchanges", DEMO_KEY), ("exchange-volumes", KEY)])
def test_a_reply_that_holds_our_key_is_set_aside_without_it(
    warehouse: Warehouse, simulator: Simulator, job: str, key: str, spelling: str
) -> None:
    said = SPELLINGS[spelling](key)
    record = f'{{"id":"a","exchangeId":"a","name":"{said}"}}'
    body = f"[{record}]" if job == "exchanges" else f'{{"data":[{record}]}}'
    simulator.faults.add("text", "/exchanges?", 1, body)
    drained(JOBS[job]())
    [(reason, raw)] = warehouse.rows(
        "select reason_code, raw from ops.quarantine where source like %s", "%%exchanges"
    )
    assert reason == "holds_a_key"
    assert "***" in raw
    assert said not in raw
    held = "select count(*) from {} as t where position(lower(%s) in lower(t::text)) > 0"
    for table in ("ops.quarantine", "ops.runs", "raw.coingecko_exchanges", "raw.coincap_exchanges"):
        for form in (key, said):
            assert warehouse.rows(held.format(table), form) == [(0,)], table
    counts = "select rows_read, rows_inserted, rows_quarantined from ops.runs where job = %s"
    read, inserted, aside = warehouse.rows(counts, job)[0]
    assert (read, aside) == (inserted + 1, 1)


def test_a_list_without_end_brings_nothing_and_keeps_nobody_else_from_it(
    warehouse: Warehouse, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 5)
    answer = simulator.answer
    count = iter(range(1_000_000))

    def endless(path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        reply = answer(path, query, headers)
        if path.endswith(("coins/bitcoin/tickers", "coincap/v3/exchanges")):
            name = "tickers" if "tickers" in reply.document else "data"
            row = {"base": "A", "target": "B", "market": {"identifier": "a"}, "exchangeId": "a"}
            rows = [{**row, "name": f"{next(count)}"} for _ in range(2000)]
            return Reply(200, {name: rows}, headers={"total": "9" * 9, "per-page": "100"})
        return reply

    monkeypatch.setattr(simulator, "answer", endless)
    simulator.requests.clear()
    error = drained(market_load.load_exchanges())
    assert "(coin bitcoin, coin x): coingecko: coin bitcoin does not end after 5 pages" in str(
        error
    )
    assert len([one for one in simulator.requests if "bitcoin" in one.path]) == 5
    assert warehouse.rows(
        "select detail -> 'items' ->> 0, rows_inserted > 0 from ops.runs "
        "where status = 'succeeded' order by run_id"
    ) == [("exchanges", True), ("exchange bitso", True)]
    error = drained(market_load.load_exchange_volumes())
    assert "its list of exchanges does not end after 5 pages" in str(error)
    assert warehouse.rows("select count(*) from raw.coincap_exchanges") == [(0,)]


@pytest.mark.parametrize("total", ["9" * 5000, "٣", "-1", "x", ""])
def test_a_total_that_is_none_is_not_read(simulator: Simulator, total: str) -> None:
    rig = SourcesRig(simulator)
    reply = Reply(
        200, {"tickers": []}, headers={"total": total.encode().decode("latin-1"), "per-page": "1"}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "answer", lambda *_: reply)
        [page] = rig.coingecko().pages(Listing("coin", "bitcoin"))
    assert page.is_last


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("fault", [None, "html"])
def test_nobody_is_in_a_transaction_while_a_reply_is_waited_for(
    server: Server,
    warehouse: Warehouse,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    fault: str | None,
) -> None:
    answer, lock = simulator.answer, threading.Lock()
    seen: list[Any] = []
    with closing(server.admin(warehouse.where.db)) as admin, admin.cursor() as cursor:

        def looking(path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
            with lock:
                # An autovacuum has one too, and nobody waits for it.
                cursor.execute(
                    "select xact_start is null, query from pg_stat_activity where pid <> "
                    "pg_backend_pid() and datname = %s and backend_type = 'client backend'",
                    (warehouse.where.db,),
                )
                seen.append(cursor.fetchall())
            return answer(path, query, headers)

        monkeypatch.setattr(simulator, "answer", looking)
        if fault:
            simulator.faults.add(fault, argument=502)
        drained(JOBS[job]())
    assert seen
    # The job's own connection is there, without a transaction.
    assert all(connections for connections in seen)
    assert [query for connections in seen for idle, query in connections if not idle] == []


@pytest.mark.parametrize("header", [b"X\r\n", b": x\r\n", b"Content-Type: multipart/x\r\n"])
def test_an_odd_header_is_no_news(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    def way(handler: QuietHandler) -> None:
        handler.rfile.readline()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nA: b\r\n" + header + b"\r\n{}")

    monkeypatch.setattr("loader.market.live._manners", lambda: Manners(LAST_RESORT_SECONDS, 1))
    with dripping(way) as server:
        done = warehouse.call("loader", "books", WAREHOUSE_BITSO_URL=server.url)
    assert done.returncode == 1
    assert done.stderr == (
        "loader: listing: bitso: HTTP 200 the reply is no success and gives no reason\n"
    )


# ------------------------------------------------------------------ memory

# One wide character makes Python take four bytes for each of a text.
PAD = "x" * 130 + "\U0001f600"
MANY = MOST_ITEMS


def _wide(path: str, query: dict[str, list[str]]) -> str:
    """A reply about as large as one may be, of as many values as one may have."""
    page = query.get("page") or query.get("offset") or ["0"]
    if path.endswith("order_book"):
        level = '{"price":"1","amount":"1"}'
        # A brace and two commas each.
        side = f"[{','.join([level] * (MOST_VALUES // 6 - 10))}]"
        pad = "x" * (MAX_BODY_BYTES - 2 * len(side) - 200) + PAD[-1]
        rest = f'"updated_at":"2026-01-05T12:00:00+00:00","sequence":"1","pad":"{pad}"'
        return f'{{"success":true,"payload":{{"bids":{side},"asks":{side},{rest}}}}}'
    name = "payload" if "/bitso" in path else "tickers" if path.endswith("tickers") else "data"
    # Of the tickers none is good: their books are others.
    rows = ",".join(
        f'{{"book":"b_{n}","id":"{n}","exchangeId":"{n}","name":"{page[0]} {n} {PAD}"}}'
        for n in range(MANY)
    )
    return (
        f"[{rows}]"
        if "gecko" in path and name == "data"
        else (f'{{"success":true,"{name}":[{rows}]}}')
    )


class Wide(QuietHandler):
    """Answers whatever it is asked, at length; a list has three pages."""

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        is_over = query.get("page") == ["4"] or int(query.get("offset", ["0"])[0]) > 4000
        empty = "[]" if "gecko" in parts.path else '{"data":[]}'
        send(self, 200, (empty if is_over else _wide(parts.path, query)).encode())


@pytest.mark.parametrize(
    "command",
    [
        "books",
        "tickers",
        "order-books --books b_1,b_2,b_3,b_4",
        "exchanges",
        "exchange-volumes",
    ],
)
def test_wide_replies_cost_little_memory(
    warehouse: Warehouse, tmp_path: Path, command: str
) -> None:
    for path in ("/bitso/order_book", "/bitso/ticker", "/gecko/exchanges"):
        assert MAX_BODY_BYTES * 0.9 < len(_wide(path, {}).encode()) < MAX_BODY_BYTES
    with serving(Wide) as server:
        done = subprocess.run(
            [
                sys.executable, launcher.__file__, str(tmp_path / "log"), "0",
                BIN / "loader", *command.split(),
            ],
            env={
                **os.environ,
                "WAREHOUSE_BITSO_URL": f"{server.url}/bitso",
                "WAREHOUSE_COINGECKO_URL": f"{server.url}/gecko",
                "WAREHOUSE_COINCAP_URL": f"{server.url}/cap",
                "WAREHOUSE_COINCAP_KEY": KEY,
                "WAREHOUSE_HTTP_TIMEOUT_SECONDS": str(LAST_RESORT_SECONDS),
            },
            stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
    told = json.loads(done.stdout)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    [(rows,)] = warehouse.rows("select sum(rows_read) from ops.runs")
    assert rows >= (4 if "order" in command else MANY), log
    assert told["peak_mib"] < MOST_MIB, log
