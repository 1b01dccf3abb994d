"""What `loader status` tells people, on one screen: what is right, what is not, what to do."""

from collections.abc import Iterator, Sequence

from loader.operations.schedule import ScheduledJob
from loader.operations.status import JobStatus
from loader.warehouse.table import text_table
from loader.warehouse.text import age, printable


def status_lines(jobs: Sequence[JobStatus], schedule: Sequence[ScheduledJob]) -> Iterator[str]:
    """A table of the jobs, whole what went wrong last, and what to do about it."""
    columns = ("job", "state", "last success", "newest data", "rows", "set aside")
    rows = [
        (
            job.job, job.state, _ago(job.load_lag_seconds), _ago(job.event_lag_seconds),
            str(job.rows), str(job.quarantined_open),
        )
        for job in jobs
    ]  # fmt: skip
    yield text_table(columns, rows)
    for job in jobs:
        if job.last_error:
            yield printable(f"{job.job}: {job.last_error}")
    yield from _what_to_do(jobs, {job.name: job for job in schedule})


def _what_to_do(jobs: Sequence[JobStatus], schedule: dict[str, ScheduledJob]) -> Iterator[str]:
    late = [job for job in jobs if job.is_late]
    for job in late:
        again = f"run `loader {schedule[job.job].typed}`, which says why"
        if job.state == "overrun":
            since = f"{job.running_since:%Y-%m-%d %H:%M:%S} UTC"
            yield f"{job.job}: has run since {since}, longer than it may: see its log, or end it"
        elif job.state == "never":
            yield f"{job.job}: has never succeeded: {again}"
        else:
            yield f"{job.job}: has not brought anything in time: {again}"
    if any(job.quarantined_open for job in jobs):
        yield "rows are set aside: `loader quarantine list` says why"
    if any(job.given_up for job in jobs):
        yield (
            "perhaps nobody was told: look into the receiver of the messages that were given up; "
            "`dashboards ask alert-delivery` counts them, `dashboards ask spread-alerts` has the "
            "alerts"
        )
    if any(job.state == "by hand" for job in jobs):
        yield (
            "no schedule runs here, so no job is late: run jobs by hand (`loader transform` brings "
            "the answers up to date), or all of them with `make up`"
        )
    if not late:
        on = [job for job in jobs if job.state == "fresh"]
        is_calm = not any(job.last_error or job.quarantined_open for job in jobs)
        end = ", none to look at" if is_calm else ""
        yield f"nothing is late: {len(on)} of {len(jobs)} jobs fresh{end}"


def _ago(seconds: int | None) -> str:
    return "" if seconds is None else age(seconds)
