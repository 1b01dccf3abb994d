"""Every check there is, and one look at all of them."""

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2

from loader.operations.checks import database, here, messages, rows, schedule
from loader.operations.checks.finding import Check, Fact, Finding, Scene
from loader.operations.schedule import SCHEDULE, ScheduledJob
from loader.operations.status import JobStatus, has_schedule, statuses_on
from loader.warehouse.clock import SYSTEM_CLOCK, Clock
from loader.warehouse.errors import WarehouseError
from loader.warehouse.postgres.connection import connect, transaction
from loader.warehouse.postgres.failures import advice, known_error, state_of
from loader.warehouse.postgres.sample import shown_while_alone
from loader.warehouse.settings import get_settings

# What is looked at first, and told of also when the warehouse cannot be reached: it may be why.
HERE = (
    Check("disk", here.disk),
    Check("spool", here.spool),
    Check("stream", here.stream_word),
)
IN_THE_WAREHOUSE = (
    Check("writable", database.writable),
    Check("schema", database.schema),
    Check("clocks", database.clocks),
    Check("schedule", schedule.schedule),
    Check("late", schedule.late),
    Check("failed", schedule.failed),
    Check("snapshots", rows.snapshots),
    Check("quarantine", rows.quarantine),
    Check("unreadable", rows.unreadable),
    Check("blind", messages.blind),
    Check("waiting", messages.waiting),
    Check("given_up", messages.given_up),
    Check("muted", messages.muted),
)
CHECKS = (*HERE, *IN_THE_WAREHOUSE)


@dataclass
class Look:
    """What one look has found."""

    jobs: list[JobStatus] = field(default_factory=list)
    # Each with the name of its check.
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    # Why the warehouse could not be looked at.
    error: WarehouseError | None = None

    def ask(self, check: Check, scene: Scene) -> None:
        """Look with one check; one that cannot look is a finding, and hides no other."""
        try:
            with _transaction_of(scene) as cursor:
                for seen in check.look(replace(scene, cursor=cursor)):
                    if isinstance(seen, Fact):
                        self.facts.append(seen)
                    else:
                        self.findings.append((check.name, seen))
        except (psycopg2.Error, OSError) as error:
            if scene.connection and scene.connection.closed:
                raise
            self.findings.append((check.name, _cannot_look(error)))


def look(jobs: Sequence[ScheduledJob] = SCHEDULE, clock: Clock = SYSTEM_CLOCK) -> Look:
    """Look at everything; of jobs and what belongs to them, at these alone."""
    found = Look()
    now = clock.now()
    for check in HERE:
        found.ask(check, Scene(get_settings(), clock, now))
    try:
        shown_while_alone()
        with closing(connect("loader")) as connection:
            found.jobs = statuses_on(connection, jobs, now)
            is_scheduled = has_schedule(connection)
            connection.commit()
            scene = Scene(
                get_settings(), clock, now, connection, jobs=found.jobs, is_scheduled=is_scheduled
            )
            for check in IN_THE_WAREHOUSE:
                found.ask(check, scene)
    except (WarehouseError, psycopg2.Error) as error:
        found.error = known_error(error)
    names = {job.name for job in jobs}
    found.findings = [
        (check, one) for check, one in found.findings if one.job is None or one.job in names
    ]
    return found


def _transaction_of(scene: Scene) -> contextlib.AbstractContextManager[Any]:
    return transaction(scene.connection) if scene.connection else contextlib.nullcontext()


def _cannot_look(error: psycopg2.Error | OSError) -> Finding:
    if isinstance(error, OSError):
        return Finding(
            f"cannot be looked at: {error.strerror}: {error.filename}",
            "run `loader status` as the user who runs the loader",
        )
    what = str(error).strip().partition("\n")[0]
    return Finding(
        f"cannot be looked at: {what}",
        advice(state_of(error)).removeprefix(": ") or "see the log of the server",
        weight="fail",
    )
