"""The head of a reply, and where a redirect leads; both byte by byte."""

from collections.abc import Iterator, Sequence

from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import counted
from tests.faults.gate import HOLD, RESET, Drip, Flood, Step, gate
from tests.faults.place import Place

HEADER, REDIRECT = "reply header", "redirect"
COUNT = "select count(*) from raw.bitso_books"
BODY = b'{"success": true, "payload": [{"book": "btc_mxn"}]}'
FAILED = Holds((1, 75), (0,))
ANY = Holds((0, 1, 75), (0, 1))
# The bound on one request is three times as long.
ENVIRONMENT = {"WAREHOUSE_HTTP_TIMEOUT_SECONDS": "1", "WAREHOUSE_MAX_WAIT_SECONDS": "5"}


def bring(place: Place, case: Case) -> None:
    """Have the steps of a case for each connection, and ask."""
    steps: Sequence[Step] = case.what
    with gate(steps) as door:
        url = door.url.replace("http:", "https:") if case.name.startswith("TLS") else door.url
        ran = place.run("loader", "books", env={**ENVIRONMENT, "WAREHOUSE_BITSO_URL": url + "/v3"})
    place.survived(ran, case.holds.exits, case.holds.says)
    rows = counted(place, COUNT)
    assert rows in case.holds.good, f"{rows} rows, not {case.holds.good}"
    place.conserved()


def reply(*lines: bytes, body: bytes = BODY, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A reply that ends with its connection."""
    return b"\r\n".join([status, *lines, b"Connection: close", b"", body])


_LENGTH = b"Content-Length: %d" % len(BODY)
HEADERS: dict[str, dict[str, tuple[list[Step], Holds]]] = {
    "numbers": {
        **{
            f"a length of {value.decode()[:12]}": ([reply(b"Content-Length: " + value)], ANY)
            for value in (b"NaN", b"-1", b"1e99", b"9" * 30, b"9" * 5000, b"0x10", b"")
        },
        **{
            f"to wait for {value.decode()[:12]}": (
                [reply(b"Retry-After: " + value, status=b"HTTP/1.1 429 No")],
                FAILED,
            )
            for value in (b"1e999", b"NaN", b"-5", b"9" * 400, b"Fri, 31 Dec 9999 23:59:59 GMT")
        },
        "a status of 99999": ([reply(status=b"HTTP/1.1 99999 OK")], FAILED),
        "a chunk of a huge size": (
            [reply(b"Transfer-Encoding: chunked", body=b"F" * 40 + b"\r\n{}")],
            FAILED,
        ),
    },
    "text": {
        "escapes in the reason": ([reply(status=b"HTTP/1.1 500 \x1b[2J\x07")], FAILED),
        "NUL in a name": ([reply(b"X-\0: 1")], ANY),
        "escapes in a value": ([reply(b"Content-Encoding: \x1b[2J")], ANY),
        "bidi in the reason": ([reply(status="HTTP/1.1 500 \u202eabc".encode())], FAILED),
    },
    "shape": {
        "no head": ([b"hello\r\n"], FAILED),
        "no status": ([reply(status=b"HTTP/1.1")], FAILED),
        "a status of letters": ([reply(status=b"HTTP/1.1 abc OK")], FAILED),
        "a line without a colon": ([reply(b"hello", _LENGTH)], ANY),
        "a folded line": ([reply(b"X: a\r\n b", _LENGTH)], ANY),
        "no body": ([reply(body=b"")], FAILED),
        "chunked and of a length": ([reply(b"Transfer-Encoding: chunked", _LENGTH)], ANY),
        "continue and no more": ([b"HTTP/1.1 100 Continue\r\n\r\n"], FAILED),
    },
    "size": {
        "a header of 1 MB": ([reply(b"X: " + b"x" * 1_000_000)], FAILED),
        "10 000 headers": ([reply(*(b"X%d: x" % n for n in range(10_000)))], FAILED),
        "headers without end": ([b"HTTP/1.1 200 OK\r\n", Flood(b"X: x\r\n")], FAILED),
        "one header without end": ([b"HTTP/1.1 200 OK\r\nX: ", Flood(b"x" * 100)], FAILED),
        "continue without end": ([Flood(b"HTTP/1.1 100 Continue\r\n\r\n")], FAILED),
        "a body without end": ([b"HTTP/1.1 200 OK\r\n\r\n", Flood(b" " * 1000)], FAILED),
        "chunks without end": (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Flood(b"1\r\n \r\n")],
            FAILED,
        ),
        "a chunk's head without end": (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", Flood(b"x" * 1000)],
            FAILED,
        ),
        "trailers without end": (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", Flood(b"X: x\r\n")],
            ANY,
        ),
    },
    "time": {
        "silence": ([HOLD], FAILED),
        "silence behind the head": ([b"HTTP/1.1 200 OK\r\n\r\n", HOLD], FAILED),
        "a head byte by byte": ([Drip(b"HTTP/1.1 200 OK\r\nX: x")], FAILED),
        "a header now and then": ([b"HTTP/1.1 200 OK\r\n", Drip(b"X: x\r\n" * 2000)], FAILED),
        "continue now and then": ([Drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000)], FAILED),
        "a body byte by byte": ([b"HTTP/1.1 200 OK\r\n\r\n", Drip(b" ")], FAILED),
        "a chunk byte by byte": (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Drip(b"1\r\n \r\n" * 2000)],
            FAILED,
        ),
        "TLS that says nothing": ([HOLD], FAILED),
        "TLS byte by byte": ([Drip(b"\x16\x03\x03\x40\x00\x02")], FAILED),
    },
    "cut": {
        "half of the head": ([reply(_LENGTH)[:20]], FAILED),
        "half of the body": ([reply(_LENGTH)[:-10]], FAILED),
        "a reset": ([RESET], FAILED),
        "a reset in the body": ([reply(_LENGTH)[:-10], RESET], FAILED),
        "TLS that is none": ([reply(_LENGTH)], FAILED),
    },
    "encoding": {
        **{
            f"in {name.decode()}": ([reply(b"Content-Encoding: " + name)], ANY)
            for name in (b"gzip", b"br", b"zstd", b"deflate", b"gzip, gzip, gzip", b"nothing")
        },
        "UTF-16 as its type": ([reply(b"Content-Type: application/json; charset=utf-16")], ANY),
        "a type of no charset": ([reply(b"Content-Type: application/json; charset=\xff")], ANY),
    },
    "duplication": {
        "two lengths": ([reply(_LENGTH, b"Content-Length: 7")], ANY),
        "two replies": ([reply(_LENGTH) * 2], ANY),
    },
    "order": {"the body first": ([BODY + b"\r\n" + reply(body=b"")], FAILED)},
    "permission": {
        f"a status of {status}": ([reply(status=b"HTTP/1.1 %d No" % status)], FAILED)
        for status in (401, 403, 407, 451)
    },
    "full disk": {"no room over there": ([reply(status=b"HTTP/1.1 507 Full")], FAILED)},
    "lost": {"nothing": ([], FAILED), "gone": ([reply(status=b"HTTP/1.1 410 Gone")], FAILED)},
    "version": {
        "HTTP/0.9": ([BODY], FAILED),
        "HTTP/1.0": ([reply(status=b"HTTP/1.0 200 OK")], Holds((0,), (1,))),
        "HTTP/9.9": ([reply(status=b"HTTP/9.9 200 OK")], ANY),
        "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40)], FAILED),
        "switching": ([reply(status=b"HTTP/1.1 101 Switching Protocols")], FAILED),
    },
}


def redirect(target: bytes) -> bytes:
    """A reply that leads elsewhere."""
    return reply(b"Location: " + target, b"Content-Length: 0", body=b"", status=b"HTTP/1.1 302 Go")


TARGETS: dict[str, dict[str, bytes]] = {
    "numbers": {"a port too large": b"http://127.0.0.1:99999/", "a port of letters": b"http://a:b/"},
    "text": {
        "escapes": b"/\x1b[2J\x07", "bidi": "/\u202eabc".encode(), "NUL": b"/\0a",
        "a password": b"http://user:secret-of-somebody@127.0.0.2:9/",
    },
    "shape": {
        "empty": b"", "blank": b" ", "no host": b"http://", "half of an address": b"http://[::1",
        "two slashes": b"//", "a script": b"javascript:alert(1)", "a query": b"?", "a mark": b"#",
    },
    "size": {"1 MB": b"/" + b"x" * 1_000_000, "60 kB": b"/" + b"x" * 60_000},
    "encoding": {"latin-1": b"/\xf1\xe9", "half a character": b"/\xe2\x82", "percent": b"/%zz%"},
    "order": {"in a circle": b"/v3/available_books"},
    "place": {
        "a file": b"file:///etc/passwd", "another host": b"http://127.0.0.2:9/elsewhere",
        "another port": b"http://127.0.0.1:9/", "another scheme": b"https://127.0.0.1:9/",
    },
}  # fmt: skip
_ONCE = reply(b"Location: /a", b"Location: /b", body=b"", status=b"HTTP/1.1 302 Go")
REDIRECTS: dict[str, dict[str, list[Step]]] = {
    **{
        kind: {name: [redirect(target)] for name, target in targets.items()}
        for kind, targets in TARGETS.items()
    },
    "time": {
        "a redirect byte by byte": [Drip(redirect(b"/again"))],
        "a body behind it, byte by byte": [redirect(b"/again")[:-2], b"X: y\r\n\r\n", Drip(b" ")],
    },
    "cut": {"half of it": [redirect(b"/again")[:-30]], "a reset behind it": [
        redirect(b"/again"), RESET]},
    "duplication": {"two targets": [_ONCE]},
    "permission": {"300": [reply(status=b"HTTP/1.1 300 Choose")],
                   "305": [reply(b"Location: http://127.0.0.2:9/", status=b"HTTP/1.1 305 Use")]},
    "lost": {"no target": [reply(status=b"HTTP/1.1 302 Go")]},
}  # fmt: skip


def _header_cases() -> Iterator[Case]:
    for kind, named in HEADERS.items():
        for name, (steps, holds) in named.items():
            yield Case(HEADER, kind, name, steps, holds)


def _redirect_cases() -> Iterator[Case]:
    for kind, named in REDIRECTS.items():
        for name, steps in named.items():
            yield Case(REDIRECT, kind, name, steps, FAILED)


HEADER_SURFACES = [
    Surface(HEADER, list(_header_cases()), bring, {"place": "that is the surface `redirect`"}),
    Surface(REDIRECT, list(_redirect_cases()), bring, {
        "full disk": "a redirect has nothing to do with a disk",
        "version": "a redirect is of HTTP, whose versions are tried with headers",
    }),
]  # fmt: skip
