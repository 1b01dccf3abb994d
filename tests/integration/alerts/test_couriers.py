"""Whatever a receiver does, a message costs its courier a bounded time and bounded memory."""

import contextlib
import itertools
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import psutil
import pytest

from loader.alerts.channels import Channels, Message
from loader.alerts.courier import Courier
from loader.alerts.post import MEMORY_BYTES
from loader.warehouse.settings import get_settings
from tests.local_server import LocalServer, QuietHandler, free_port, serving

LIMIT_SECONDS = 1.0
MESSAGE = Message("title", "body", False, "key", {"book": "btc_mxn", "event": "opened"})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
# Nobody listens there.
MAIL = "mailto://u:p@example.com:9?smtp=127.0.0.1&to=a@example.com"
Behaviour = Callable[[QuietHandler], None]


def say(handler: QuietHandler, data: bytes) -> None:
    handler.wfile.write(data)


def reset(handler: QuietHandler) -> None:
    """Hang up as a crashed host does."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    # The server's own files of the connection would keep it open.
    handler.rfile.close()
    handler.connection.close()


def drip(handler: QuietHandler, pieces: Iterator[bytes]) -> None:
    """A little at a time, each well within any timeout between two reads."""
    for piece in pieces:
        say(handler, piece)
        if handler.hold(LIMIT_SECONDS / 10):
            return


def bytes_of(text: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in text)


def be_silent(handler: QuietHandler) -> None:
    handler.hold()


def drip_on(handler: QuietHandler) -> None:
    drip(handler, itertools.repeat(b"x"))


def hang_up(_: QuietHandler) -> None:
    pass


def drip_all_of_it(handler: QuietHandler) -> None:
    drip(handler, bytes_of(HEAD.replace(b"1000000000", b"2") + b"ok"))


def after(start: bytes, act: Behaviour) -> Behaviour:
    def behave(handler: QuietHandler) -> None:
        say(handler, start)
        act(handler)

    return behave


def pour(handler: QuietHandler) -> None:
    while not handler.hold(0):
        say(handler, bytes(1 << 20))


# What a receiver can do at each place of its answer: at its beginning, in its headers, in its body.
ACTS = (be_silent, reset, drip_on, hang_up)
PLACES = {"nothing": b"", "status": HEAD[:8], "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n"}
ANSWERS = {
    f"{act.__name__} after {place}": after(start, act)
    for (place, start), act in itertools.product(PLACES.items(), ACTS)
} | {"drips all of it": drip_all_of_it}
BODIES = {
    f"{act.__name__} after {' and '.join(kind)}": (kind, act)
    for kind, act in itertools.product(
        [(), ("Content-Length: 1000000000",), ("Transfer-Encoding: chunked",),
         ("Content-Encoding: gzip",)],
        (*ACTS, pour),
    )
}  # fmt: skip


def take(handler: QuietHandler) -> None:
    handler.send_response(200)
    handler.end_headers()


@contextlib.contextmanager
def behaving(act: Behaviour) -> Iterator[tuple[LocalServer, list[dict[str, Any]]]]:
    """A receiver that reads the message, and then does as told."""
    received: list[dict[str, Any]] = []

    class Behaving(QuietHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            with contextlib.suppress(OSError):
                act(self)

        do_GET = BaseHTTPRequestHandler.handle_expect_100

    with serving(Behaving) as server:
        yield server, received


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Channels]]:
    made: list[Channels] = []

    def make(*addresses: str, **settings: str) -> Channels:
        monkeypatch.setenv("WAREHOUSE_ALERT_CHANNELS", json.dumps({"default": addresses}))
        monkeypatch.setenv("WAREHOUSE_ALERT_TIMEOUT_SECONDS", str(LIMIT_SECONDS))
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        made.append(Channels())
        return made[-1]

    yield make
    for each in made:
        each.close()
    monkeypatch.undo()
    get_settings.cache_clear()


def address(server: LocalServer) -> str:
    return f"json://127.0.0.1:{server.server_port}/hook"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_does_not_come_is_a_doubtful_failure(
    channels: Callable[..., Channels], name: str
) -> None:
    with behaving(ANSWERS[name]) as (server, received):
        there = channels(address(server))
        # On a busy machine the time may be over before anything has left, which is no doubt.
        while not (outcome := there.send("default", 1, MESSAGE)).is_doubtful:
            assert outcome.error
            assert not received
        assert outcome.error
        assert [one["event"] for one in received] == ["opened"]


@pytest.mark.parametrize("name", BODIES)
def test_the_status_is_the_answer_whatever_becomes_of_the_body(
    channels: Callable[..., Channels], name: str
) -> None:
    """Who has taken a message is not sent it again; and who has not is told by the status."""
    kind, act = BODIES[name]
    for status, error in ((200, None), (503, "answered with status 503")):
        head = "\r\n".join([f"HTTP/1.1 {status} x", *kind, "", ""]).encode()
        with behaving(after(head, act)) as (server, received):
            there = channels(address(server))
            # On a busy machine the time may be over before anything has left.
            while not received:
                outcome = there.send("default", 1, MESSAGE)
            assert outcome == (error, False)


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_what_is_said_before_the_answer_is_none(
    channels: Callable[..., Channels], interim: str
) -> None:
    for status, error in ((200, None), (503, "answered with status 503")):
        said = f"HTTP/1.1 {interim}\r\nLink: x\r\n\r\n" * 3 + f"HTTP/1.1 {status} x\r\n\r\n"
        with behaving(after(said.encode(), hang_up)) as (server, _):
            there = channels(address(server), WAREHOUSE_ALERT_TIMEOUT_SECONDS="600")
            assert there.send("default", 1, MESSAGE) == (error, False)


def test_what_was_refused_or_never_left_is_no_doubt(channels: Callable[..., Channels]) -> None:
    there = channels(f"json://127.0.0.1:{free_port()}/hook", MAIL)
    for number in (1, 2):
        outcome = there.send("default", number, MESSAGE)
        assert outcome.error
        assert not outcome.is_doubtful
    for status in (301, 302, 307, 308, 400, 404, 429, 500, 503):

        def answer(handler: QuietHandler, status: int = status) -> None:
            handler.send_response(status)
            # Where it leads a message would be lost, and the answer good.
            handler.send_header("Location", "/elsewhere")
            handler.end_headers()

        with behaving(answer) as (server, received):
            outcome = channels(address(server)).send("default", 1, MESSAGE)
            assert outcome == (f"answered with status {status}", False)
            assert len(received) == 1


def test_a_reply_of_any_size_costs_a_bounded_amount_of_memory(
    channels: Callable[..., Channels],
) -> None:
    """More than memory may hold is sent; the reader gives up long before the end of it."""
    sent = 0

    def flood(handler: QuietHandler) -> None:
        nonlocal sent
        say(handler, HEAD)
        while sent < 1_000_000_000:
            say(handler, bytes(1 << 20))
            sent += 1 << 20

    with behaving(flood) as (server, _):
        outcome = channels(
            address(server), WAREHOUSE_ALERT_TIMEOUT_SECONDS="600"
        ).send("default", 1, MESSAGE)  # fmt: skip
    assert outcome == (None, False)
    assert sent < 2 * MEMORY_BYTES


def test_a_receiver_that_is_slow_but_answers_in_time_has_got_it(
    channels: Callable[..., Channels],
) -> None:
    def slow(handler: QuietHandler) -> None:
        # Longer than apprise itself would wait.
        handler.hold(5)
        handler.send_response(200)
        handler.end_headers()

    with behaving(slow) as (server, received):
        there = channels(address(server), WAREHOUSE_ALERT_TIMEOUT_SECONDS="600")
        assert there.send("default", 1, MESSAGE) == (None, False)
        assert len(received) == 1


def test_a_courier_that_is_killed_costs_its_message_alone(
    channels: Callable[..., Channels],
) -> None:
    with behaving(be_silent) as (server, received):
        there = channels(address(server), WAREHOUSE_ALERT_TIMEOUT_SECONDS="600")
        courier = there.begin("default", 1, MESSAGE)
        while not received:
            time.sleep(0.01)
        psutil.Process(courier._process.pid).send_signal(signal.SIGKILL)
        outcome = courier.wait()
        assert outcome == ("the process that sends ended with -9", True)
        there.give_back(courier)
    with behaving(take) as (
        server, _,
    ):  # fmt: skip
        there = channels(address(server))
        assert [there.send("default", 1, MESSAGE).error for _ in range(2)] == [None, None]


def test_a_courier_is_used_again_and_ends_with_its_owner(channels: Callable[..., Channels]) -> None:
    with behaving(take) as (
        server, _,
    ):  # fmt: skip
        there = channels(address(server))
        first = there.begin("default", 1, MESSAGE)
        first.wait()
        there.give_back(first)
        assert there.begin("default", 1, MESSAGE) is first
        first.wait()
        # As when its owner is killed: nothing is left that it could hear from.
        first._orders.close()
        assert first._process.wait() == 0
        first.end()


def test_the_order_is_in_no_list_of_processes(channels: Callable[..., Channels]) -> None:
    there = channels("json://u:s3cret@127.0.0.1:9/s3cret")
    courier = there.begin("default", 1, MESSAGE)
    words = psutil.Process(courier._process.pid).cmdline()
    assert not any("s3cret" in word for word in words)
    courier.wait()
    there.give_back(courier)


def test_an_exception_of_any_kind_is_a_failure_and_no_more() -> None:
    """What apprise refuses late, and orders that it cannot read."""
    courier = Courier()
    try:
        for order in ({"address": "nosuch://x"}, {"address": None}, {}, {"ping": "nosuch://x"}):
            courier.send(order, LIMIT_SECONDS * 60)
            outcome = courier.wait()
            assert outcome.error
            assert not outcome.is_doubtful
        assert courier.is_alive
    finally:
        courier.end()
