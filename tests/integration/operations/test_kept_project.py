"""dbt reads the project when anything differs that it was read from, and not otherwise."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dbt.contracts.graph.manifest import Manifest

from loader.operations import dbt_project, kept_project
from tests.conftest import Warehouse
from tests.waiting import LAST_RESORT_SECONDS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with seeds and a profile, and where dbt writes to."""
    for name, directory in (("DBT_PROJECT", "dbt_project"), ("SEEDS", "seeds")):
        (tmp_path / directory).mkdir()
        monkeypatch.setattr(dbt_project, name, tmp_path / directory)
    (tmp_path / "dbt_project" / "dbt_project.yml").write_text("name: it")
    (tmp_path / "seeds" / "feeds.csv").write_text("feed\n")
    (tmp_path / "profiles.yml").write_text("host: {{ env_var('WAREHOUSE_HOST', '') }}")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    return tmp_path


Change = Callable[[Path, pytest.MonkeyPatch], object]
CHANGES: dict[str, Change] = {
    "a model": lambda at, _: (at / "dbt_project" / "a.sql").write_text("select 1"),
    "a seed": lambda at, _: (at / "seeds" / "feeds.csv").write_text("feed\nstream\n"),
    "the profile": lambda at, _: (at / "profiles.yml").write_text("host: here"),
    "what the profile names": lambda _, patch: patch.setenv("WAREHOUSE_HOST", "elsewhere"),
    "no profile": lambda at, _: (at / "profiles.yml").unlink(),
    "an option of dbt": lambda _, patch: patch.setenv("DBT_TARGET", "another"),
    "its version": lambda _, patch: patch.setattr(kept_project, "version", lambda _: "9"),
    "Python": lambda _, patch: patch.setattr(sys, "version", "4"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_it_was_read_from_differs(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = kept_project.read_from()
    monkeypatch.setenv("OF_NO_INTEREST", "1")
    assert kept_project.read_from() == before
    CHANGES[change](place, monkeypatch)
    assert kept_project.read_from() != before


def spoil(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def make_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILT: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "cut off": spoil,
    "nothing in it": lambda file: file.write_bytes(b""),
    "no project": lambda file: file.write_bytes(file.read_bytes()[:32] + b"\x80\x05N."),
    "written by anybody": lambda file: file.chmod(0o622),
    "of somebody else": lambda file: os.chown(file, os.geteuid() + 1, -1),
    "a directory": make_directory,
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_not_as_it_was_kept_is_not_used(place: Path, case: str) -> None:
    if case == "of somebody else" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    assert kept_project.load(b"1" * 32) is None
    kept_project.keep(Manifest(), b"1" * 32)
    assert kept_project.load(b"1" * 32) is not None
    assert kept_project.load(b"2" * 32) is None
    [file] = (place / "target").iterdir()
    SPOILT[case](file)
    assert kept_project.load(b"1" * 32) is None
    # Where it cannot be written, nothing is kept, and nobody is told.
    kept_project.keep(Manifest(), b"3" * 32)
    assert (kept_project.load(b"3" * 32) is None) == (case == "a directory")
    assert len(list((place / "target").iterdir())) == 1


def listed(warehouse: Warehouse, **environment: str) -> tuple[str, bool]:
    """What dbt finds in the project, all of it; and whether it has read the project for it."""
    own = warehouse.directory / "own_target"
    # A trace of every reading.
    (own / "perf_info.json").unlink(missing_ok=True)
    # It lives as long as the pipe that is its stdin is open at the other end.
    reads, writes = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "loader.operations.dbt_process", "--quiet", "ls",
             "--output", "json"],
            env={**os.environ, "DBT_PROJECT_DIR": str(dbt_project.DBT_PROJECT),
                 "DBT_TARGET_PATH": str(own), **environment},
            stdin=reads, capture_output=True, text=True, check=True, timeout=LAST_RESORT_SECONDS,
        )  # fmt: skip
    finally:
        os.close(reads)
        os.close(writes)
    return done.stdout, (own / "perf_info.json").exists()


def test_the_project_is_read_once(warehouse: Warehouse) -> None:
    found, was_read = listed(warehouse)
    assert was_read
    assert '"unique_id": "model.bitso_warehouse.quotes"' in found
    assert listed(warehouse) == (found, False)
    # What stands in the profile is another database then.
    assert listed(warehouse, WAREHOUSE_DB="elsewhere")[1]


def test_a_project_that_cannot_be_read_is_the_error(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_TARGET", "nowhere")
    done = warehouse.loader("transform")
    [*_, last] = done.stderr.splitlines()
    assert done.returncode == 1
    assert last.startswith("loader: dbt: Runtime Error")
    assert "nowhere" in last
