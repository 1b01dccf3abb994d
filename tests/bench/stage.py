"""What every measurement stands on: a server of its own, generated files, medians."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loader.warehouse.postgres.embedded import BIN, Embedded
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import Server, Warehouse, migrated_server

SCRIPTS = Path(sys.executable).parent


@contextmanager
def stage() -> Iterator[tuple[Server, Path]]:
    """A migrated server and a scratch directory, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        embedded = Embedded(directory / "home")
        try:
            yield migrated_server(embedded, directory, starts_dbt=True), directory
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


def median(values: list[float]) -> float:
    """The middle of the measurements."""
    return statistics.median(values)


def show(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print aligned columns under a title."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in rows]  # fmt: skip
    sys.stdout.write("\n".join(["", title, *(f"  {line}".rstrip() for line in lines), ""]))
    sys.stdout.flush()
