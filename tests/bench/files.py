"""The inputs of the typed parts, made once for both versions; the file says what it holds."""

from collections.abc import Mapping
from pathlib import Path

from tests.bench.lake import write_lake
from tests.bench.market import write_recordings
from tests.bench.stage import generate


def deposits(directory: Path, scale: Mapping[str, int]) -> None:
    """deposits.csv, with nothing bad in it."""
    generate(
        directory, "--deposits", scale["rows"], "--users", max(20, scale["rows"] // 25),
        "--events", 10, "--busiest-percent", 0, "--clean",
    )  # fmt: skip


def recordings(directory: Path, scale: Mapping[str, int]) -> None:
    """history.jsonl, and new.jsonl with the rows that come after it."""
    write_recordings(directory, scale["rows"], scale["new"])


def lake(directory: Path, scale: Mapping[str, int]) -> None:
    """lake/, CSV files of ten minutes."""
    write_lake(directory / "lake", scale["days"])
