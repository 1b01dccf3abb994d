"""The simulator's WebSocket is Bitso's, and what it says adds up with its REST API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.clocks import STEP_SECONDS, SteppedClock
from tests.exchange.live import Pace
from tests.exchange.market import BOOKS, DEAD_BOOK
from tests.exchange.server import Simulator
from tests.waiting import LAST_RESORT_SECONDS

BOOK = "btc_usd"
# Of the simulator's time: two `ka`.
LONGEST_SILENCE_SECONDS = 40


class Listener:
    """A client of the simulator's WebSocket, which lets its clock go on while nothing comes."""

    def __init__(self, socket: ClientConnection, clock: SteppedClock) -> None:
        self.socket = socket
        self._clock = clock

    def send(self, text: str) -> None:
        """Say something."""
        self.socket.send(text)

    def next(self) -> dict[str, Any]:
        """The next message; raises TimeoutError where none comes for a long time of theirs."""
        silent_until = self._clock.monotonic() + LONGEST_SILENCE_SECONDS
        while True:
            self._fetch()
            try:
                message: dict[str, Any] = json.loads(self.socket.recv(timeout=0))
            except TimeoutError:
                if self._clock.monotonic() > silent_until:
                    raise
                self._clock.advance(STEP_SECONDS)
            else:
                return message

    def _fetch(self) -> None:
        """Return when everything is here that was sent: a pong comes after it."""
        with suppress(ConnectionClosed):
            assert self.socket.ping(ack_on_close=True).wait(LAST_RESORT_SECONDS)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def simulator(clock: SteppedClock) -> Iterator[Simulator]:
    with Simulator(
        3, clock, rate_limited=False, frames_per_second=50, pace=Pace(orders=30)
    ) as simulator:
        assert simulator.live
        # every frame is of one book
        simulator.live.paused = {book for book in BOOKS if book != BOOK}
        yield simulator


@contextmanager
def _open(simulator: Simulator) -> Iterator[Listener]:
    # with a bounded queue, frames that nobody reads would hide the end of a connection
    url = simulator.environment["WAREHOUSE_BITSO_STREAM_URL"]
    with connect(url, max_queue=None, close_timeout=2) as connection:
        assert isinstance(simulator.clock, SteppedClock)
        yield Listener(connection, simulator.clock)


@pytest.fixture
def socket(simulator: Simulator) -> Iterator[Listener]:
    with _open(simulator) as socket:
        yield socket


def _ask(socket: Listener, **what: str) -> dict[str, Any]:
    socket.send(json.dumps(what))
    return socket.next()


def _frames(socket: Listener, count: int) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while len(frames) < count:
        message = socket.next()
        if "sequence" in message:
            frames.append(message)
    return frames


def _subscribe(socket: Listener, book: str = BOOK) -> dict[str, Any]:
    return _ask(socket, action="subscribe", book=book, type="diff-orders")


def _snapshot(simulator: Simulator, **query: str) -> dict[str, Any]:
    url = f"{simulator.url}/bitso/v3/order_book"
    reply = requests.get(
        url, {"book": BOOK, "aggregate": "false", **query}, timeout=LAST_RESORT_SECONDS
    )
    payload: dict[str, Any] = reply.json()["payload"]
    return payload


def _apply(orders: dict[str, Any], frame: dict[str, Any]) -> None:
    for entry in frame["payload"]:
        orders.pop(entry["o"], None)
        if entry["s"] == "open":
            orders[entry["o"]] = (entry["t"], Decimal(entry["r"]), Decimal(entry["a"]))


def _orders(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {
        level["oid"]: (side, Decimal(level["price"]), Decimal(level["amount"]))
        for side, name in ((0, "bids"), (1, "asks"))
        for level in snapshot[name]
    }


def _levels(orders: dict[str, Any], side: int) -> list[tuple[Decimal, Decimal]]:
    totals: dict[Decimal, Decimal] = {}
    for which, price, amount in orders.values():
        if which == side:
            totals[price] = totals.get(price, Decimal(0)) + amount
    return sorted(totals.items(), reverse=side == 0)[:20]


def test_it_answers_subscriptions_as_bitso_does(simulator: Simulator) -> None:
    with _open(simulator) as socket:
        ack = _subscribe(socket, DEAD_BOOK)
        assert ack.pop("time") > 1.7e12
        assert ack == {
            "action": "subscribe", "response": "ok", "type": "diff-orders", "book": DEAD_BOOK,
        }  # fmt: skip
        again = _subscribe(socket, DEAD_BOOK)
        assert again["response"] == f"Already subscribed to channel: diff-orders:{DEAD_BOOK}"
        bad = _subscribe(socket, "nope_usd")
        assert bad["error"] == "This book is not supported - nope_usd"
        assert "book" not in bad
        channel = _ask(socket, action="subscribe", book=BOOK, type="nope")
        assert channel["error"] == "This type of channel is not supported - nope"
        assert _ask(socket, action="dance")["error"] == "unknown subscription"
        socket.send("no JSON")
        assert socket.next()["error"] == "invalid message"
        # no snapshot, and a dead book has no frames: the next is `ka`
        assert socket.next() == {"type": "ka"}
        socket.send(json.dumps({"action": "subscribe", "type": "diff-orders"}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.next()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1011


def test_a_book_rebuilt_from_frames_is_the_simulators_own(
    simulator: Simulator, socket: Listener
) -> None:
    _subscribe(socket)
    first = _frames(socket, 1)[0]
    snapshot = _snapshot(simulator)
    orders, sequence = _orders(snapshot), int(snapshot["sequence"])
    frames = _frames(socket, 400)
    assert [frame["sequence"] - first["sequence"] for frame in frames] == list(range(1, 401))
    applied = [frame for frame in frames if frame["sequence"] > sequence]
    control = f"{simulator.url}/control/states"
    asked = {"book": BOOK, "sequences": [frame["sequence"] for frame in applied]}
    states = requests.post(control, json=asked, timeout=LAST_RESORT_SECONDS).json()
    assert len(states) == len(applied) > 300
    for frame in applied:
        _apply(orders, frame)
        state = states[str(frame["sequence"])]
        for side, name in ((0, "bids"), (1, "asks")):
            own = [(Decimal(price), Decimal(amount)) for price, amount in state[name]]
            assert _levels(orders, side) == own
        assert Decimal(state["bids"][0][0]) < Decimal(state["asks"][0][0])
    entries = [entry for frame in applied for entry in frame["payload"]]
    assert {entry["s"] for entry in entries} == {"open", "cancelled", "completed"}
    assert all(("a" in entry) == (entry["s"] != "completed") for entry in entries)
    assert all(len(entry["r"].partition(".")[2]) == 8 for entry in entries)
    assert max(len(frame["payload"]) for frame in applied) > 1
    moved = [
        frame
        for frame in applied
        for one, two in pairwise(frame["payload"])
        if one["o"] == two["o"] and (one["s"], two["s"]) == ("cancelled", "open")
    ]
    assert moved


def test_all_of_rest_tells_of_the_same_book(simulator: Simulator) -> None:
    assert simulator.live
    with simulator.live.lock:
        simulator.live.rate = 0
    whole, levels = _snapshot(simulator), _snapshot(simulator, aggregate="true")
    url = f"{simulator.url}/bitso/v3/ticker"
    ticker = requests.get(url, {"book": BOOK}, timeout=LAST_RESORT_SECONDS).json()["payload"]
    assert whole["sequence"] == levels["sequence"]
    best = (levels["bids"][0]["price"], levels["asks"][0]["price"])
    assert (whole["bids"][0]["price"], whole["asks"][0]["price"]) == best
    assert (ticker["bid"], ticker["ask"]) == best
    assert not any(order["amount"].endswith(".0") for order in whole["bids"])


def test_a_snapshot_can_be_old(simulator: Simulator, socket: Listener) -> None:
    _subscribe(socket)
    _frames(socket, 60)
    assert simulator.live
    with simulator.live.lock:
        simulator.live.rate = 0
    new = _snapshot(simulator)
    simulator.faults.add("old_snapshot", "order_book", 1, 40)
    old = _snapshot(simulator)
    back = int(old["sequence"])
    assert int(new["sequence"]) - back == 40
    own = simulator.live.states(BOOK, [back])[str(back)]
    for side, name in ((0, "bids"), (1, "asks")):
        expected = [(Decimal(price), Decimal(amount)) for price, amount in own[name]]
        assert _levels(_orders(old), side) == expected


def test_all_54_books_stream(simulator: Simulator, socket: Listener) -> None:
    assert len(BOOKS) == 54
    assert simulator.live
    for book in BOOKS:
        socket.send(json.dumps({"action": "subscribe", "book": book, "type": "diff-orders"}))
    with simulator.live.lock:
        simulator.live.paused = {DEAD_BOOK}
    seen = {frame["book"] for frame in _frames(socket, 800)}
    assert seen == set(BOOKS) - {DEAD_BOOK}


@pytest.mark.parametrize(
    ("fault", "steps"),
    [("gap", {1, 2}), ("duplicate", {0, 1}), ("reordered_keys", {1})],
)
def test_frames_go_wrong_once(
    simulator: Simulator, socket: Listener, fault: str, steps: set[int]
) -> None:
    _subscribe(socket)
    simulator.faults.add(fault, BOOK, 1)
    sequences = [frame["sequence"] for frame in _frames(socket, 50)]
    assert simulator.stream
    assert simulator.stream.counts[fault] == 1
    found = {two - one for one, two in pairwise(sequences)}
    # the very first frame may be the one that is hit
    assert found <= steps
    assert len(found - {1}) <= 1


def test_a_frame_cannot_be_read(simulator: Simulator, socket: Listener) -> None:
    _subscribe(socket)
    _frames(socket, 1)
    simulator.faults.add("unreadable", BOOK, 1)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        _frames(socket, 100)
    assert _frames(socket, 1)


def test_dead_data_moves_in_rest_alone(simulator: Simulator, socket: Listener) -> None:
    _subscribe(socket)
    last = _frames(socket, 5)[-1]["sequence"]
    with simulator.faults.during("dead_data", BOOK):
        messages = iter(socket.next, {"type": "ka"})
        last = max([last, *(message["sequence"] for message in messages)])
        assert int(_snapshot(simulator)["sequence"]) > last + 10
    assert _frames(socket, 1)[0]["sequence"] > last + 10


def test_frames_may_begin_late(simulator: Simulator, socket: Listener) -> None:
    simulator.faults.add("slow_first_frame", BOOK, 1, 10)
    _subscribe(socket)
    before = int(_snapshot(simulator)["sequence"])
    assert _frames(socket, 1)[0]["sequence"] > before + 50


def test_a_stalled_socket_says_nothing(simulator: Simulator, socket: Listener) -> None:
    _subscribe(socket)
    simulator.faults.add("stall", times=1)
    with pytest.raises(TimeoutError):
        _frames(socket, 10_000)


@pytest.mark.parametrize(
    ("fault", "code"), [("disconnect", None), ("cut_frame", None), ("close", 1011)]
)
def test_a_connection_ends(
    simulator: Simulator, socket: Listener, fault: str, code: int | None
) -> None:
    _subscribe(socket)
    _frames(socket, 1)
    simulator.faults.add(fault, times=1)
    with pytest.raises(ConnectionClosed) as closed:
        _frames(socket, 10_000)
    received = closed.value.rcvd
    assert (received.code if received else None) == code
    # and the next one is fine
    with _open(simulator) as another:
        _subscribe(another)
        assert _frames(another, 3)


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_handshake_is_refused(simulator: Simulator, status: int) -> None:
    fault = {"name": "refuse", "times": 1, "argument": status}
    requests.post(f"{simulator.url}/control/faults", json=fault, timeout=LAST_RESORT_SECONDS)
    with pytest.raises(InvalidStatus) as refused, _open(simulator):
        pass
    assert refused.value.response.status_code == status
    with _open(simulator) as socket:
        assert _subscribe(socket)["response"] == "ok"


def test_keep_alive_comes_every_20_seconds(clock: SteppedClock, socket: Listener) -> None:
    arrived = []
    for _ in range(3):
        assert socket.next() == {"type": "ka"}
        arrived.append(clock.monotonic())
    for one, two in pairwise(arrived):
        assert 15 < two - one < 30


def test_a_side_can_be_empty(simulator: Simulator, socket: Listener) -> None:
    _subscribe(socket)
    _frames(socket, 1)
    simulator.faults.add("cancel_side", BOOK, 1, "bids")
    frame = next(frame for frame in _frames(socket, 50) if len(frame["payload"]) > 11)
    assert {(entry["t"], entry["s"]) for entry in frame["payload"]} == {(0, "cancelled")}
    assert simulator.live
    state = simulator.live.states(BOOK, [frame["sequence"]])[str(frame["sequence"])]
    assert state["bids"] == []
    assert state["asks"]
