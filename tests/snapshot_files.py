"""Small snapshot files for the tests of the loader."""

import gzip
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

HEADERS = {
    "deposits": "id,event_timestamp,user_id,amount,currency,tx_status",
    "withdrawals": "id,event_timestamp,user_id,amount,interface,currency,tx_status",
    "events": "id,event_timestamp,user_id,event_name",
    "users": "user_id",
    "user_levels": "user_id,jurisdiction,level,event_timestamp",
}
# One good row of each kind, with places for a number that makes it unique.
TEMPLATES = {
    "deposits": "{0},2023-01-02 03:04:05.6+00,user{0},{0}.5,mxn,complete",
    "withdrawals": "{0},2023-01-02 03:04:05+00,user{0},-{0}.25,web,btc,failed",
    "events": "{0},2023-01-02 03:04:05.123456,user{0},login",
    "users": "user{0}",
    "user_levels": "user{0},mx,2,2023-01-02 03:04:05+00",
}


def good_rows(kind: str, count: int, first: int = 1) -> list[str]:
    """Good rows with different keys."""
    return [TEMPLATES[kind].format(number) for number in range(first, first + count)]


def content(kind: str, rows: Iterable[str | bytes], end: bytes = b"\n") -> bytes:
    """The bytes of a file: its header and its rows."""
    lines = [HEADERS[kind], *rows]
    return b"".join((line if isinstance(line, bytes) else line.encode()) + end for line in lines)


def write(directory: Path, name: str, kind: str, rows: Iterable[str | bytes]) -> Path:
    """A file of some kind, gzipped when its name says so."""
    data = content(kind, rows)
    path = directory / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed: its last line on stderr, and the only one of its kind."""
    assert "Traceback" not in done.stderr, done.stderr
    *before, last = done.stderr.splitlines()
    assert last.startswith("loader: "), done.stderr
    assert not any(line.startswith(("loader: ", "Error", " ")) for line in before), done.stderr
    assert os.environ["WAREHOUSE_PASSWORD"] not in done.stdout + done.stderr
    return last.removeprefix("loader: ")
