"""Ctrl-C and SIGTERM at any moment end a command at once and quietly, its imports included."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import Warehouse
from tests.interrupted import CLOSELY
from tests.waiting import LAST_RESORT_SECONDS

ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# Between them they parse, import everything that questions need, and print.
COMMANDS = [
    ("loader.cli.start", "lake", "export", "--help"),
    ("dashboards.start", "ask", "last-login", "--help"),
]


def interrupted(
    report: Path, number: signal.Signals, how: str, count: int, *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.interrupted", report, number.name, how, str(count), *command],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        timeout=LAST_RESORT_SECONDS,
        # In the background of a script Ctrl-C is ignored, and stays so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_end_is_the_same_at_every_moment(
    command: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    done = interrupted(report, number, "each", 120, *command)
    assert done.returncode == 0
    ended = json.loads(report.read_text())
    assert len(ended) > CLOSELY
    # Until our first line has run, the system ends it: to a shell that is the same.
    first = [code for event, _, code in ended if event < CLOSELY]
    assert set(first) <= {128 + number, -number if number == signal.SIGTERM else 128 + number}
    assert {code for event, _, code in ended if event >= CLOSELY} == {128 + number}
    name = command[0].partition(".")[0]
    assert set(done.stderr.splitlines()) == {f"{name}: {ENDINGS[number]}"}


LIST = ("loader.cli.start", "quarantine", "list")


@pytest.fixture(scope="module")
def moments(module_warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Some of those at which a command that has asked for the driver can be cut off."""
    module_warehouse.activate()
    report = tmp_path_factory.mktemp("moments") / "report"
    assert interrupted(report, signal.SIGINT, "once", 1 << 30, *LIST).returncode == 0
    last = int(report.read_text())
    assert last > 100
    return [int(last * part) for part in (0.2, 0.5, 0.8)] + [last - 2]


@pytest.mark.parametrize("number", ENDINGS)
def test_one_with_a_connection_ends_likewise(
    moments: list[int], number: signal.Signals, tmp_path: Path
) -> None:
    for moment in moments:
        done = interrupted(tmp_path / "report", number, "once", moment, *LIST)
        assert done.returncode == 128 + number
        assert done.stderr == f"loader: {ENDINGS[number]}\n"


def test_what_a_shell_lets_be_ignored_stays_ignored(moments: list[int], tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "tests.interrupted",
         tmp_path / "report", "SIGINT", "once", str(moments[1]), *LIST],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 rows in quarantine\n", "")
