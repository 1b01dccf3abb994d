"""What can go wrong with a reply, by name.

A fault of the content changes the first record of a reply and leaves the others as they were; one
of the wire changes the bytes, or what becomes of the connection. Those of the stream are hit by
frames (their `path` is a book, or "" for whichever is next) and by connections (`path` is ""):

    gap             a frame is not sent
    duplicate       a frame is sent twice
    reordered_keys  a frame's keys are the other way round, with blanks between them
    unreadable      half of a frame's text, or `argument`, in its place, with the frame's own book
                    and sequence for @book@ and @sequence@
    cut_frame       half of a frame, then the connection is gone
    dead_data       frames are not sent, `ka` is: a gap for as long as it lasts
    cancel_side     every order of a side ("bids" or "asks") is cancelled in one frame
    slow_first_frame    after a subscription frames begin `argument` seconds late
    stall           the connections there are send nothing any more
    disconnect      the connections there are end without a word, `argument` seconds old or more
    close           they end with the code `argument`, or 1011
    refuse          a handshake is answered with the status `argument`, or 503

A late snapshot is `slow` on order_book, one as it was `argument` frames ago `old_snapshot`.
"""

import gzip
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from tests.exchange.replies import Reply, dumps, raw
from tests.local_server import QuietHandler
from tests.waiting import LAST_RESORT_SECONDS


@dataclass
class Fault:
    """A fault, for requests whose path and query hold `path`, `times` times (None: for ever)."""

    name: str
    path: str = ""
    times: int | None = None
    argument: Any = None

    def __post_init__(self) -> None:
        if self.name not in {*CONTENT, *WIRE, *STREAM, OLD_SNAPSHOT}:
            raise ValueError(f"there is no fault {self.name}")

    @property
    def code(self) -> int:
        """The code of a `close`."""
        return int(self.argument or 1011)


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self, name: str, path: str = "", times: int | None = None, argument: Any = None
    ) -> None:
        """Put a fault in force."""
        fault = Fault(name, path, times, argument)
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """End all of them."""
        with self._lock:
            self._faults.clear()

    @contextmanager
    def during(self, name: str, path: str = "", **how: Any) -> Iterator[None]:
        """A fault for as long as the block lasts."""
        self.add(name, path, **how)
        try:
            yield
        finally:
            self.clear()

    def take(self, path: str) -> list[Fault]:
        """Those that hit a request."""
        with self._lock:
            hit = [
                fault
                for fault in self._faults
                if fault.path in path and fault.times != 0 and fault.name not in STREAM
            ]
            for fault in hit:
                if fault.times is not None:
                    fault.times -= 1
            return hit

    def take_stream(self, book: str, names: Iterable[str], open_for: float = 0.0) -> Fault | None:
        """The first of these that hits a frame of a book, or a connection (book "")."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                is_due = fault.name != "disconnect" or open_for >= (fault.argument or 0)
                if fault.name in names and fault.path in ("", book) and fault.times != 0 and is_due:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def in_force(self) -> list[dict[str, Any]]:
        """All of them, as JSON."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]


STREAM = frozenset(
    {
        "gap", "duplicate", "reordered_keys", "unreadable", "cut_frame", "dead_data", "cancel_side",
        "slow_first_frame", "stall", "disconnect", "close", "refuse",
    }
)  # fmt: skip
OLD_SNAPSHOT = "old_snapshot"

# ---------------------------------------------------------------- content

Change = Callable[[dict[str, Any], Any], None]


def records(document: Any) -> list[Any]:
    """The records of a reply, whatever it wraps them in."""
    if isinstance(document, list):
        return document
    for key in ("payload", "data", "tickers"):
        found = document.get(key)
        if isinstance(found, list):
            return found
        if isinstance(found, dict):
            return [found]
    return []


def break_content(reply: Reply, fault: Fault) -> None:
    """Change the content of a good reply."""
    if reply.document is None or reply.status != 200:
        return
    reply.document = deepcopy(reply.document)
    CONTENT[fault.name](reply, fault.argument)


def _on_record(change: Change) -> Callable[[Reply, Any], None]:
    def apply(reply: Reply, argument: Any) -> None:
        change(records(reply.document)[0], argument)

    return apply


def _crossed(record: dict[str, Any], _: Any) -> None:
    if "bid" in record:
        record["bid"], record["ask"] = record["ask"], record["bid"]
    else:
        bid, ask = record["bids"][0], record["asks"][0]
        bid["price"], ask["price"] = ask["price"], bid["price"]


def _price(record: dict[str, Any], price: Any) -> None:
    """Give the best bid another price."""
    if "bid" in record:
        record["bid"] = price
    else:
        record["bids"][0]["price"] = price


def _empty(record: dict[str, Any], sides: Any) -> None:
    for side in sides or ["bid", "ask"]:
        if side in record:
            record[side] = None
        else:
            record[f"{side}s"] = []


def _many_decimals(record: dict[str, Any], _: Any) -> None:
    for side, last in (("bid", "1"), ("ask", "2")):
        price = f"1234.00000000000000000{last}"
        if side in record:
            record[side] = price
        else:
            record[f"{side}s"] = [{**record[f"{side}s"][0], "price": price}]


def _unsorted(record: dict[str, Any], _: Any) -> None:
    for side in ("bids", "asks"):
        record[side] = record[side][1::2] + record[side][::2][::-1]


def _amount(record: dict[str, Any], amount: Any) -> None:
    record["bids"][0]["amount"] = amount


def _sequence_back(record: dict[str, Any], _: Any) -> None:
    record["sequence"] = str(int(record["sequence"]) - 1000)


def _time_name(record: dict[str, Any]) -> str:
    return next(name for name in ("created_at", "updated_at", "timestamp") if name in record)


def _no_time_zone(record: dict[str, Any], _: Any) -> None:
    name = _time_name(record)
    record[name] = record[name].removesuffix("+00:00")


def _clock_skew(record: dict[str, Any], seconds: Any) -> None:
    name = _time_name(record)
    moment = datetime.fromisoformat(record[name]) + timedelta(seconds=seconds or 7200)
    record[name] = moment.isoformat()


def _set(record: dict[str, Any], values: Any) -> None:
    record.update(values)


def _missing_key(record: dict[str, Any], key: Any) -> None:
    del record[key]


def _extra_key(record: dict[str, Any], _: Any) -> None:
    record["surprise"] = {"nested": [1, raw("2.50"), None]}


def _bare_number(record: dict[str, Any], argument: Any) -> None:
    key, number = argument
    record[key] = raw(number)


def _replace_record(reply: Reply, argument: Any) -> None:
    if isinstance(reply.document, dict) and isinstance(reply.document.get("payload"), dict):
        reply.document["payload"] = argument
    else:
        records(reply.document)[0] = argument


def _repeated(reply: Reply, _: Any) -> None:
    found = records(reply.document)
    found.append(found[0])


def _no_records(reply: Reply, _: Any) -> None:
    records(reply.document).clear()


def _document(reply: Reply, argument: Any) -> None:
    """Another document, still with status 200."""
    reply.document = argument


def _no_wrapper(reply: Reply, _: Any) -> None:
    """The key with the records in it is gone; what was a list is an object."""
    if isinstance(reply.document, list):
        reply.document = {"exchanges": reply.document}
    else:
        for key in ("payload", "data", "tickers"):
            reply.document.pop(key, None)


CONTENT: dict[str, Callable[[Reply, Any], None]] = {
    "crossed": _on_record(_crossed),
    "empty_side": _on_record(_empty),
    "price": _on_record(_price),
    "many_decimals": _on_record(_many_decimals),
    "unsorted": _on_record(_unsorted),
    "amount": _on_record(_amount),
    "sequence_back": _on_record(_sequence_back),
    "no_time_zone": _on_record(_no_time_zone),
    "clock_skew": _on_record(_clock_skew),
    "set": _on_record(_set),
    "missing_key": _on_record(_missing_key),
    "extra_key": _on_record(_extra_key),
    "bare_number": _on_record(_bare_number),
    "replace_record": _replace_record,
    "repeated": _repeated,
    "no_records": _no_records,
    "document": _document,
    "no_wrapper": _no_wrapper,
}


# ------------------------------------------------------------------- wire

HTML = "<!DOCTYPE html><html><title>Access denied | Cloudflare</title><body>Ray ID</body></html>"

Wire = Callable[[QuietHandler, Reply, Any], None]


def send(
    handler: QuietHandler,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json; charset=utf-8",
) -> None:
    """A whole reply; `headers` may contradict what is sent."""
    handler.send_response(status)
    for name, value in {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        **(headers or {}),
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _reset(handler: QuietHandler, _: Reply, __: Any) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    # The buffered file holds the socket open.
    handler.rfile.close()
    handler.connection.close()


def _slow(handler: QuietHandler, reply: Reply, seconds: Any) -> None:
    """Too late for whoever has a shorter time limit; by default for everybody."""
    if not handler.hold(seconds or LAST_RESORT_SECONDS):
        send(handler, reply.status, reply.body())


def _trickle(handler: QuietHandler, reply: Reply, seconds: Any) -> None:
    """A byte now and then: no pause is long, the whole is."""
    body = reply.body()
    send(handler, reply.status, body[:1], {"Content-Length": str(len(body))})
    for position in range(1, len(body)):
        if handler.hold(seconds or 0.05):
            return
        handler.wfile.write(body[position : position + 1])


def _truncated(handler: QuietHandler, reply: Reply, _: Any) -> None:
    body = reply.body()
    send(handler, 200, body[: len(body) // 2], {"Content-Length": str(len(body))})
    handler.close_connection = True


def _cut_chunk(handler: QuietHandler, reply: Reply, _: Any) -> None:
    body = reply.body()
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%b" % (len(body), body[: len(body) // 2]))
    handler.close_connection = True


def _wrong_length(handler: QuietHandler, reply: Reply, _: Any) -> None:
    body = reply.body()
    send(handler, 200, body, {"Content-Length": str(len(body) - 7)})
    handler.close_connection = True


def _gzip_bomb(handler: QuietHandler, _: Reply, __: Any) -> None:
    send(handler, 200, _bomb(), {"Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 2**20) * 64


def _bad_gzip(handler: QuietHandler, reply: Reply, _: Any) -> None:
    send(handler, 200, reply.body(), {"Content-Encoding": "gzip"})


def _good_gzip(handler: QuietHandler, reply: Reply, _: Any) -> None:
    send(handler, 200, gzip.compress(reply.body()), {"Content-Encoding": "gzip"})


def _redirect(handler: QuietHandler, _: Reply, target: Any) -> None:
    send(handler, 302, b"", {"Location": target or handler.path})


def _interim(handler: QuietHandler, reply: Reply, status: Any) -> None:
    handler.wfile.write(f"HTTP/1.1 {status} On the way\r\nLink: x\r\n\r\n".encode() * 3)
    send(handler, reply.status, reply.body())


def _text(handler: QuietHandler, _: Reply, text: Any) -> None:
    body = text if isinstance(text, bytes) else text.encode()
    send(handler, 200, body, content_type="text/plain")


def _html(handler: QuietHandler, _: Reply, status: Any) -> None:
    send(handler, status or 200, HTML.encode(), content_type="text/html")


def _status(handler: QuietHandler, _: Reply, argument: Any) -> None:
    """`{"status": ..., "document" or "text": ..., "headers": {...}}`, or the status alone."""
    how = argument if isinstance(argument, dict) else {"status": argument}
    text = how.get("text", dumps(how.get("document", {"error": "internal"})))
    send(handler, how["status"], text.encode(), how.get("headers"))


WIRE: dict[str, Wire] = {
    "reset": _reset,
    "slow": _slow,
    "trickle": _trickle,
    "truncated": _truncated,
    "cut_chunk": _cut_chunk,
    "wrong_length": _wrong_length,
    "gzip_bomb": _gzip_bomb,
    "bad_gzip": _bad_gzip,
    "good_gzip": _good_gzip,
    "redirect": _redirect,
    "interim": _interim,
    "text": _text,
    "html": _html,
    "status": _status,
}
