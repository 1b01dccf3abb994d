"""Whether jobs come in time, and what they failed of."""

from collections.abc import Iterator
from datetime import datetime

from loader.operations.checks.finding import Fact, Finding, Scene
from loader.operations.schedule import SCHEDULE, SCHEDULER
from loader.operations.status import JobStatus

_TYPED = {job.name: job.typed for job in SCHEDULE}


def schedule(scene: Scene) -> Iterator[Finding | Fact]:
    """Whether the schedule itself lives: it does as long as it begins anything."""
    if not scene.is_scheduled:
        if any(job.state == "by hand" for job in scene.jobs):
            yield Finding(
                "no schedule runs here, so no job is late",
                "run jobs by hand (`loader transform` brings the answers up to date), or all of "
                "them with `make up`",
                weight="note",
            )
        return
    run = [job for job in SCHEDULE if job.deadline]
    [(newest,)] = scene.rows(
        "select max(newest.started_at) from unnest(%s) as known (job) cross join lateral ("
        "select max(started_at) as started_at from ops.runs where runs.job = known.job) as newest",
        ([SCHEDULER, *(job.name for job in run)],),
    )
    if newest and scene.now - newest > min(job.stale_after for job in run):
        yield Finding(
            "no job has been started",
            "look whether the scheduler lives: `make up` starts it, its log says why it ended",
            newest,
            weight="fail",
        )


def late(scene: Scene) -> Iterator[Finding | Fact]:
    """Jobs that have not succeeded in time, and runs that do not end."""
    for job in scene.jobs:
        if not job.is_late:
            continue
        again = f"run `loader {_TYPED.get(job.job, job.job)}`, which says why"
        if job.state == "overrun":
            what, again = "runs for longer than it may", "see its log, or end it"
        elif job.state == "never":
            what = "has never succeeded"
        else:
            what = "has not brought anything in time"
        yield Finding(f"{job.job}: {what}", again, _quiet_since(job), weight="fail", job=job.job)


def failed(scene: Scene) -> Iterator[Finding | Fact]:
    """Jobs that have failed since they last succeeded."""
    for job in scene.jobs:
        if job.last_error and job.state != "off":
            yield Finding(
                f"{job.job}: {job.last_error}",
                f"mend that; `loader {_TYPED.get(job.job, job.job)}` tries again at once",
                job.failing_since,
                job=job.job,
            )


def _quiet_since(job: JobStatus) -> datetime | None:
    if job.state == "overrun":
        return job.running_since
    known = [moment for moment in (job.last_success, job.newest_event) if moment]
    return min(known, default=None)
