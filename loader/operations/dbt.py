"""dbt as a child process: how far it is goes to stderr, what it complains of is our error."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from loader.operations.dbt_progress import STAMP, DbtProgress
from loader.operations.dbt_project import DBT_PROJECT
from loader.operations.dbt_session import split_state
from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.postgres.failures import advice, waiting_helps
from loader.warehouse.settings import get_settings
from loader.warehouse.text import shown_path

log = logging.getLogger(__name__)
_ERROR = re.compile(r"^((Database|Compilation|Runtime|Parsing) Error|Failure in (unit_)?test)\b")


def run_dbt(*arguments: str) -> None:
    """Run dbt, and tell on stderr how far it is. Raises TerminalError with what it complains of.

    All of its lines are in its log, and on stderr where the log is told at length.
    Raises TransientError where waiting helps against all of it: readers who hold what it would
    replace, a server that is away or takes no writes.
    """
    process = subprocess.Popen(
        [
            # not from where somebody stands, which may hold a module of any name
            sys.executable, "-P", "-m", "loader.operations.dbt_process",
            "--no-use-colors", *arguments,
        ],
        env={
            **os.environ,
            # The profile names that of a dbt typed by hand.
            "WAREHOUSE_DB": get_settings().db,
            "DBT_PROJECT_DIR": str(DBT_PROJECT),
            "DBT_PROFILES_DIR": str(get_settings().profiles_dir),
        },
        # Nothing is written: that it ends tells of our end.
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    lines: list[str] = []
    progress = DbtProgress(sys.stderr.write)
    hear = sys.stderr.write if log.isEnabledFor(logging.DEBUG) else progress.hear
    try:
        with process.stdout as output:
            for line in output:
                hear(line)
                lines.append(STAMP.sub("", line).strip())
    except BaseException:
        process.terminate()
        raise
    finally:
        code = process.wait()
        process.stdin.close()
    if code:
        where = os.environ.get("DBT_LOG_PATH") or DBT_PROJECT / "logs"
        sys.stderr.write(f"dbt's own lines: {shown_path(Path(where, 'dbt.log'))}\n")
        raise _error(list(_complaints(lines)) or [f"exit code {code}"])


def _complaints(lines: Iterable[str]) -> Iterator[str]:
    """The errors of dbt's, each in one line."""
    left = iter(lines)
    for line in left:
        if _ERROR.match(line):
            yield f"{line}: {next(left, '')}"


def _error(complaints: list[str]) -> WarehouseError:
    """One error for all: the first of those that do not pass by waiting, if there is one."""
    said = [split_state(each) for each in complaints]
    lasting = [each for each in said if not waiting_helps(each[1])]
    text, state = (lasting or said)[0]
    message = f"dbt: {text}{advice(state)}"
    return TerminalError(message) if lasting else TransientError(message)
