"""Who is let in, and what a browser is told about what it gets."""

import base64
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from dashboards.serve import server
from dashboards.serve.access import LONGEST_TARGET, is_loopback
from tests.conftest import Warehouse
from tests.integration.dashboards.serve.conftest import Served, serving_page
from tests.waiting import LAST_RESORT_SECONDS

PASSWORD = "a page's pässword: 7"
PAGES = [
    "/", "/dashboards/alerts", "/dashboards/alerts/tiles/open-alerts",
    "/dashboards/alerts/places.css", "/market", "/questions/books.csv", "/static/live.js",
    "/nothing", "/dashboards/alerts?book=nothing",
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(sampled: Warehouse) -> Iterator[Served]:
    """A page for others too, with a password and a name."""
    with serving_page(
        sampled, "--host", "0.0.0.0",
        WAREHOUSE_PAGE_PASSWORD=PASSWORD, WAREHOUSE_PAGE_URL="https://market.example.com/",
    ) as served:  # fmt: skip
        yield served


def asked(served: Served, path: str, *, method: str = "GET", **headers: str) -> requests.Response:
    address = served.address.replace("0.0.0.0", "127.0.0.1")
    return requests.request(
        method, f"{address}{path}", headers=headers, timeout=60, allow_redirects=False
    )


def where(served: Served) -> tuple[str, int]:
    return "127.0.0.1", int(served.address.rpartition(":")[2])


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("path", PAGES)
def test_everything_wants_the_password(guarded: Served, path: str) -> None:
    for header in ({}, {"Authorization": basic("wrong")}, {"Authorization": basic("")}):
        found = asked(guarded, path, **header)
        assert found.status_code == 401
        assert found.headers["www-authenticate"].startswith("Basic ")
        assert found.text == "a password is needed\n"
    for user in ("anybody", "", "me"):
        assert asked(guarded, path, Authorization=basic(PASSWORD, user)).status_code < 500
        assert asked(guarded, path, Authorization=basic(PASSWORD, user)).status_code != 401


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic =", "Basic " + "!" * 50, "Bearer x", basic(PASSWORD)[6:], "Basic w6Q="],
)
def test_what_is_no_password_is_none(guarded: Served, header: str) -> None:
    assert asked(guarded, "/market", Authorization=header).status_code == 401


def test_who_looks_whether_it_lives_needs_none(guarded: Served) -> None:
    assert asked(guarded, "/healthz").text == "ok\n"


def test_the_password_is_in_no_log(guarded: Served) -> None:
    asked(guarded, "/market", Authorization=basic(PASSWORD))
    assert PASSWORD not in guarded.log


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_others_are_not_let_in_without_a_password(sampled: Warehouse, host: str) -> None:
    done = sampled.call("dashboards", "serve", "--host", host, "--port", "0")
    assert (done.returncode, done.stderr) == (
        2,
        (
            f"dashboards: {host} is reached by others: set WAREHOUSE_PAGE_PASSWORD, "
            "which they are asked for\n"
        ),
    )


def test_what_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", ""]))


@pytest.mark.parametrize("host", ["", "x" * 300, "a b", "nowhere.invalid", "192.0.2.1", "::7"])
def test_an_address_that_is_not_ours(sampled: Warehouse, host: str) -> None:
    done = sampled.call("dashboards", "serve", "--host", host, "--port", "0",
                        WAREHOUSE_PAGE_PASSWORD=PASSWORD)  # fmt: skip
    assert done.returncode == (2 if not host else 1)
    assert re.fullmatch(r"dashboards: [^\n]+\n", done.stderr)


def test_an_address_that_is_taken(sampled: Warehouse) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = sampled.call("dashboards", "serve", "--port", port)
    assert (done.returncode, done.stderr) == (
        1, f"dashboards: cannot listen at 127.0.0.1, port {port}: Address already in use\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "[::1]:8080", "192.0.2.7", "localhost", "LOCALHOST:1",
             "market.example.com", "market.example.com:443"]
)  # fmt: skip
def test_names_that_are_ours(guarded: Served, host: str) -> None:
    assert asked(guarded, "/healthz", Host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example.com", "market.example.com.evil.com", "127.0.0.1.evil.com", "", "[::1",
             "localhost@evil.com:80", "evil.com@", "127.0.0.1/", "a b"]
)  # fmt: skip
def test_names_that_are_not(guarded: Served, host: str) -> None:
    found = asked(guarded, "/healthz", Host=host)
    assert found.status_code == 400
    assert len(found.text.splitlines()) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ODD"])
def test_a_page_is_only_read(guarded: Served, method: str) -> None:
    for path in PAGES:
        found = asked(guarded, path, method=method, Authorization=basic(PASSWORD))
        assert found.status_code == 405
        assert found.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", [*PAGES, "/healthz"])
def test_headers_hold_the_browser_back(guarded: Served, path: str) -> None:
    for header in ({}, {"Authorization": basic(PASSWORD)}):
        for method in ("GET", "HEAD"):
            found = asked(guarded, path, method=method, **header)
            policy = dict(
                each.strip().split(" ", 1)
                for each in found.headers["content-security-policy"].split(";")
            )
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert "unsafe" not in str(policy)
            assert found.headers["x-content-type-options"] == "nosniff"
            assert found.headers["referrer-policy"] == "no-referrer"
            assert re.fullmatch("no-store|no-cache", found.headers["cache-control"])
            assert "server" not in found.headers
            if method == "HEAD":
                assert found.content == b""


def test_long_addresses_and_headers_are_refused(guarded: Served) -> None:
    path = "/dashboards/alerts?book="
    fits = path + "a" * (LONGEST_TARGET - len(path))
    known = basic(PASSWORD)
    assert asked(guarded, fits, Authorization=known).status_code == 400
    assert asked(guarded, f"{fits}a", Authorization=known).status_code == 414
    with socket.create_connection(where(guarded), LAST_RESORT_SECONDS) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nOdd: " + b"a" * (2 * server.LONGEST_HEAD))
        assert endless.recv(4096).startswith(b"HTTP/1.1 400")
    assert asked(guarded, "/healthz").status_code == 200


def test_who_is_slow_to_say_what_he_wants_is_left(guarded: Served) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    begun = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        first,
        first + b"GET / HTTP/1.1\r\n",
    ]
    with ExitStack() as open_ones:
        # All at once, because each of them takes as long as anybody may.
        slow = [
            open_ones.enter_context(socket.create_connection(where(guarded), LAST_RESORT_SECONDS))
            for _ in begun
        ]
        for one, said in zip(slow, begun, strict=True):
            one.sendall(said)
        for one, said in zip(slow, begun, strict=True):
            got = b""
            while piece := one.recv(4096):
                got += piece
            assert got.count(b"HTTP/1.1 200") == said.count(first)
