"""What the schedule does while something else is measured: transforms, and a nightly build."""

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.stage import SCRIPTS
from tests.conftest import Warehouse

TRANSFORM = "loader transform"
NIGHTLY = "loader transform --tests"
MINUTE_SECONDS = 60.0


@contextmanager
def transforming(warehouse: Warehouse) -> Iterator[Counter[tuple[str, int]]]:
    """`loader transform` every minute, and a nightly build after the first; counts exit codes.

    One that meets the nightly ends with 75.
    """
    ended = threading.Event()
    codes: Counter[tuple[str, int]] = Counter()

    def run(command: str) -> None:
        program, *arguments = command.split()
        done = subprocess.run(
            [SCRIPTS / program, *arguments], cwd=warehouse.directory, env=os.environ, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        codes[command, done.returncode] += 1

    def every_minute() -> None:
        start = time.monotonic()
        for minute in range(1, 1_000_000):
            run(TRANSFORM)
            if ended.wait(max(0.0, start + minute * MINUTE_SECONDS - time.monotonic())):
                return

    def once() -> None:
        if not ended.wait(1.5 * MINUTE_SECONDS):
            run(NIGHTLY)

    threads = [threading.Thread(target=work) for work in (every_minute, once)]
    for thread in threads:
        thread.start()
    try:
        yield codes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def told(codes: Counter[tuple[str, int]]) -> list[tuple[str, str]]:
    """As rows of a table."""
    return [
        (f"{command}, exit code {code}", f"{times} times")
        for (command, code), times in sorted(codes.items())
    ]
