"""The check for what tests leave behind, held against tests that leave something behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT
from tests import leftovers_found
from tests.leftovers_found import Processes
from tests.waiting import LAST_RESORT_SECONDS, wait_for

LITTER = """
import os, socket, subprocess, tempfile, threading
from contextlib import closing
from pathlib import Path
import pytest
from tests import leftovers

leftovers.GRACE_SECONDS = 1
kept = []

def sleeper(*before):
    return subprocess.Popen([*before, "sleep", "3600"])

def run(server, statement):
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(statement)

def test_process():
    kept.append(sleeper())

def test_orphan(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    subprocess.run(["sh", "-c", "sleep 3600 &"], start_new_session=True, stdout=subprocess.DEVNULL)

def test_failed():
    kept.append(sleeper())
    raise RuntimeError("failed by itself")

def test_port():
    kept.append(socket.create_server(("127.0.0.1", 0)))

def test_thread():
    threading.Thread(target=threading.Event().wait, name="loiterer", daemon=True).start()

def test_database(server):
    run(server, "create database left_behind")

def test_role(server):
    run(server, "create role left_behind")

def test_file():
    Path(tempfile.gettempdir(), "left_behind").touch()

@pytest.fixture(scope="module")
def wide(server):
    run(server, "create database of_the_module")
    process = sleeper()
    yield
    process.kill()
    process.wait()
    run(server, "drop database of_the_module")

def test_clean(warehouse, wide):
    warehouse.rows("create table public.of_the_test ()")
"""

ENDLESS = """
import os, subprocess, threading
import pytest

@pytest.mark.parametrize("n", range(2))
def test_endless(warehouse, tmp_path, n):
    subprocess.Popen(["sleep", "3600"])
    subprocess.run(["sh", "-c", "sleep 3600 &"], start_new_session=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "HERE": str(tmp_path)})
    warehouse.rows("create table public.of_the_test ()")
    (tmp_path / "ready").touch()
    threading.Event().wait()
"""


def start(directory: Path, code: str, *options: str) -> subprocess.Popen[str]:
    """A run of pytest of its own, with the fixtures of this one."""
    file = directory / "test_trial.py"
    file.write_text(code)
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", os.devnull,
         "--rootdir", directory, "--basetemp", directory / "base", *options, file],
        cwd=PROJECT_ROOT, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # A shell's background job ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


def test_what_is_left_fails_its_test_by_its_name(tmp_path: Path) -> None:
    out, _ = start(tmp_path, LITTER).communicate(timeout=LAST_RESORT_SECONDS)
    told = dict(re.findall(r"^left over after \S+::(\w+): (.*)$", out, re.MULTILINE))
    patterns = {
        "test_process": r"process \d+ sleep 3600",
        "test_orphan": r"process \d+ sleep 3600",
        "test_failed": r"process \d+ sleep 3600",
        "test_port": r"port \d+",
        "test_thread": "thread loiterer",
        "test_database": "database left_behind",
        "test_role": "role left_behind",
        "test_file": r"file \S+/left_behind",
    }
    assert set(told) == set(patterns), out
    for name, pattern in patterns.items():
        assert re.fullmatch(pattern, told[name]), told
    assert "RuntimeError: failed by itself" in out
    assert "1 failed, 8 passed, 8 errors" in out
    assert Processes(tmp_path).ours() == {}


def named(folder: Path, name: str) -> int:
    """How many files below a folder have a name; others come and go meanwhile."""
    return sum(name in files for _, _, files in os.walk(folder))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_is_cut_off_leaves_nothing(tmp_path: Path, workers: str) -> None:
    options = ["-p", "xdist", "-n", workers, "--dist", "load"]
    process = start(tmp_path, ENDLESS, *options)
    ready = max(1, int(workers))
    wait_for(
        lambda: named(tmp_path / "base", "ready") == ready or process.poll(),
        "tests that are under way",
    )
    assert process.poll() is None, process.stdout and process.stdout.read()
    assert len(Processes(tmp_path).ours()) >= 3 * ready
    # As a terminal does it: to each process of the run.
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=LAST_RESORT_SECONDS)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert "left over" not in out
    assert Processes(tmp_path).ours() == {}
    assert list((tmp_path / "base").glob("**/postmaster.pid")) == []


def test_what_appears_in_the_project_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dbt_project").mkdir()
    monkeypatch.setattr(leftovers_found, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(leftovers_found, "_directories", lambda: ["dbt_project"])
    before = leftovers_found.in_project()
    (tmp_path / "dbt_project" / "target").mkdir()
    (tmp_path / "answer.csv").touch()
    (tmp_path / ".pytest_cache").mkdir()
    new = leftovers_found.in_project() - before
    assert new == {"file dbt_project/target", "file answer.csv"}
