"""`loader transform`: run dbt over what is new, or over a stretch of time once more."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.operations import dbt_project, whats_new
from loader.operations.dbt import run_dbt
from loader.operations.whats_new import BuiltFrom
from loader.warehouse.clock import HOUR
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger import builds
from loader.warehouse.ledger.partitions import dropped_within
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.postgres.connection import connect, transaction

JOB = "transform"
# The nightly build is a job of its own in the ledger, so that `loader status` can tell both.
WITH_TESTS = "transform with tests"


def transform(
    since: datetime | None = None, until: datetime | None = None, *, tests: bool = False
) -> LedgerRun:
    """Run the models over what is new; with `since`, rebuild the hours until `until` from raw.

    With `tests`, also dbt's tests of the data and of the models. Without either, only what has
    anything new to read is built: where nothing has, dbt is not started, and the run is closed as
    unchanged. Marts of a stretch of time give up their rows of it and read raw again; what is
    made of snapshots is rebuilt whole. Raises RefusedError where days of the stretch have been
    dropped from raw, UsageError for times that cannot be, TerminalError when dbt fails.
    """
    stretch = _stretch(since, until)
    detail: dict[str, Any] = {
        name: moment.isoformat() for name, moment in zip(("since", "until"), stretch, strict=False)
    }
    variables = ("--vars", json.dumps(detail)) if stretch else ()
    job = WITH_TESTS if tests else JOB
    with (
        exclusive(JOB, WITH_TESTS) as connection,
        ledger_run(connection, job, detail) as run,
    ):
        if stretch:
            _assert_raw_is_there(connection, *stretch)
        now, arguments = _compared(connection, run)
        if tests:
            run_dbt("build", *variables)
        elif stretch:
            run_dbt(*whats_new.EVERYTHING, *variables)
        elif arguments:
            run_dbt(*arguments)
        else:
            run.status = "unchanged"
            run.detail["reason"] = "nothing is new"
        with transaction(connection) as cursor:
            built = replace(now, standing=builds.standing(cursor))
        run.detail[builds.BUILT] = built.as_json()
    return run


def renew() -> LedgerRun | None:
    """After an upgrade: build what stands of another version; None where nothing does.

    Questions come with the version, and may ask what only its models have.
    """
    with closing(connect("transformer")) as connection, transaction(connection) as cursor:
        stands = builds.have_models(cursor)
        project = builds.project_built(cursor, (JOB, WITH_TESTS))
    return transform() if stands and project != dbt_project.project() else None


def _compared(connection: Connection, run: LedgerRun) -> tuple[BuiltFrom, tuple[str, ...]]:
    """What there is to build from, and what dbt is to be told about it; committed at once."""
    with transaction(connection) as cursor:
        built = builds.last_built(cursor, (JOB, WITH_TESTS), run.run_id)
        last = BuiltFrom.of_json(built) if built else None
        now = whats_new.found(cursor, last)
        return now, whats_new.to_build(cursor, last, now)


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
