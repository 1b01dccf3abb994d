"""Recordings of replies (`loader replay`), which take the way of the replies themselves."""

import gzip
import json
from collections.abc import Iterator

from tests.faults.cases import Case, Holds, Surface
from tests.faults.files import REFUSED, TAKEN, WHOLE, FileKind, as_file, bring, whole_files
from tests.faults.values import CUT, DEEP, ENCODED, spoiled_records

NAME = "recording"
RECORDS = [
    {
        "book": f"book{n}_mxn", "bid": "100.5", "ask": "100.75",
        "created_at": "2026-01-05T12:00:00+00:00",
    }
    for n in range(3)
]  # fmt: skip
TEXTS_OF_RECORDS = [json.dumps(record) for record in RECORDS]


def reply(*records: str) -> str:
    """A reply of Bitso with these records."""
    return f'{{"success": true, "payload": [{", ".join(records)}]}}'


def line(body: str, source: str = "bitso_tickers", at: str = "2026-01-05T12:00:00+00:00") -> bytes:
    """A line of a recording."""
    entry = {"source": source, "key": "", "received_at": at, "body": body}
    return json.dumps(entry).encode() + b"\n"


GOOD = line(reply(*TEXTS_OF_RECORDS))
RECORDING = FileKind(
    "a.jsonl", GOOD, ("replay",), "select count(*) from raw.bitso_tickers", "raw.bitso_tickers"
)
# One of three records is odd; so odd that nobody reads the reply, the recording is refused.
BESIDE = Holds((0,), (2, 3))
WITH_ALL = Holds((0, 1), (0, 2, 3))
_ENTRY = json.loads(GOOD)


def _recording_cases() -> Iterator[Case]:
    first, _, last = TEXTS_OF_RECORDS
    for kind, name, text in spoiled_records(RECORDS[1], "bid", "book"):
        holds = WITH_ALL if kind in ("size", "shape", "numbers") else BESIDE
        yield Case(NAME, kind, name, line(reply(first, text, last)), holds)
    for name, encode in ENCODED.items():
        yield Case(NAME, "encoding", name, encode(GOOD), WHOLE)
    # Which of them are packed, their names tell.
    yield from whole_files(NAME, RECORDING, Holds((0, 1), (0, 3)))
    yield from _line_cases()


def _line_cases() -> Iterator[Case]:
    odd = {
        "no JSON": b"hello\n",
        "a list": b"[]\n",
        "a body of a number": json.dumps({**_ENTRY, "body": 7}).encode(),
        "an unknown source": line(reply(), source="nobody"),
        "no such time": line(reply(), at="yesterday"),
        "no zone": line(reply(), at="2026-01-05T12:00:00"),
        "the year 1": line(reply(), at="0001-01-01T00:00:00+14:00"),
        "a source of escapes": line(reply(), source="\x1b[2J\x07"),
        "nested 200 000 deep": DEEP.encode(),
        "an odd watch": b'{"watched": {"feed": "\\u0000", "interval_seconds": 1e999}}\n',
    }
    for name, text in odd.items():
        yield Case(NAME, "shape", f"a line: {name}", GOOD + text, REFUSED)
    twice = GOOD + GOOD
    yield Case(NAME, "duplication", "a line twice", twice, TAKEN)
    yield Case(NAME, "cut", "a body cut in half", line(reply(*TEXTS_OF_RECORDS)[:-40]), WHOLE)
    for name, cut in CUT.items():
        packed = cut(gzip.compress(GOOD))
        yield Case(NAME, "cut", f"a gzip: {name}", packed, WHOLE)
    long = as_file(lambda: GOOD + b'{"source": "' + b"x" * (40 << 20) + b'"}\n')
    yield Case(NAME, "size", "a line of 40 MB", long, REFUSED, is_dear=True)
    yield Case(NAME, "lost", "it grows while it is read", GOOD * 400, Holds((0, 1, 75), (0, 3)))


RECORDINGS = Surface(
    NAME,
    list(_recording_cases()),
    lambda place, case: bring(RECORDING, place, case),
    {
        "time": "a file is there or is not; one that does not end is a pipe or a device (place)",
        "full disk": "nothing of a replay is written to a file",
        "version": "a line names its four members: others are another shape",
    },
)
