"""`dashboards serve` as a process, over the sample."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import BIN, Warehouse
from tests.waiting import end_of, read_until

_numbers = count()


@dataclass(frozen=True)
class Served:
    """A page that is served: where, by which process, and what that has logged."""

    address: str
    pid: int
    _log: Path

    @property
    def log(self) -> str:
        """All of it until now."""
        return self._log.read_text()


@contextmanager
def serving_page(warehouse: Warehouse, *options: str, **environment: str) -> Iterator[Served]:
    """A page for as long as the block lasts; then it ends as on `kill`."""
    warehouse.activate()
    log = warehouse.directory / f"serve-{next(_numbers)}.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [BIN / "dashboards", "serve", "--port", "0", *options],
            env={**os.environ, **environment}, cwd=warehouse.directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        [line] = read_until(process.stdout, "shows the dashboards")
        found = re.match(r"(http://\S+:\d+) shows the dashboards; Ctrl-C ends it\n", line)
        assert found, line
        yield Served(found[1], process.pid, log)
        process.send_signal(signal.SIGTERM)
        assert end_of(process)[0] == 128 + signal.SIGTERM
        assert log.read_text().splitlines()[-1] == "dashboards: terminated"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(sampled: Warehouse) -> Iterator[str]:
    """Where the page of the sample is."""
    with serving_page(sampled) as served:
        yield served.address
