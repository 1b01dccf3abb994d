"""`loader transform`: run dbt over what is new, or over a stretch of time once more."""

import json
from datetime import UTC, datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.operations.dbt import run_dbt
from loader.warehouse.clock import HOUR
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger.partitions import dropped_within
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import transaction

JOB = "transform"
# The nightly build is a job of its own in the ledger, so that `loader status` can tell both.
WITH_TESTS = "transform with tests"


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
        run_dbt(
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
