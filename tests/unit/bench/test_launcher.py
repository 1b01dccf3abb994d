"""The process that measures another one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.site import LAUNCHER

# Two hundred MiB that a child of the command touches.
GREEDY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(200 << 20)'])"


def launched(log: Path, *command: str, seconds: float = 0) -> Any:
    """What it tells of a command."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, log, str(seconds), *command],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_it_tells_the_exit_code_and_keeps_the_output(tmp_path: Path) -> None:
    told = launched(tmp_path / "log", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert told["code"] == 3
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_children_of_the_command_count(tmp_path: Path) -> None:
    told = launched(tmp_path / "log", sys.executable, "-c", GREEDY)
    assert told["code"] == 0
    assert told["peak_mib"] > 200
    assert told["cpu"] > 0
    assert told["wall"] > 0


def test_the_memory_of_whoever_measures_does_not(tmp_path: Path) -> None:
    assert launched(tmp_path / "log", "/bin/sh", "-c", ":")["peak_mib"] < 20


def test_a_command_that_never_ends_is_asked_to(tmp_path: Path) -> None:
    told = launched(tmp_path / "log", "/bin/sh", "-c", "exec sleep 60", seconds=0.2)
    assert told["code"] == -15
