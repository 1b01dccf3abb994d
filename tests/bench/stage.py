"""What every baseline stands on: a server of its own, fresh databases, generated files."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from loader.warehouse.postgres.embedded import BIN, Embedded
from loader.warehouse.settings import PROJECT_ROOT
from tests.bench.figures import in_turn
from tests.conftest import Server, Warehouse, migrated_server

SCRIPTS = Path(sys.executable).parent


# Something that is measured in a warehouse of its own.
Work = Callable[[Warehouse], object]
_numbers = count()


@dataclass(frozen=True)
class Stage:
    """A migrated server and a scratch directory."""

    server: Server
    directory: Path

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """A migrated database for one measurement."""
        warehouse = self.server.database(f"bench_{next(_numbers)}", "migrated")
        try:
            yield warehouse
        finally:
            self.server.drop(warehouse)

    def race(
        self, contenders: Mapping[str, Work], runs: int, ready: Work = lambda _: None
    ) -> dict[str, list[float]]:
        """Seconds of each contender in turn, each time in a new database made ready for it."""
        return in_turn(
            {name: partial(self._once, work, ready) for name, work in contenders.items()}, runs
        )

    def _once(self, work: Work, ready: Work) -> float:
        with self.warehouse() as warehouse:
            ready(warehouse)
            return seconds(partial(work, warehouse))


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        embedded = Embedded(directory / "home")
        try:
            yield Stage(migrated_server(embedded, directory, starts_dbt=True), directory)
        finally:
            embedded.stop()


def generate(directory: Path, *options: object) -> Path:
    """Snapshot files from the sample's own generator."""
    script = PROJECT_ROOT / "seeds" / "sample" / "generate.py"
    subprocess.run([sys.executable, script, directory, *map(str, options)], check=True)
    return directory


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def psql(warehouse: Warehouse, *commands: str) -> None:
    """Run commands through the wheel's own psql."""
    where = warehouse.where
    options = [argument for command in commands for argument in ("-c", command)]
    subprocess.run(
        [BIN / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", where.host, "-p", str(where.port),
         "-U", where.user, "-d", where.db, *options],
        env={**os.environ, "PGPASSWORD": where.password},
        check=True,
    )  # fmt: skip
