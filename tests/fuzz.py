"""`make fuzz`: frames, replies, headers, snapshot and lake files that nobody thought of.

Hypothesis drives the parsing and loading code itself, in this process, for so many minutes. What
must hold is what the campaign (`make faults`) asserts: nothing but our own errors comes out, the
bad row alone is lost, memory and time are bounded. What it finds is printed as a case to be added
to tests/faults/.
"""

import argparse
import csv
import io
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from loader.lake.reading import read_file
from loader.market import bitso
from loader.market.rows import FEEDS
from loader.snapshots.reading import BadRow, ExactRow, SnapshotFile, Span
from loader.stream.frames import BadFrame, read_frame, read_snapshot
from loader.stream.order_book import Diff
from loader.stream.tracked_book import TrackedBook
from loader.warehouse.errors import WarehouseError
from loader.warehouse.text import is_storable
from loader.warehouse.values import BadValueError
from loader.wire.rate_budget import LocalBudget, RateLimits
from loader.wire.records import BadRecord, Body
from loader.wire.session import Manners, PoliteSession
from tests.clocks import SkippingClock
from tests.faults.gate import gate
from tests.odd_records import FRAME, RECORDS, SNAPSHOT
from tests.odd_values import json_values, texts, written_values
from tests.snapshot_files import HEADERS, TEMPLATES

# One input may not take longer, in seconds of the processor.
MOST_SECONDS = 5.0
EXAMPLES = 200
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)

# --- inputs -----------------------------------------------------------------------------------

_values = st.sampled_from(json_values())
_json = st.recursive(
    _values | st.text().map(json.dumps) | st.integers().map(str),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda all_: f"[{','.join(all_)}]")
        | st.lists(st.tuples(st.text(max_size=9).map(json.dumps), inner), max_size=4).map(
            lambda all_: "{" + ",".join(f"{name}:{value}" for name, value in all_) + "}"
        )
    ),
    max_leaves=12,
)


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in inside:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, name))


@st.composite
def _spoiled(draw: st.DrawFn, document: Any) -> str:
    """A good document with some members replaced by any JSON, missing, or added."""
    copy = json.loads(json.dumps(document))
    put: dict[str, str] = {}
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(copy))
        if not places:
            break
        *outer, last = draw(st.sampled_from(places))
        inner = copy
        for name in outer:
            inner = inner[name]
        mark = f"@{len(put)}@"
        put[mark] = draw(_json)
        if isinstance(inner, dict) and draw(st.booleans()):
            inner[draw(st.text(max_size=5))] = mark
        else:
            inner[last] = mark
    text = json.dumps(copy)
    for mark, value in put.items():
        text = text.replace(f'"{mark}"', value)
    return text


@st.composite
def _damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes, some of them cut out, doubled or replaced."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        data[start:end] = draw(st.binary(max_size=8) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


def _rows(header: str, good: Callable[[int], str]) -> st.SearchStrategy[bytes]:
    """A CSV file, some of its fields odd."""
    width = len(header.split(","))
    value = st.sampled_from(written_values() + texts()) | st.text(max_size=30)
    odd = st.lists(value, min_size=width - 1, max_size=width + 1)

    def written(rows: list[Any]) -> bytes:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        for number, row in enumerate(rows):
            writer.writerow(good(number).split(",") if row is None else row)
        return f"{header}\n{lines.getvalue()}".encode(errors="surrogatepass")

    return _damaged(st.lists(st.none() | odd, max_size=6).map(written))


# --- what must hold ---------------------------------------------------------------------------


def _readable(message: str) -> None:
    """An error is one line that cannot act on a terminal."""
    assert message.isprintable(), repr(message)
    assert message


def frame(message: str | bytes) -> None:
    """A frame costs itself: it is read or bad, and the book goes on."""
    book = TrackedBook("odd_mxn", 5)
    book.is_subscribed = True
    assert book.seed(read_snapshot("odd_mxn", json.dumps(SNAPSHOT))) is None
    found = read_frame(message)
    if isinstance(found, BadFrame):
        assert found.code
        assert found.reason
    elif isinstance(found, Diff):
        book.take(found)
    if book.book is not None:
        sample = book.sample("now")
        json.loads(sample.payload)
        assert is_storable(sample.payload)


def snapshot_reply(text: str) -> None:
    """What a snapshot is read from is one, or says why not."""
    try:
        read_snapshot("odd_mxn", text)
    except BadValueError as error:
        _readable(error.reason)


def reply(source: str, text: str) -> None:
    """Each record of a reply is good or bad."""
    for item in FEEDS[source].parse(Body(source, "", NOW, text)):
        if isinstance(item, BadRecord):
            assert item.code
            assert item.reason
        else:
            assert item.payload in text


def header(lines: bytes) -> None:
    """A reply of the wire is a body, or one of our errors of one line."""
    clock = SkippingClock(runs=True)
    budget = LocalBudget("bitso", RateLimits(1_000_000), clock)
    with gate([lines]) as door:
        session = PoliteSession("bitso", bitso.judge, budget, manners=Manners(0.3, 1), clock=clock)
        try:
            session.fetch(door.url)
        except WarehouseError as error:
            _readable(str(error))
        finally:
            session.close()


def snapshot_file(path: Path, data: bytes) -> None:
    """A file is refused, or each of its lines is good or bad."""
    path.write_bytes(data)
    try:
        file = SnapshotFile(path)
    except WarehouseError as error:
        _readable(str(error))
        return
    try:
        for record in file.records():
            assert isinstance(record, Span | ExactRow | BadRow)
            assert not isinstance(record, BadRow) or is_storable(record.raw)
    except WarehouseError as error:
        _readable(str(error))
    finally:
        file.close()


def lake_file(path: Path, data: bytes) -> None:
    """A file is refused, or each of its rows is good or bad; none is both, or neither."""
    path.write_bytes(data)
    try:
        for chunk in read_file(path):
            lines = chunk.rows["line_number"].to_pylist() + [bad.line for bad in chunk.bad]
            assert len(lines) == len(set(lines))
            assert all(is_storable(bad.raw) for bad in chunk.bad)
    except WarehouseError as error:
        _readable(str(error))


# --- driving ----------------------------------------------------------------------------------

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 31\r\n"
    b'Retry-After: 7\r\nLocation: /\r\n\r\n{"success": true, "payload": []}'
)
_LAKE = "orderbook_timestamp,book,bid,ask,spread"


def _within(ends: tuple[str, str], text: str) -> str:
    return ends[0] + text + ends[1]


def targets(directory: Path) -> dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]]:
    """What is driven, and with what."""
    around = {source: (FEEDS[source].around, record) for source, record in RECORDS.items()}
    return {
        "stream frame": (
            _spoiled(FRAME) | _damaged(_spoiled(FRAME).map(lambda text: text.encode(
                errors="surrogatepass"))), frame),
        "snapshot of a book": (_spoiled(SNAPSHOT), snapshot_reply),
        **{
            f"REST reply: {source}": (
                _spoiled(record).map(partial(_within, ends)),
                partial(reply, source))
            for source, (ends, record) in around.items()
        },
        "reply header": (_damaged(st.just(_HEAD)), header),
        **{
            f"snapshot file: {kind}": (
                _rows(HEADERS[kind], TEMPLATES[kind].format),
                partial(snapshot_file, directory / "a.csv"))
            for kind in HEADERS
        },
        "lake CSV": (
            _rows(_LAKE, lambda n: f"2024-03-02 10:00:{n:02},odd_mxn,455000,457250,0.4"),
            partial(lake_file, directory / "lake.csv")),
    }  # fmt: skip


def drive(
    name: str, inputs: st.SearchStrategy[Any], check: Callable[[Any], None], found: dict[str, str]
) -> None:
    """Some examples of one target; what fails is made small and kept."""
    last: list[Any] = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(inputs)
    def once(data: Any) -> None:
        last[:] = [data]
        before = time.process_time()
        check(data)
        assert time.process_time() - before < MOST_SECONDS, "it takes too long"

    try:
        once()
    except (Exception, Flaky) as error:  # noqa: BLE001 (whatever comes out is what is looked for)
        lines = str(error).strip().splitlines() or ["nothing was said"]
        problem = f"{type(error).__name__}: {lines[0][:160]}"
        kind = f"{name}: {re.sub(r'[0-9]+', 'N', problem)[:80]}"
        found.setdefault(kind, f"{name}\n    {problem}\n    what={_shown(last[0])}")


def _shown(data: Any) -> str:
    text = ascii(data)
    return text if len(text) < 2000 else f"{text[:1000]} ... {text[-900:]}"


def main() -> None:
    """Drive every target in turn until the time is over; exit code 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    given_ = parser.parse_args()
    ends_at = time.monotonic() + 60 * given_.minutes
    found: dict[str, str] = {}
    rounds = 0
    with tempfile.TemporaryDirectory() as directory:
        chosen = targets(Path(directory))
        while time.monotonic() < ends_at:
            for name, (inputs, check) in chosen.items():
                if time.monotonic() < ends_at:
                    drive(name, inputs, check, found)
            rounds += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    told = [f"Case({text}" for text in found.values()]
    said = (
        f"{rounds * EXAMPLES} inputs of each of {len(chosen)} kinds, {len(found)} found, {peak} MiB"
    )
    sys.stdout.write("\n".join([*told, said, ""]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
