"""`loader transform`: run dbt over what is new, or over a stretch of time once more."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.warehouse.clock import HOUR
from loader.warehouse.errors import RefusedError, TerminalError, UsageError
from loader.warehouse.ledger.partitions import dropped_within
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import transaction
from loader.warehouse.settings import PROJECT_ROOT, get_settings

JOB = "transform"
# The nightly build is a job of its own in the ledger, so that `loader status` can tell both.
WITH_TESTS = "transform with tests"
# dbt puts the time in front of its lines.
_STAMP = re.compile(r"^\d\d:\d\d:\d\d +")
_ERROR = re.compile(r"^((Database|Compilation|Runtime|Parsing) Error|Failure in (unit_)?test)\b")


def transform(
    since: datetime | None = None, until: datetime | None = None, *, tests: bool = False
) -> LedgerRun:
    """Run the models over what is new; with `since`, rebuild the hours until `until` from raw.

    With `tests`, also dbt's tests of the data and of the models.

    Marts of a stretch of time give up their rows of it and read raw again; the others are rebuilt
    whole each time. Raises RefusedError where days of it have been dropped from raw, UsageError
    for times that cannot be, TerminalError when dbt fails.
    """
    stretch = _stretch(since, until)
    detail: dict[str, Any] = {
        name: moment.isoformat() for name, moment in zip(("since", "until"), stretch, strict=False)
    }
    job = WITH_TESTS if tests else JOB
    with (
        exclusive(JOB, WITH_TESTS) as connection,
        ledger_run(connection, job, detail) as run,
    ):
        if stretch:
            _assert_raw_is_there(connection, *stretch)
        _dbt(
            "build", *([] if tests else ["--exclude-resource-type", "test", "unit_test"]),
            *(["--vars", json.dumps(detail)] if stretch else []),
        )  # fmt: skip
    return run


def _stretch(
    since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime] | tuple[()]:
    """The whole hours that the times are in; none without `since`."""
    if since is None:
        if until is not None:
            raise UsageError("--until needs --since")
        return ()
    first = since.replace(minute=0, second=0, microsecond=0)
    last = until or datetime.now(UTC)
    if last <= since:
        raise UsageError("--since is not before --until, nor before now")
    whole = last.replace(minute=0, second=0, microsecond=0)
    return first, whole if whole == last else whole + HOUR


def _assert_raw_is_there(connection: Connection, since: datetime, until: datetime) -> None:
    """What has been dropped from raw would be forgotten by the marts."""
    with transaction(connection) as cursor:
        gone = dropped_within(cursor, since, until)
    if gone:
        raise RefusedError(
            f"raw.{gone[0]} has been dropped{f', and {len(gone) - 1} more' if gone[1:] else ''}: "
            "what the marts know of that time cannot be built again"
        )


def _dbt(*arguments: str) -> None:
    """Run dbt, its lines as they come to stderr. Raises TerminalError with what it complains of."""
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("dbt"), "--no-use-colors", *arguments,
            "--project-dir", PROJECT_ROOT / "dbt_project",
            "--profiles-dir", get_settings().profiles_dir,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout
    lines: list[str] = []
    try:
        for line in process.stdout:
            sys.stderr.write(line)
            lines.append(_STAMP.sub("", line).strip())
    except BaseException:
        process.terminate()
        raise
    finally:
        code = process.wait()
    if code:
        raise TerminalError(f"dbt: {_complaint(lines) or f'exit code {code}'}")


def _complaint(lines: Iterable[str]) -> str:
    """The first error of dbt's in one line."""
    left = iter(lines)
    for line in left:
        if _ERROR.match(line):
            return f"{line}: {next(left, '')}"
    return ""
