"""The stream: frames, the handshake, and the lines of the spool that a killed daemon leaves."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from loader.stream.seconds import Sample, Second, Why
from loader.stream.socket import LONGEST_FRAME_BYTES
from loader.warehouse.clock import SECOND
from tests.exchange.market import BOOKS as ALL_BOOKS
from tests.exchange.server import Simulator
from tests.faults.cases import Case, Surface
from tests.faults.gate import HOLD, RESET, Drip, Flood, Step, gate
from tests.faults.headers import redirect, reply
from tests.faults.place import Place, Started, World
from tests.faults.values import CUT, DEEP, ENCODED, NUMBERS, spoiled_records
from tests.odd_values import NOISE
from tests.waiting import wait_for
from tests.watch import assert_exact

FRAME, HANDSHAKE, SPOOL = "stream frame", "stream handshake", "spool line"
BOOKS = ("btc_mxn", "eth_mxn")
# Frames of two books a second; of the others nobody would see one.
FRAMES_A_SECOND = 15
# In step again: asking for a snapshot takes its turn among the calls of a minute.
LONGEST_SECONDS = 150.0


class Daemon:
    """`loader stream` on a simulator of its own, in a place of its own."""

    def __init__(self, place: Place, simulator: Simulator, url: str = "") -> None:
        self.place = place
        self.simulator = simulator
        environment = {**simulator.environment}
        if url:
            environment["WAREHOUSE_BITSO_STREAM_URL"] = url
        self._environment = environment
        self.started: Started | None = None

    def start(self, **environment: str) -> None:
        """Start it."""
        self.started = self.place.start(
            "loader", "stream", env={**self._environment, **environment}
        )

    def until_in_step(self, since: datetime) -> None:
        """Wait until every book is observed after a moment; fails when the daemon ends before."""
        assert self.started
        started = self.started

        def is_there() -> bool:
            assert started.is_running, f"the daemon has ended: {_last_words(started)}"
            return self._observed_since(since) == len(BOOKS)

        wait_for(is_there, lambda: f"not in step again: {_last_words(started)}", LONGEST_SECONDS)

    def _observed_since(self, since: datetime) -> int:
        [(books,)] = self.place.rows(
            "select count(distinct book) from raw.bitso_order_books "
            "where channel = 'diff-orders' and received_at > %s", since,
        )  # fmt: skip
        return int(books)

    def kill(self) -> None:
        """End it without a word."""
        assert self.started
        self.started.send(signal.SIGKILL)
        self.started.end()
        self.started = None

    def stop(self) -> None:
        """End it as an administrator does: at once, and every second is accounted for."""
        if self.started is None:
            return
        started, self.started = self.started, None
        started.send(signal.SIGTERM)
        ran = started.end()
        self.place.survived(ran, (143,))
        _accounted_for(self.place)
        self.place.conserved()


def _accounted_for(place: Place) -> None:
    """Every second is an observation or a gap, and none of them is still to come."""
    [(ahead,)] = place.rows(
        "select count(*) from ops.monitored where monitored_until > now() + interval '1 minute'"
    )
    assert not ahead, "the account goes on into a time to come"
    assert_exact(cast(Any, place))


def _last_words(started: Started) -> str:
    lines = started.err.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing was said"


@contextmanager
def simulated() -> Iterator[Simulator]:
    """An exchange with two live books."""
    with Simulator(frames_per_second=FRAMES_A_SECOND, rate_limited=False) as simulator:
        assert simulator.live
        simulator.live.paused = {book for book in ALL_BOOKS if book not in BOOKS}
        yield simulator


@contextmanager
def daemon(world: World) -> Iterator[Daemon]:
    """One that is in step, stopped in the end."""
    with world.place() as place, simulated() as simulator:
        running = Daemon(place, simulator)
        running.start()
        try:
            running.until_in_step(datetime.now(UTC))
            yield running
            running.stop()
        finally:
            if running.started:
                running.kill()


# --- frames -----------------------------------------------------------------------------------


class Poured(NamedTuple):
    """A fault of the simulator's stream: a frame in the place of the next, or what befalls it."""

    fault: str
    argument: Any = None


def _pour(running: Daemon, case: Case) -> None:
    """Have the fault come, and wait until all books are in step after it."""
    poured: Poured = case.what
    running.simulator.faults.add(poured.fault, BOOKS[0], times=1, argument=poured.argument)
    if poured.fault in ("disconnect", "close", "refuse"):
        running.simulator.faults.clear()
        running.simulator.faults.add(poured.fault, "", times=1, argument=poured.argument)
    started = running.started
    assert started

    def is_taken() -> bool:
        assert started.is_running, f"the daemon has ended: {_last_words(started)}"
        return all(fault["times"] == 0 for fault in running.simulator.faults.in_force())

    wait_for(is_taken, "the fault's turn", LONGEST_SECONDS)
    running.simulator.faults.clear()
    running.until_in_step(datetime.now(UTC) + SECOND)


ENTRY = {"o": "odd", "s": "open", "t": 0, "r": "100.6", "a": "2"}
# The simulator puts in the name and the sequence that were due.
DUE = {"type": "diff-orders", "book": "@book@", "sequence": "@sequence@", "sent": 1750000000000}
GOOD = json.dumps([ENTRY])
FAULTS = {
    "cut_frame": "cut", "disconnect": "lost", "close": "lost", "duplicate": "duplication",
    "gap": "order", "reordered_keys": "order",
}  # fmt: skip


def _frame(payload: str, /, **members: str) -> str:
    kept = ", ".join(
        f'"{name}": {members.get(name, json.dumps(value))}' for name, value in DUE.items()
    )
    text = f'{{{kept}, "payload": {members.get("payload", payload)}}}'
    return text.replace('"@sequence@"', "@sequence@")


def _poured(kind: str, name: str, text: str | bytes, *, is_dear: bool = False) -> Case:
    return Case(FRAME, kind, name, Poured("unreadable", text), is_dear=is_dear)


def _frame_cases() -> Iterator[Case]:
    for kind, name, text in spoiled_records(ENTRY, "r", "o"):
        yield _poured(kind, f"an order: {name}", _frame(f"[{text}]"))
    for name, value in NUMBERS.items():
        both = json.dumps(ENTRY).replace('"2"', value)
        other = both.replace("odd", "even")
        yield _poured("numbers", f"two amounts: {name}", _frame(f"[{both}, {other}]"))
    for member in ("sequence", "sent", "book", "type", "payload"):
        for name in ("NaN", "an exponent of 99999999"):
            text = _frame(GOOD, **{member: NUMBERS[name]})
            yield _poured("numbers", f"{member}: {name}", text)
        for value in ("null", "[]", '"\\u0000"'):
            yield _poured("shape", f"{member}: {value}", _frame(GOOD, **{member: value}))
    yield from _whole_frames()
    refusal = json.dumps({"error": f"\x1b[2J {NOISE[:500]}"})
    yield _poured("text", "a refusal", refusal)
    yield _poured("text", "bidi", _frame(GOOD, type='"\u202e\\u001b[2J"'))
    yield _poured("version", "another version", '{"v": 4, "event": "book", "data": []}')
    for fault, kind in FAULTS.items():
        yield Case(FRAME, kind, fault, Poured(fault))


def _whole_frames() -> Iterator[Case]:
    sized = _frame(json.dumps([{**ENTRY, "o": f"odd {n}"} for n in range(20_000)]))
    yield _poured("size", "20 000 orders", sized)
    yield _poured("size", "payload: nested 200 000 deep", _frame(DEEP))
    long = _frame(GOOD, sent='"' + "x" * 15_000_000 + '"')
    yield _poured("size", "15 MB", long, is_dear=True)
    yield _poured("size", "over the longest", "x" * (LONGEST_FRAME_BYTES + 1), is_dear=True)
    whole = _frame(GOOD).replace("@book@", BOOKS[0]).replace("@sequence@", "7").encode()
    for changes, kind in ((CUT, "cut"), (ENCODED, "encoding")):
        for name, change in changes.items():
            yield _poured(kind, f"as bytes: {name}", change(whole))


# --- the handshake ----------------------------------------------------------------------------


def _shake(place: Place, case: Case) -> None:
    """The first two connections are answered so; the daemon bridges them."""
    steps: Sequence[Step] = case.what
    with simulated() as simulator, ExitStack() as stack:
        assert simulator.stream
        port = int(simulator.stream.url.rpartition(":")[2])
        door = stack.enter_context(gate(steps, ("127.0.0.1", port), times=2))
        running = Daemon(place, simulator, door.url.replace("http", "ws"))
        running.start()
        try:
            running.until_in_step(datetime.now(UTC))
            running.stop()
        finally:
            if running.started:
                running.kill()


def _upgrade(*lines: bytes, body: bytes = b"") -> bytes:
    return reply(
        b"Upgrade: websocket", b"Connection: Upgrade", *lines, body=body,
        status=b"HTTP/1.1 101 Switching Protocols",
    )  # fmt: skip


_KEY = b"Sec-WebSocket-Accept: "
SHAKES: dict[str, dict[str, list[Step]]] = {
    "numbers": {"a status of 99999": [reply(status=b"HTTP/1.1 99999 OK")],
                "to wait for 1e999": [reply(b"Retry-After: 1e999", status=b"HTTP/1.1 503 No")]},
    "text": {"escapes": [reply(status=b"HTTP/1.1 500 \x1b[2J\x07")],
             "bidi": [reply(status="HTTP/1.1 500 \u202eabc".encode())]},
    "shape": {"HTML": [reply(body=b"<html>Access denied</html>")], "no HTTP": [b"hello\r\n\r\n"],
              "no key": [_upgrade()], "a wrong key": [_upgrade(_KEY + b"x" * 28)]},
    "size": {"headers without end": [b"HTTP/1.1 200 OK\r\n", Flood(b"X: x\r\n")],
             "a header of 1 MB": [reply(b"X: " + b"x" * 1_000_000)],
             "noise without end": [Flood(bytes(range(256)))]},
    "time": {"silence": [HOLD], "byte by byte": [Drip(b"HTTP/1.1 101 S\r\nX: x")]},
    "cut": {"half": [_upgrade()[:20]], "a reset": [RESET],
            "a reset behind it": [_upgrade(), RESET]},
    "encoding": {"compressed": [_upgrade(b"Sec-WebSocket-Extensions: permessage-deflate")],
                 "latin-1": [_upgrade(b"X: \xf1\xe9")]},
    "duplication": {"two keys": [_upgrade(_KEY + b"x" * 28, _KEY + b"y" * 28)]},
    "order": {"a frame first": [b"\x81\x05hello" + _upgrade()]},
    "place": {"elsewhere": [redirect(b"ws://127.0.0.2:9/")], "itself": [redirect(b"/")],
              "nowhere": [redirect(b"")], "a file": [redirect(b"file:///etc/passwd")],
              "half of an address": [redirect(b"ws://[::1")]},
    "permission": {f"a status of {n}": [reply(status=b"HTTP/1.1 %d No" % n)]
                   for n in (401, 403, 429)},
    "full disk": {"no room over there": [reply(status=b"HTTP/1.1 507 Full")]},
    "lost": {"nothing": [], "gone": [reply(status=b"HTTP/1.1 410 Gone")]},
    "version": {"HTTP/1.0": [reply(status=b"HTTP/1.0 101 Switching")],
                "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]},
}  # fmt: skip


# --- the spool --------------------------------------------------------------------------------


class Replaced(NamedTuple):
    """A member of the line with another value, as JSON."""

    member: str
    value: str

    def __call__(self, line: bytes) -> bytes:
        """The line with it."""
        data = {**json.loads(line), self.member: "@here@"}
        return json.dumps(data).replace('"@here@"', self.value).encode()


def _respool(running: Daemon, case: Case) -> None:
    """Kill it, damage the second of three seconds that it left, and start it again."""
    running.kill()
    [spool] = [path for path in Path(running.place.directory, "spool").iterdir() if path.is_file()]
    first = datetime.fromtimestamp(math.ceil(time.time()), UTC)
    [(warehouse,)] = running.place.rows("select cast(warehouse_id as text) from ops.warehouse")
    lines = [_second(first + n * SECOND).encode(warehouse) for n in range(3)]
    change: Callable[[bytes], bytes] = case.what
    lines[1] = change(lines[1])
    with spool.open("ab") as file:
        file.write(b"\n".join(lines) + b"\n")
    end = first + 4 * SECOND
    wait_for(lambda: datetime.now(UTC) > end, "the time after the lines")
    running.start()
    running.until_in_step(end)
    for book in BOOKS:
        kept = running.place.rows(
            "select received_at from raw.bitso_order_books where book = %s and sequence = 1 "
            "and received_at >= %s and received_at < %s", book, first, end,
        )  # fmt: skip
        times = [row[0] for row in kept]
        for at in (first, first + 2 * SECOND):
            assert times.count(at) == 1, f"a good second beside it is there {times.count(at)} times"
    _accounted_for(running.place)


def _second(at: datetime) -> Second:
    samples = tuple(
        Sample(book, 1, "1", "2", '{"bids": [["1", "1"]], "asks": [["2", "1"]]}') for book in BOOKS
    )
    return Second(at, at + SECOND, BOOKS, cast("dict[str, Why]", {}), samples)


# What stands beside an odd sample.
ETH_SAMPLE = '["eth_mxn", 1, "1", "2", "{}"]'


def _spool_cases() -> Iterator[Case]:
    for name, value in NUMBERS.items():
        yield Case(SPOOL, "numbers", f"at: {name}", Replaced("at", value))
        sample = f'[["btc_mxn", {value}, "1", "2", "{{}}"], {ETH_SAMPLE}]'
        yield Case(SPOOL, "numbers", f"a sequence: {name}", Replaced("samples", sample))
    for name, value in {
        "NUL in a payload": '["btc_mxn", 1, "1", "2", "{\\"a\\": \\"\\\\u0000\\"}"]',
        "half a character": '["\\ud800", 1, "1", "2", "{}"]',
        "a payload that is no JSON": '["btc_mxn", 1, "1", "2", "x"]',
        "a bid that is none": '["btc_mxn", 1, "x", "2", "{}"]',
    }.items():
        yield Case(SPOOL, "text", name, Replaced("samples", f"[{value}, {ETH_SAMPLE}]"))
    for member in ("at", "until", "books", "gaps", "samples", "bad"):
        for value in ("null", '"x"'):
            yield Case(SPOOL, "shape", f"{member}: {value}", Replaced(member, value))
    yield Case(SPOOL, "shape", "no object", lambda _: b"[]")
    yield Case(SPOOL, "size", "nested 200 000 deep", lambda _: DEEP.encode())
    yield Case(SPOOL, "size", "a line of 3 MB", lambda _: b"x" * 3_000_000)
    for changes, kind in ((CUT, "cut"), (ENCODED, "encoding")):
        for name, change in changes.items():
            yield Case(SPOOL, kind, name, change)
    yield Case(SPOOL, "duplication", "twice", lambda line: line + b"\n" + line)
    yield Case(SPOOL, "order", "of long ago", Replaced("at", "1000000000"))
    yield Case(SPOOL, "order", "of a time to come", Replaced("until", "4000000000"))
    yield Case(SPOOL, "version", "another version's", lambda _: b'{"version": 2, "second": {}}')
    yield Case(SPOOL, "version", "a stop that is none", lambda _: b'{"stop":null}')


_NO_FILE = "a frame is no file"
STREAM_SURFACES = [
    Surface(FRAME, list(_frame_cases()), _pour, {
        "time": "silence and slowness are tests/integration/stream/test_daemon.py, on a clock",
        "place": _NO_FILE, "permission": _NO_FILE, "full disk": _NO_FILE,
    }, keeps=daemon),
    Surface(HANDSHAKE, [
        Case(HANDSHAKE, kind, name, steps)
        for kind, named in SHAKES.items() for name, steps in named.items()
    ], _shake, {}),
    Surface(SPOOL, list(_spool_cases()), _respool, {
        "time": "a line is there or is not",
        "place": "where the spool is, is a setting: tests/unit/stream/test_spool.py",
        "permission": "the same", "full disk": "the same",
        "lost": "the daemon is killed in each of these",
    }, keeps=daemon),
]  # fmt: skip
