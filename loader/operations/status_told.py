"""What `loader status` tells: to people on one screen, to machines as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, get_args

from loader.operations.checks.every import Look
from loader.operations.checks.finding import Finding, Weight
from loader.operations.status import JobStatus
from loader.warehouse.table import text_table
from loader.warehouse.text import age, printable

# Of findings that ask for the same; whoever wants all of them asks for JSON.
_MOST_TOLD = 5
_WEIGHTS: tuple[Weight, ...] = get_args(Weight)


def status_lines(found: Look) -> Iterator[str]:
    """A table of the jobs, what is known, and whole what is wrong and what to do about it."""
    if found.jobs:
        yield _table(found.jobs)
    for facts in _on_lines([fact.told for fact in found.facts if fact.told]):
        yield printable(facts)
    # What weighs most comes first.
    ordered = sorted(found.findings, key=lambda one: _WEIGHTS.index(one[1].weight))
    for (check, to_do), group in groupby(ordered, key=lambda one: (one[0], one[1].to_do)):
        for line in _told_together([finding for _, finding in group], to_do):
            yield printable(f"{check}: {line}")
    if found.error is None:
        yield from _verdict(found)


def as_json(found: Look) -> dict[str, Any]:
    """All of it."""
    return {
        "jobs": [job.as_json() for job in found.jobs],
        "problems": [
            {
                **asdict(finding),
                "check": check,
                "since": finding.since and finding.since.isoformat(),
            }
            for check, finding in found.findings
        ],
        "facts": {fact.name: fact.value for fact in found.facts},
        "error": found.error and str(found.error),
    }


def what_fails(found: Look) -> str | None:
    """What somebody should look at, in a few words; None: nothing."""
    late = [job.job for job in found.jobs if job.is_late]
    other = dict.fromkeys(
        check for check, finding in found.findings if finding.weight == "fail" and check != "late"
    )
    told = [
        f"{what}: {', '.join(names)}" for what, names in (("late", late), ("wrong", other)) if names
    ]
    return "; ".join(told) or None


def _table(jobs: Sequence[JobStatus]) -> str:
    columns = ("job", "state", "last success", "newest data", "rows", "set aside")
    rows = [
        (
            job.job, job.state, _ago(job.load_lag_seconds), _ago(job.event_lag_seconds),
            str(job.rows), str(job.quarantined_open),
        )
        for job in jobs
    ]  # fmt: skip
    return text_table(columns, rows)


def _on_lines(facts: Sequence[str], longest: int = 150) -> list[str]:
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(fact) < longest:
            lines[-1] += f"; {fact}"
        else:
            lines.append(fact)
    return lines


def _told_together(findings: Sequence[Finding], to_do: str) -> Iterator[str]:
    """Findings that ask for the same, which is told once."""
    told = [
        one.what + (f", since {one.since:%Y-%m-%d %H:%M:%S} UTC" if one.since else "")
        for one in findings
    ]
    if len(told) == 1:
        yield f"{told[0]}: {to_do}"
        return
    yield from told[:_MOST_TOLD]
    if len(told) > _MOST_TOLD:
        yield f"{len(told) - _MOST_TOLD:,} more: `loader status --format json` has them all"
    yield to_do


def _verdict(found: Look) -> Iterator[str]:
    is_wrong = any(finding.weight != "note" for _, finding in found.findings)
    if not any(job.is_late for job in found.jobs):
        fresh = sum(job.state == "fresh" for job in found.jobs)
        what = "late" if is_wrong else "wrong"
        yield f"nothing is {what}: {fresh} of {len(found.jobs)} jobs fresh"


def _ago(seconds: int | None) -> str:
    return "" if seconds is None else age(seconds)
