"""Replies of the sources' REST APIs: their content, and what the wire makes of it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.clocks import SimulatedClock
from tests.exchange.coincap import KEY
from tests.exchange.market import BOOKS
from tests.exchange.replies import dumps
from tests.exchange.server import Simulator
from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import counted
from tests.faults.place import Place
from tests.faults.values import CUT, ENCODED, spoiled_records

NAME = "REST reply"
FIVE = ",".join(BOOKS[:5])
# So long are a connection, a pause, and thrice that a reply waited for, where a case is about time.
SHORT = {"WAREHOUSE_HTTP_TIMEOUT_SECONDS": "1"}


class Api(NamedTuple):
    """A command, the reply that its faults are in, and which members of a record are odd.

    `ask` is the path and query of a good reply, `inside` the member with its records, of which
    `of_many` are kept; `also` are further faults.
    """

    command: tuple[str, ...]
    hits: str
    ask: tuple[str, dict[str, str]]
    inside: str
    number: str
    text: str
    rows: str
    good: tuple[int, ...]
    also: tuple[tuple[str, str, Any], ...] = ()


def _count(table: str) -> str:
    return f"select count(*) from raw.{table}"


APIS = {
    "tickers": Api(
        ("tickers", "--books", FIVE), "/bitso/v3/ticker", ("/bitso/v3/ticker", {}), "payload",
        "bid", "book", _count("bitso_tickers"), (4, 5)),
    "order-books": Api(
        ("order-books", "--books", "btc_mxn,eth_mxn"), "order_book?book=eth_mxn",
        ("/bitso/v3/order_book", {"book": "eth_mxn"}), "payload", "sequence", "updated_at",
        _count("bitso_order_books"), (1, 2)),
    "books": Api(
        ("books",), "/bitso/v3/available_books", ("/bitso/v3/available_books", {}), "payload",
        "tick_size", "book", _count("bitso_books"), (4, 5)),
    "exchanges": Api(
        ("exchanges",), "/api/v3/exchanges?", ("/coingecko/api/v3/exchanges", {}), "",
        "trust_score_rank", "id", _count("coingecko_exchanges"), (4, 5),
        (("status", "/tickers", 404),)),
    "exchange-volumes": Api(
        ("exchange-volumes",), "/coincap/v3/exchanges", ("/coincap/v3/exchanges", {}), "data",
        "volumeUsd", "exchangeId", _count("coincap_exchanges"), (4, 5)),
}  # fmt: skip


class Told(NamedTuple):
    """What an API answers: a record of a good reply replaced, its bytes changed, or a fault."""

    api: str
    record: str | None = None
    change: str | None = None
    fault: str | None = None
    argument: Any = None


def _document(simulator: Simulator, api: Api) -> Any:
    """A good reply, with five records where it has many."""
    headers = {"authorization": f"Bearer {KEY}"}
    document = simulator.answer(*api.ask, headers).document
    records = document[api.inside] if api.inside else document
    if isinstance(records, list):
        del records[5:]
    return document


def _with_record(text: str, document: Any, api: Api, record: str) -> bytes:
    """The reply's text with its second record, or its one, replaced."""
    records = document[api.inside] if api.inside else document
    known = dumps(records[1] if isinstance(records, list) else records)
    assert text.count(known) == 1
    return text.replace(known, record).encode(errors="surrogatepass")


def bring(place: Place, case: Case) -> None:
    """Have an API answer so, and ask it."""
    told: Told = case.what
    api = APIS[told.api]
    with Simulator(3, SimulatedClock(), rate_limited=False) as simulator:
        document = _document(simulator, api)
        text = dumps(document)
        for name, path, argument in api.also:
            simulator.faults.add(name, path, argument=argument)
        if told.record is not None:
            body = _with_record(text, document, api, told.record)
            simulator.faults.add("text", api.hits, argument=body)
        elif told.change is not None:
            change = {**CUT, **ENCODED}[told.change]
            simulator.faults.add("text", api.hits, argument=change(text.encode()))
        else:
            assert told.fault
            simulator.faults.add(told.fault, api.hits, argument=told.argument)
        ran = place.run(
            "loader", *api.command,
            env={
                **simulator.environment, "WAREHOUSE_COINCAP_KEY": KEY,
                **(SHORT if case.kind in ("time", "lost") else {}),
            },
        )  # fmt: skip
    place.survived(ran, case.holds.exits, case.holds.says)
    rows = counted(place, api.rows)
    assert not case.holds.good or rows in case.holds.good, f"{rows} rows, not {case.holds.good}"
    place.conserved()


# What a record with a fault may come to: beside it, the others; or nothing of an unreadable reply.
ANY_END = (0, 1, 75)
WIRE: dict[str, tuple[str, str, Any]] = {
    "an answer that never comes": ("time", "slow", None),
    "a byte now and then": ("time", "trickle", 0.2),
    "a reset": ("cut", "reset", None),
    "half of it": ("cut", "truncated", None),
    "half of a chunk": ("cut", "cut_chunk", None),
    "a wrong length": ("cut", "wrong_length", None),
    "no gzip": ("encoding", "bad_gzip", None),
    "a bomb": ("size", "gzip_bomb", None),
    "HTML": ("shape", "html", 200),
    "a list": ("shape", "document", []),
    "a text": ("shape", "document", "text"),
    "a number": ("shape", "document", 7),
    "nothing": ("shape", "document", None),
    "deep lists": ("size", "text", "[" * 200_000),
    "many lists": ("size", "text", b"[" + b"[]," * 2_000_000 + b"[]]"),
    "forbidden": ("permission", "status", 403),
    "no key": ("permission", "status", 401),
    "not found": ("lost", "status", 404),
    "gone": ("lost", "status", 503),
    "no room over there": ("full disk", "status", 507),
    "another version": ("version", "document", {"data": {"message": "We are deprecating this"}}),
    "elsewhere": ("place", "redirect", "http://127.0.0.2:9/elsewhere"),
}


def _reply_cases() -> Iterator[Case]:
    with Simulator(3, SimulatedClock(), rate_limited=False) as simulator:
        for number, (name, api) in enumerate(APIS.items()):
            document = _document(simulator, api)
            records = document[api.inside] if api.inside else document
            record = json.loads(dumps(records[1] if isinstance(records, list) else records))
            is_whole = name == "tickers"
            nothing = (0, *api.good)
            for place, (kind, odd, text) in enumerate(
                spoiled_records(record, api.number, api.text)
            ):
                # All of them for one source, by turns for the others.
                if is_whole or place % 4 == number % 4:
                    told = Told(name, record=text)
                    yield Case(NAME, kind, f"{name}: {odd}", told, Holds(ANY_END, nothing))
            for change in (*CUT, *ENCODED):
                kind = "cut" if change in CUT else "encoding"
                if is_whole or change in ("half", "UTF-16"):
                    told = Told(name, change=change)
                    yield Case(NAME, kind, f"{name}: {change}", told, Holds(ANY_END, nothing))
            for odd, (kind, fault, argument) in WIRE.items():
                if name in ("books", "exchange-volumes"):
                    told = Told(name, fault=fault, argument=argument)
                    yield Case(NAME, kind, f"{name}: {odd}", told, Holds((1, 75), (0,)))


REPLIES = Surface(NAME, list(_reply_cases()), bring, {})
