"""What a load holds in memory does not grow with its input: bad rows, long lines, replies."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loader.market.bitso import TICKERS
from loader.wire.records import Body
from tests.conftest import BIN, Warehouse
from tests.market_files import NOON, line, ticker, tickers
from tests.packing import PACKED
from tests.snapshot_files import HEADERS

# Two rows take 55 MiB. A reply is held whole, rows are not.
MOST_MIB, MOST_MIB_OF_ROWS = 150, 110
# A process begins as a copy of the one that starts it: a small one must.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""
GOOD = "{0},2023-01-02 03:04:05+00,u{0},1.5,mxn,complete\n"


def write_lines(path: Path, lines: Iterator[str]) -> Path:
    with path.open("w") as file:
        file.writelines(lines)
    return path


def snapshot(path: Path, row: str, count: int) -> Path:
    """A file whose rows are all like one, but for its first, which is good."""

    def lines() -> Iterator[str]:
        yield f"{HEADERS['deposits']}\n"
        yield GOOD.format(1)
        for number in range(2, count):
            yield row.format(number)

    return write_lines(path, lines())


def recording(path: Path, *payloads: object, count: int) -> Path:
    bodies = (
        tickers(NOON + timedelta(seconds=number), *payloads)  # type: ignore[arg-type]
        for number in range(count)
    )
    return write_lines(path, (f"{line(body)}\n" for body in bodies))


def packed(path: Path) -> Path:
    """Twenty megabytes that are a few bytes on disk."""
    path = snapshot(path, GOOD, 400_000)
    path.write_bytes(PACKED["zstd, streamed"](path.read_bytes()))
    return path


CASES: dict[str, Callable[[Path], tuple[str, Path]]] = {
    "bad rows": lambda path: ("snapshots", snapshot(path, "{},x,u,1,mxn,complete\n", 200_000)),
    "rows of a megabyte": lambda path: (
        "snapshots", snapshot(path, "{0},2023-01-02 03:04:05," + "u" * 900_000 + ",,a,b\n", 60)
    ),
    "quoted line ends": lambda path: (
        "snapshots", snapshot(path, '{0},"' + "u\n" * 40_000 + '"\n', 4)
    ),
    # What unpacks it is large itself.
    "a file of zstd": lambda path: ("snapshots", packed(path)),
    "bad records": lambda path: (
        "replay", recording(path, *[ticker(bid="NaN")] * 100, count=1_000)
    ),
    "replies that are none": lambda path: (
        "replay",
        write_lines(path, (
            f"{line(Body(TICKERS, '', NOON + timedelta(seconds=n), 'x' * (1 << 20)))}\n"
            for n in range(60)
        )),
    ),
    "replies of two megabytes": lambda path: (
        "replay", recording(path, ticker(note="x" * (2 << 20)), count=60)
    ),
    "one reply of many records": lambda path: (
        "replay", recording(path, *[ticker(f"b{n}_mxn") for n in range(20_000)], count=3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_load_keeps_to_its_memory(module_warehouse: Warehouse, tmp_path: Path, case: str) -> None:
    module_warehouse.activate()
    command, path = CASES[case](tmp_path / "a.file")
    if command == "replay":
        # Else nothing of it could be read, and it were refused.
        with path.open("a", encoding="utf-8") as file:
            file.write(line(tickers(NOON, ticker())) + "\n")
    more = ["--allow-shrink"] if command == "snapshots" else []
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, BIN / "loader", command, path, *more],
        env={**os.environ, "WAREHOUSE_BAD_ROWS_PERCENT": "100"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, mebibytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert mebibytes < (MOST_MIB_OF_ROWS if "row" in case else MOST_MIB)
