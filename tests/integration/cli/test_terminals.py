"""What commands print: harmless on a terminal, as it is in a file, and never lost unsaid."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from psycopg2.extensions import connection as Connection
from wcwidth import wcswidth

from dashboards.cli import FORMATS
from loader.warehouse.ledger.quarantine import SetAside, set_aside
from loader.warehouse.postgres.connection import connect
from loader.warehouse.text import printable
from tests.conftest import BIN, COMMANDS, Warehouse, as_a_process
from tests.waiting import LAST_RESORT_SECONDS

# Escapes of seven and of eight bits, text from right to left, what takes no room, what breaks a
# line, what goes back in it; the last one is as harmless as it looks.
NAMES = [
    "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\u202egnp.exe", "a\u200b\u2060\ufeffb", "a\u115f\u3164b",
    "a\nb\r\x0bc\u2028d\x85e", "\x7f\x08\x08", "\t| x |", "a, \"ñ\" 🦄",
]  # fmt: skip
ASKED = ("dashboards", "ask", "last-login")


@pytest.fixture(scope="module")
def hostile(module_warehouse: Warehouse) -> Warehouse:
    """Users and rows in quarantine with such names."""
    module_warehouse.rows(
        "create table marts.user_logins (event_id bigint, user_id text, logged_in_at timestamptz);"
        "grant select on marts.user_logins to warehouse_reader"
    )
    for name in NAMES:
        module_warehouse.rows(
            "insert into marts.user_logins values (1, %s, '2022-04-30 04:10:26+00')", name
        )
    connection: Connection = connect("loader")
    with connection, connection.cursor() as cursor:
        cursor.execute("insert into ops.runs (job) values ('x') returning run_id")
        [(run_id,)] = cursor.fetchall()
        rows = [SetAside(name, "odd", name, name, 1) for name in NAMES]
        set_aside(cursor, run_id, "deposits", rows)
    connection.close()
    return module_warehouse


def on_terminal(warehouse: Warehouse, *command: str, **environment: str) -> tuple[int, str]:
    """The exit code, and what a terminal gets of stdout and stderr."""
    mine, its = os.openpty()
    try:
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]], stdin=its, stdout=its, stderr=its,
            # Wide enough for all that is looked for.
            env={**os.environ, "COLUMNS": "1000", **environment}, cwd=warehouse.directory,
        )  # fmt: skip
        os.close(its)
        seen = b"".join(_pieces(mine))
        return process.wait(LAST_RESORT_SECONDS), seen.decode(
            environment.get("PYTHONIOENCODING", "utf-8")
        )
    finally:
        os.close(mine)


def _pieces(terminal: int) -> Iterator[bytes]:
    try:
        while piece := os.read(terminal, 1 << 16):
            yield piece
    except OSError:
        # Whoever wrote to it has gone.
        return


def is_harmless(text: str) -> bool:
    """A terminal ends its lines with both."""
    return all(printable(line) == line for line in text.replace("\r\n", "\n").split("\n"))


@pytest.mark.parametrize(
    ("command", "codes", "shown"),
    [
        (ASKED, {0}, [*map(printable, NAMES)]),
        # What CSV doubles and JSON escapes is not looked for.
        ((*ASKED, "--format", "csv"), {0}, [*map(printable, NAMES[:5])]),
        ((*ASKED, "--format", "json"), {0}, [*map(printable, NAMES[1:5])]),
        ((*ASKED, "--format", "jsonl"), {0}, [*map(printable, NAMES[1:5])]),
        (("loader", "quarantine", "list"), {0}, [*map(printable, NAMES)]),
        ((*ASKED, NAMES[0]), {2}, [printable(NAMES[0])]),
        (("dashboards", "ask", NAMES[1]), {2}, [printable(NAMES[1])]),
        (("loader", "replay", NAMES[2]), {2}, [printable(NAMES[2])]),
        (("loader", NAMES[5]), {2}, [printable(NAMES[5])]),
        # The name of a setting that there is not, in the log.
        (("loader", "alerts", "mutes"), {0}, ["WAREHOUSE_\\x1b[2J", "is no setting"]),
    ],
)
def test_nothing_acts_on_a_terminal(
    hostile: Warehouse, command: tuple[str, ...], codes: set[int], shown: list[str]
) -> None:
    hostile.activate()
    code, seen = on_terminal(hostile, *command, **{f"WAREHOUSE_{NAMES[0]}": "x"})
    assert code in codes
    assert is_harmless(seen)
    assert [text for text in shown if text not in seen] == []


@pytest.mark.parametrize("columns", [20, 41, 80])
def test_a_table_is_no_wider_than_the_terminal(hostile: Warehouse, columns: int) -> None:
    hostile.activate()
    for command in (ASKED, ("loader", "quarantine", "list"), ("loader", "status")):
        code, seen = on_terminal(hostile, *command, COLUMNS=str(columns))
        assert code == 0
        table = [line for line in seen.split("\r\n") if line.startswith(("+", "|"))]
        assert len(table) > 5
        assert max(map(wcswidth, table)) <= columns
        assert ("…" in seen) or columns > 20


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_letters_gets_the_others_escaped(
    hostile: Warehouse, encoding: str
) -> None:
    hostile.activate()
    code, seen = on_terminal(hostile, *ASKED, PYTHONIOENCODING=encoding)
    assert code == 0
    assert "\\U0001f984" in seen
    assert ("ñ" if encoding == "latin-1" else "\\xf1") in seen


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "PYTHONUNBUFFERED": "1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_a_file_gets_the_names_as_they_are(hostile: Warehouse, environment: dict[str, str]) -> None:
    hostile.activate()
    for form in ("csv", "json"):
        done = subprocess.run(
            [BIN / ASKED[0], *ASKED[1:], "--format", form], capture_output=True, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode()
        if form == "json":
            names = [row["user_id"] for row in json.loads(text)]
        else:
            names = [row[0] for row in csv.reader(io.StringIO(text, newline=""))][1:]
        assert sorted(names) == sorted(NAMES)
    done = subprocess.run(
        [BIN / ASKED[0], *ASKED[1:]], capture_output=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    # A table is for people, wherever it goes.
    encoding = environment.get("PYTHONIOENCODING", "utf-8").replace("ascii", "utf-8")
    assert is_harmless(done.stdout.decode(encoding))


# ------------------------------------------------------- what cannot be written

FORMS = [(*ASKED, "--format", form) for form in FORMATS if form != "parquet"]


NO_ROOM = "dashboards: stdout: No space left on device\n"


@pytest.mark.parametrize(
    ("redirected", "unbuffered", "code", "said", "commands"),
    [
        (">&-", "", 1, "dashboards: stdout: it is closed, the answer has nowhere to go\n", FORMS),
        (">/dev/full", "", 75, NO_ROOM, FORMS),
        (">/dev/full", "1", 75, NO_ROOM, FORMS),
        ("<&- >&- 2>&-", "1", 1, "", FORMS[:1]),
        (">/dev/full 2>/dev/full", "", 75, "", FORMS[:1]),
        ("2>/dev/full", "1", 0, "", FORMS[:1]),
        ("<&- 2>&-", "", 0, "", FORMS[:1]),
    ],
)
def test_an_answer_that_is_lost_is_no_success(
    hostile: Warehouse,
    redirected: str,
    unbuffered: str,
    code: int,
    said: str,
    commands: list[tuple[str, ...]],
) -> None:
    hostile.activate()
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", f'"$@" {redirected}', "sh", BIN / command[0], *command[1:]],
            capture_output=True, text=True, check=False, cwd=hostile.directory,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, said), command
        assert bool(done.stdout) == (code == 0)


@pytest.mark.parametrize(
    ("redirected", "code"), [("2>&-", 2), ("2>/dev/full", 2), (">&- 2>&-", 2), (">/dev/full", 2)]
)
def test_a_failure_keeps_its_code_where_it_cannot_be_told(
    hostile: Warehouse, redirected: str, code: int
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirected}', "sh", BIN / "loader", "no-such-command"],
        capture_output=True, text=True, check=False, cwd=hostile.directory,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


# Each that needs no network, in a way in which it has something to say.
PRINTING = [
    ("loader", "--help"),
    ("loader", "status", "--format", "json", "prune"),
    ("loader", "prune"),
    ("loader", "quarantine", "list"),
    ("loader", "quarantine", "export", "rows.csv"),
    ("loader", "quarantine", "redrive"),
    ("loader", "alerts", "mutes"),
    ("loader", "alerts", "mute", "all", "--for", "0"),
    ("loader", "snapshots", "users.csv"),
    ("dashboards", "--help"),
    ("dashboards", "ask"),
    ("dashboards", "ask", "last-login", "--help"),
    *FORMS,
]


def printed_into(stdout: TextIO, warehouse: Warehouse, command: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and what stderr got of a command that has something to say."""
    warehouse.activate()
    Path(warehouse.directory, "users.csv").write_text("user_id\n" + "a" * 32 + "\n")
    assert warehouse.call(*command).stdout
    Path(warehouse.directory, "rows.csv").unlink(missing_ok=True)
    before = sys.stdout, sys.stderr
    said = io.BytesIO()
    try:
        with contextlib.chdir(warehouse.directory), as_a_process({}):
            sys.stdout = stdout
            sys.stderr = io.TextIOWrapper(said)
            with pytest.raises(SystemExit) as end:
                COMMANDS[command[0]].main(command[1:])
    finally:
        sys.stdout, sys.stderr = before
    assert isinstance(end.value.code, int)
    return end.value.code, said.getvalue().decode()


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_no_command_succeeds_on_a_full_disk(hostile: Warehouse, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        code, said = printed_into(full, hostile, command)
    assert code == 75
    assert said.splitlines()[-1] == f"{command[0]}: stdout: No space left on device"


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_a_reader_that_has_gone_hears_and_says_nothing_more(
    hostile: Warehouse, command: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        code, said = printed_into(gone, hostile, command)
    # As of a program that SIGPIPE ends.
    assert code == 128 + signal.SIGPIPE
    assert f"{command[0]}: " not in said
