"""dbt as a child process: what it says goes on to stderr, what it complains of is our error."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

from loader.operations.dbt_project import DBT_PROJECT
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.settings import get_settings

# dbt puts the time in front of its lines.
_STAMP = re.compile(r"^\d\d:\d\d:\d\d +")
_ERROR = re.compile(r"^((Database|Compilation|Runtime|Parsing) Error|Failure in (unit_)?test)\b")
# What the project says of a table that readers hold for too long (macro swap_sql).
_HELD = "is held by others"


def run_dbt(*arguments: str) -> None:
    """Run dbt, its lines as they come to stderr. Raises TerminalError with what it complains of.

    Raises TransientError where it complains of readers alone, who hold what it would replace.
    """
    process = subprocess.Popen(
        [
            # not from where somebody stands, which may hold a module of any name
            sys.executable, "-P", "-m", "loader.operations.dbt_process",
            "--no-use-colors", *arguments,
        ],
        env={
            **os.environ,
            "DBT_PROJECT_DIR": str(DBT_PROJECT),
            "DBT_PROFILES_DIR": str(get_settings().profiles_dir),
        },
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout
    lines: list[str] = []
    try:
        with process.stdout as output:
            for line in output:
                sys.stderr.write(line)
                lines.append(_STAMP.sub("", line).strip())
    except BaseException:
        process.terminate()
        raise
    finally:
        code = process.wait()
    if code:
        complaints = list(_complaints(lines)) or [f"exit code {code}"]
        is_held = all(_HELD in complaint for complaint in complaints)
        raise (TransientError if is_held else TerminalError)(f"dbt: {complaints[0]}")


def _complaints(lines: Iterable[str]) -> Iterator[str]:
    """The errors of dbt's, each in one line."""
    left = iter(lines)
    for line in left:
        if _ERROR.match(line):
            yield f"{line}: {next(left, '')}"
