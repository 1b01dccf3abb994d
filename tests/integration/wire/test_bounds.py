"""However a server holds us up, a request ends, and nothing of it goes on behind our back."""

import gzip
import resource
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.metabase.session import Session
from loader.market import bitso
from loader.warehouse.allowance import Allowance
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.settings import get_settings
from loader.wire import reply
from loader.wire.rate_budget import LocalBudget, RateLimits
from loader.wire.session import Manners, PoliteSession
from scheduler import job
from tests.clocks import ManualClock
from tests.dripping import OF_PROXY, OF_TLS, WAYS, Way, dripping
from tests.environment import settings
from tests.exchange.faults import send
from tests.local_server import LocalServer, QuietHandler, serving
from tests.waiting import LAST_RESORT_SECONDS, wait_for

# Of one piece; a whole try has three times as long.
TIMEOUT_SECONDS = 0.1
ALLOWED = "within an allowance"


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    yield
    wait_for(
        lambda: not [one for one in threading.enumerate() if one.name == ALLOWED],
        "the end of the work that was left",
    )


def session(timeout: float = TIMEOUT_SECONDS, attempts: int = 1) -> PoliteSession:
    clock = ManualClock()
    budget = LocalBudget("bitso", RateLimits(50), clock)
    return PoliteSession(
        "bitso", bitso.judge, budget, manners=Manners(timeout, attempts), clock=clock
    )


def is_ended(server: LocalServer, url: str) -> None:
    """A request ends, by the time or by the bytes, and its connection is given up."""
    with pytest.raises((TransientError, TerminalError)) as caught:
        session().fetch(url)
    assert "\n" not in str(caught.value)
    # Nobody else ends it: the server goes on for as long as it is listened to.
    wait_for(lambda: not server.is_in_conversation, "the end of the connection")


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_never_ends_does_not_hold_us_up(way: str) -> None:
    with dripping(WAYS[way]) as server:
        is_ended(server, server.url)


@pytest.mark.parametrize("way", OF_TLS)
def test_nor_one_that_never_ends_a_handshake(way: str) -> None:
    with dripping(OF_TLS[way]) as server:
        is_ended(server, server.url.replace("http:", "https:"))


@pytest.mark.parametrize("way", OF_PROXY)
def test_nor_a_proxy(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    with dripping(OF_PROXY[way]) as server:
        monkeypatch.setenv("https_proxy", server.url.replace("//", "//somebody:sesame-0123@"))
        is_ended(server, "https://exchange.example/")


def test_nor_a_name_that_nobody_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        is_over.wait(LAST_RESORT_SECONDS)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        with dripping(WAYS["drips headers"]) as server:
            with pytest.raises(TransientError, match=r"no whole reply within 0\.3 s"):
                session().fetch(server.url)
            # Once it is looked up nothing is done with it.
            is_over.set()
            wait_for(lambda: not server.is_in_conversation, "the end of the connection")
    finally:
        is_over.set()


@pytest.mark.parametrize("way", ["drips headers", "drips a body without length"])
def test_nor_is_metabase_waited_for_without_end(way: str) -> None:
    with (
        dripping(WAYS[way]) as server,
        settings(
            WAREHOUSE_METABASE_URL=server.url,
            WAREHOUSE_METABASE_PASSWORD="sesame-0123",
            WAREHOUSE_METABASE_TIMEOUT_SECONDS="0.2",
            WAREHOUSE_METABASE_WAIT_SECONDS="0",
        ),
        pytest.raises(TransientError, match=r"did not answer within 0\.2 s"),
    ):
        Session(get_settings(), may_set_up=False)


@pytest.mark.parametrize("way", ["drips headers", "drips a body without length"])
def test_nor_who_is_told_of_scheduled_runs(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(job, "PING_TIMEOUT_SECONDS", 0.2)
    said = tmp_path / "log"
    log = job.Log("a job")
    with dripping(WAYS[way]) as server, said.open("wb") as file:
        log._out = file.fileno()
        job.Ping(server.url, "a job", log).send()
    # The status is all that is wanted.
    is_heard = way == "drips a body without length"
    assert said.read_text() == (
        "" if is_heard else "a job | the ping did not go through: TimeoutError\n"
    )


def test_an_allowance_is_shared_by_all_that_it_is_spent_on() -> None:
    never = threading.Event()
    allowance = Allowance(0.05)
    assert allowance.spend_on(lambda: 7) == 7
    for _ in range(2):
        with pytest.raises(TimeoutError):
            allowance.spend_on(lambda: never.wait(LAST_RESORT_SECONDS))
    never.set()
    with pytest.raises(ZeroDivisionError):
        Allowance(LAST_RESORT_SECONDS).spend_on(lambda: 1 / 0)


def test_a_connection_that_ends_within_the_handshake_is_a_passing_error() -> None:
    def hang_up(handler: QuietHandler) -> None:
        handler.connection.recv(1000)

    with dripping(hang_up) as server, pytest.raises(TransientError, match="cannot connect"):
        session(LAST_RESORT_SECONDS).fetch(server.url.replace("http:", "https:"))


def test_a_server_without_tls_is_no_passing_error() -> None:
    def answer(handler: QuietHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with dripping(answer) as server, pytest.raises(TerminalError, match="cannot be trusted"):
        session(LAST_RESORT_SECONDS).fetch(server.url.replace("http:", "https:"))
    assert issubclass(ssl.SSLEOFError, OSError)


# ------------------------------------------------------------------- sizes


def answers(body: bytes, status: int = 200, **headers: str) -> type[QuietHandler]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    class Answering(QuietHandler):
        def do_GET(self) -> None:
            send(self, status, body, named)

    return Answering


def fetched(handler: type[QuietHandler]) -> str:
    with serving(handler) as server:
        return session(LAST_RESORT_SECONDS).fetch(server.url).text


GOOD = b'{"success":true,"payload":[1]}'
LARGE = b'{"success":true,"payload":"%b"}' % (b"x" * reply.MAX_BODY_BYTES)


def test_a_body_may_be_as_large_as_it_may_and_no_larger() -> None:
    frame = len(LARGE) - reply.MAX_BODY_BYTES
    just_right = LARGE.replace(b"x" * frame, b"", 1)
    assert len(just_right) == reply.MAX_BODY_BYTES
    assert len(fetched(answers(just_right))) == reply.MAX_BODY_BYTES
    assert fetched(answers(gzip.compress(just_right), Content_Encoding="gzip"))


@pytest.mark.parametrize(
    "handler",
    {
        "as it is": answers(LARGE),
        "packed": answers(gzip.compress(LARGE), Content_Encoding="gzip"),
        "packed in parts": answers(gzip.compress(b" " * 2**20) * 64, Content_Encoding="GZIP"),
        "packed so that it does not shrink": answers(
            gzip.compress(b"") * (reply.MAX_BODY_BYTES // 20 + 1), Content_Encoding="x-gzip"
        ),
    }.values(),
    ids=str,
)
def test_a_body_that_is_too_large_is_refused(handler: type[QuietHandler]) -> None:
    with pytest.raises(
        TerminalError, match=f"bitso: a reply of over {reply.MAX_BODY_BYTES >> 20} MiB"
    ):
        fetched(handler)


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (zlib.compress, "deflate"),
        (lambda body: gzip.compress(gzip.compress(body)), "gzip, gzip"),
        (bytes, "br"),
        (bytes, "zstd"),
        (bytes, "gzip;q=1"),
    ],
)
def test_an_encoding_that_was_not_asked_for_is_not_undone(
    pack: Callable[[bytes], bytes], encoding: str
) -> None:
    with pytest.raises(TransientError, match=f"encoding that was not asked for, {encoding} "):
        fetched(answers(pack(GOOD), Content_Encoding=encoding))


def test_nothings_packed_without_end_take_little_time() -> None:
    nothings = gzip.compress(b"") * (reply.MAX_BODY_BYTES // 20 - 1)
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(TransientError, match="not JSON"):
        fetched(answers(nothings, Content_Encoding="gzip"))
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 10


@pytest.mark.parametrize(
    "headers", [b"X: y\r\n" * 101, b"X: " + b"y" * 70_000 + b"\r\n"], ids=["many", "long"]
)
def test_headers_have_bounds(headers: bytes) -> None:
    def answer(handler: QuietHandler) -> None:
        handler.rfile.readline()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")
        handler.hold()

    with (
        dripping(answer) as server,
        pytest.raises(TransientError, match="what came is no HTTP: got more"),
    ):
        session(LAST_RESORT_SECONDS).fetch(server.url)


@pytest.mark.parametrize(
    "came",
    [
        b"hello\n",
        b'{"success": true}',
        b"HTTP/1.1 2e2 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/3 200 OK\r\n\r\n",
        b"\0" * 100,
    ],
)
def test_what_is_no_http_is_called_so(came: bytes) -> None:
    def answer(handler: QuietHandler) -> None:
        handler.rfile.readline()
        handler.wfile.write(came)

    with dripping(answer) as server, pytest.raises(TransientError) as caught:
        session(LAST_RESORT_SECONDS).fetch(server.url)
    assert str(caught.value).startswith("bitso: what came is no HTTP: ")
    assert "invalid literal" not in str(caught.value)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("status", "error"), [(500, TransientError), (429, TransientError), (401, TerminalError)]
)
def test_an_error_is_told_by_its_status_however_long_its_page_is(
    status: int, error: type[Exception], is_packed: bool
) -> None:
    page = b" " * (reply.MAX_BODY_BYTES + 1)
    headers = {"Content_Encoding": "gzip"} if is_packed else {}
    with pytest.raises(error, match=f"HTTP {status}"):
        fetched(answers(gzip.compress(page) if is_packed else page, status, **headers))


# --------------------------------------------------------------- redirects


def redirecting(location: str) -> Way:
    def go(handler: QuietHandler) -> None:
        while handler.rfile.readline() not in (b"\r\n", b""):
            pass
        handler.wfile.write(
            f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    return go


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "redirects to nowhere"),
        (" \t ", "redirects to nowhere"),
        ("https://{here}/", "another host, scheme or user, https://127.0.0.1:"),
        ("http://me:sesame-0123@{here}/", "another host, scheme or user"),
        ("//me@{here}/", "another host, scheme or user"),
        ("ftp://{here}/", "another host, scheme or user, ftp://"),
        ("file:///etc/passwd", "another host, scheme or user, file://:"),
        ("javascript:alert(1)", "another host, scheme or user, javascript://"),
        ("http://{here}:9/", "bitso: "),
        ("http://[::1/", "bitso: "),
        ("http://" + "a" * 300 + "/", "another host"),
    ],
)
def test_a_redirect_goes_nowhere_else(location: str, message: str) -> None:
    with serving(QuietHandler) as probe:
        here = f"127.0.0.1:{probe.server_port}"
    with (
        dripping(redirecting(location.format(here=here))) as server,
        pytest.raises(TerminalError, match=message) as caught,
    ):
        session(LAST_RESORT_SECONDS).fetch(server.url)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
