"""The exchange simulator: a real HTTP server on loopback that is Bitso, CoinGecko and CoinCap.

Addresses stand for hosts:

    /bitso/v3            api.bitso.com/v3
    /coingecko/api/v3    api.coingecko.com/api/v3
    /coingecko-pro/api/v3    pro-api.coingecko.com/api/v3
    /coincap/v3, /coincap/v2    rest.coincap.io/v3, api.coincap.io/v2
    /control             this simulator

With `frames_per_second` its books live (`live.py`), and a second port is ws.bitso.com
(`stream.py`).

What goes wrong is said in Python (`simulator.faults`) or over HTTP: `POST /control/faults` with a
fault as JSON, `DELETE /control/faults`, `GET /control/faults`, `GET /control/requests`, and
`POST /control/clock` with `{"advance": seconds}`, `POST /control/states` with `{"book": name,
"sequences": [...]}` for what a live book was, `GET /control/stream` for what was counted.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from tests.clocks import ExchangeClock, SimulatedClock
from tests.exchange.bitso import BitsoApi
from tests.exchange.coincap import CoinCapApi
from tests.exchange.coingecko import CoinGeckoApi
from tests.exchange.faults import CONTENT, OLD_SNAPSHOT, WIRE, Fault, Faults, break_content, send
from tests.exchange.live import LiveMarket, Pace
from tests.exchange.market import Market
from tests.exchange.replies import Reply, Request
from tests.exchange.stream import StreamServer
from tests.local_server import LocalServer, QuietHandler


class Simulator:
    """The server, and what a test needs to know and to change of it."""

    def __init__(
        self,
        seed: int = 1,
        clock: ExchangeClock | None = None,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        stream_port: int = 0,
        rate_limited: bool = True,
        frames_per_second: float | None = None,
        pace: Pace | None = None,
    ) -> None:
        market = Market(seed)
        self.market = market
        self.clock: ExchangeClock = clock or SimulatedClock()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.live: LiveMarket | None = None
        self.stream: StreamServer | None = None
        if frames_per_second is not None:
            self.live = LiveMarket(market, self.clock.now(), frames_per_second, pace)
            self.stream = StreamServer(self.live, self.clock, self.faults, stream_port, host)
        self.bitso = BitsoApi(market, self.live, rate_limited=rate_limited)
        self.coingecko = CoinGeckoApi(market, "demo")
        coincap = CoinCapApi(market)
        self._apis = {
            "/bitso/v3": self.bitso.answer,
            "/coingecko/api/v3": self.coingecko.answer,
            "/coingecko-pro/api/v3": CoinGeckoApi(market, "pro").answer,
            "/coincap": coincap.answer,
        }
        self._host = host
        self._port = port
        self._server: LocalServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The settings that send the loader here."""
        addresses = {
            "WAREHOUSE_BITSO_URL": f"{self.url}/bitso/v3",
            "WAREHOUSE_COINGECKO_URL": f"{self.url}/coingecko/api/v3",
            "WAREHOUSE_COINCAP_URL": f"{self.url}/coincap/v3",
        }
        if self.stream:
            addresses["WAREHOUSE_BITSO_STREAM_URL"] = self.stream.url
        return addresses

    def start(self) -> None:
        """Listen, on the port of last time if there was one."""
        self._server = LocalServer(_handler(self), self._host, self._port)
        self._port = self._server.server_port
        self._server.start()
        if self.stream:
            self.stream.start()

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        assert self._server is not None, "it is not running"
        if self.stream:
            self.stream.stop()
        self._server.stop()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for as long as the block lasts."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def answer(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        """What the API at a path says."""
        for prefix, api in self._apis.items():
            if path.startswith(prefix + "/"):
                request = Request(path.removeprefix(prefix), query, headers, self.clock.now())
                self.requests.append(request._replace(path=path))
                return api(request)
        return Reply(404, text="")

    def spoil(self, reply: Reply, hit: list[Fault], query: dict[str, str]) -> None:
        """Let the faults that hit a reply have its content."""
        for fault in hit:
            if fault.name in CONTENT:
                break_content(reply, fault)
            elif fault.name == OLD_SNAPSHOT and reply.status == 200:
                back = fault.argument or 100
                payload = self.bitso.whole_book(query["book"], self.clock.now(), back)
                reply.document = {"success": True, "payload": payload}

    def control(self, method: str, path: str, body: bytes) -> Reply:
        """A call of the control API."""
        match method, path:
            case "POST", "/control/faults":
                try:
                    self.faults.add(**json.loads(body))
                except (TypeError, ValueError) as error:
                    return Reply(400, {"error": str(error)})
            case "DELETE", "/control/faults":
                self.faults.clear()
            case "POST", "/control/clock":
                self.clock.advance(json.loads(body)["advance"])
            case "POST", "/control/states" if self.live:
                asked = json.loads(body)
                return Reply(200, self.live.states(asked["book"], asked["sequences"]))
            case "GET", "/control/stream" if self.stream:
                return Reply(200, dict(self.stream.counts))
            case "GET", "/control/requests":
                return Reply(200, [[one.path, dict(one.query)] for one in self.requests])
            case "GET", "/control/faults":
                pass
            case _:
                return Reply(404, {"error": "no such control"})
        return Reply(200, self.faults.in_force())


def _handler(simulator: Simulator) -> type[QuietHandler]:
    class ExchangeHandler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_DELETE(self) -> None:
            self._handle()

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            if parts.path.startswith("/control/"):
                reply = simulator.control(self.command, parts.path, body)
                send(self, reply.status, reply.body())
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = simulator.answer(parts.path, dict(parse_qsl(parts.query)), headers)
            hit = simulator.faults.take(self.path)
            simulator.spoil(reply, hit, dict(parse_qsl(parts.query)))
            wire = next((fault for fault in hit if fault.name in WIRE), None)
            if wire:
                WIRE[wire.name](self, reply, wire.argument)
            else:
                send(self, reply.status, reply.body(), reply.headers)

    return ExchangeHandler
