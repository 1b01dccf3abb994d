"""What both command lines have in common: version, help, how much is said, completion."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from dashboards.questions import load_questions
from loader.operations.schedule import SCHEDULE
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import BIN, COMMANDS, Warehouse


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command and group below one, by what is typed."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


ALL = [each for name, group in COMMANDS.items() for each in commands(group, name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version_is_that_of_the_package(warehouse: Warehouse, name: str) -> None:
    done = warehouse.call(name, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{name} {version('bitso-warehouse')}\n"


def test_help_is_given_by_either_name_everywhere(warehouse: Warehouse) -> None:
    assert ("loader", "lake", "import") in ALL
    assert ("dashboards", "ask", "spread-now") in ALL
    for command in ALL:
        short, long = (warehouse.call(*command, option) for option in ("-h", "--help"))
        assert (short.returncode, short.stderr) == (0, ""), command
        assert short.stdout == long.stdout
        assert short.stdout.startswith(f"Usage: {' '.join(command)} ")


def test_quietly_nothing_but_errors_is_said(sampled: Warehouse) -> None:
    asked = ("ask", "spread-observations", "--limit", "1")
    loud = sampled.call("dashboards", *asked)
    assert loud.stderr
    quiet = sampled.call("dashboards", "-q", *asked)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, loud.stdout, "")
    wrong = sampled.call("dashboards", "-q", "ask", "spread-observations", "--book", "btc_mxm")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    # What is logged, too; an odd setting is.
    odd = {"WAREHOUSE_HOSTT": "x"}
    assert "is no setting" in sampled.call("loader", "alerts", "mutes", **odd).stderr
    assert sampled.call("loader", "-q", "alerts", "mutes", **odd).stderr == ""


def test_at_length_connections_and_sql_are_logged(sampled: Warehouse) -> None:
    done = sampled.call("dashboards", "-v", "ask", "last-login", "--format", "csv")
    assert done.returncode == 0
    assert f"/{sampled.where.db} as reader\n" in done.stderr
    assert "marts.user_logins" in done.stderr
    assert sampled.where.password not in done.stderr


# ------------------------------------------------------------------- completion


def completed(line: str, directory: Path | None = None, **environment: str) -> tuple[set[str], str]:
    """What a shell is offered at the end of a line, and what is said meanwhile."""
    words = line.split(" ")
    done = subprocess.run(
        [BIN / words[0]], capture_output=True, text=True, check=True, cwd=directory,
        env={
            **os.environ, **environment, f"_{words[0].upper()}_COMPLETE": "fish_complete",
            "COMP_WORDS": line.rpartition(" ")[0], "COMP_CWORD": words[-1],
        },
    )  # fmt: skip
    rows = filter(None, done.stdout.splitlines())
    offered = {row.partition("\t")[0].partition(",")[2] for row in rows}
    return offered, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_shell_is_told_how_to_complete(warehouse: Warehouse, name: str, shell: str) -> None:
    done = warehouse.call(name, "completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_{name.upper()}_COMPLETE={shell}_complete" in done.stdout
    assert name in done.stdout.split()
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
    assert warehouse.call(name, "completion", "tcsh").returncode == 2


def test_a_name_with_blanks_is_one_word_in_bash(warehouse: Warehouse) -> None:
    names = [job.name for job in SCHEDULE]
    assert any(" " in name for name in names)
    script = (
        warehouse.call("loader", "completion", "bash").stdout
        + """
        COMP_WORDS=(loader status ""); COMP_CWORD=2
        _loader_completion loader
        eval "words=(${COMPREPLY[*]})"
        printf '%s\\n' "${words[@]}"
    """
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == names


def test_what_is_wrong_is_said_without_a_list(warehouse: Warehouse) -> None:
    done = warehouse.call("loader", "completion")
    assert done.stderr == (
        "loader: Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish\n"
    )


def alone(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """What a group does by itself, with the name of a command behind it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from alone(command, *path, name)
    if group.invoke_without_command:
        for param in group.params:
            value = [] if isinstance(param, click.Option) and param.is_flag else ["1"]
            yield (*path, param.opts[0], *value, group.list_commands(context)[0])


@pytest.mark.parametrize(
    "line", [each for name, group in COMMANDS.items() for each in alone(group, name)], ids=" ".join
)
def test_an_option_that_stands_alone_is_not_passed_over(
    warehouse: Warehouse, line: tuple[str, ...]
) -> None:
    done = warehouse.call(*line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{line[0]}: {line[2]} stands alone: leave it or {line[-1]} out\n"


def test_names_are_completed(sampled: Warehouse) -> None:
    sampled.activate()
    books = {name for (name,) in sampled.rows("select distinct book from marts.book_names")}
    known = {name for (name,) in sampled.rows("select book_name from marts.book_names")}
    for line, offered in {
        "loader ": {*COMMANDS["loader"].list_commands(click.Context(COMMANDS["loader"]))},
        "dashboards ask spread-": {name for name in load_questions() if name.startswith("spread-")},
        "dashboards ask spread-now --book ": known,
        "dashboards ask active-users --status ": {"complete", "any"},
        "dashboards ask active-users --day y": {"yesterday"},
        "dashboards ask last-login --format p": {"parquet"},
        "loader tickers --books btc": {name for name in books if name.startswith("btc")},
        "loader tickers --books x,btc": {f"x,{n}" for n in books if n.startswith("btc")},
        "loader status t": {"tickers", "transform", "transform with tests"},
        "dashboards preview sp": {"spread-monitor"},
        # Whose names they are is nobody's business.
        "dashboards ask last-login --user-id ": set(),
    }.items():
        assert completed(line) == (offered, ""), line


@pytest.mark.parametrize(
    "line",
    [
        "dashboards ask spread-now --book b",
        "dashboards ask nothing-like-it --book b",
        "dashboards ask active-users --day 7d --st",
        "loader transform --since 7d --un",
        "loader tickers --books b",
        "loader no-such-command -",
        "dashboards -q ask x ",
    ],
)
def test_without_a_warehouse_nothing_is_started_and_nothing_is_said(
    tmp_path: Path, line: str
) -> None:
    for where in (
        {"WAREHOUSE_HOST": "", "WAREHOUSE_HOME": str(tmp_path / "home")},
        {"WAREHOUSE_HOST": "127.0.0.1", "WAREHOUSE_PORT": "9"},
        {"WAREHOUSE_HOST": "", "WAREHOUSE_PORT": "no number"},
    ):
        offered, said = completed(line, tmp_path, **where)
        assert said == ""
        # Of the command line itself there is nothing to ask.
        assert all(each.startswith("-") for each in offered)
    assert not (tmp_path / "home").exists()


LOST = """
import os, signal
from loader.warehouse.commands import CommandGroup
from loader.warehouse.errors import TransientError

def lose(number):
    try:
        os.kill(os.getpid(), number)
    except BaseException:
        pass  # as a library does that calls us from C

group = CommandGroup("loader", invoke_without_command=True)
@group.result_callback()
def run(*_, **__):
    lose({number})
    raise TransientError("the connection is closed")
group.main([])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_is_lost_is_the_end_all_the_same(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST.replace("{number}", str(int(number)))], cwd=PROJECT_ROOT,
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    said = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert (done.returncode, done.stderr) == (128 + number, f"loader: {said}\n")
