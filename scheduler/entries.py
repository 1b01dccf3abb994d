"""The lines of the crontab, read back."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from loader.operations.schedule import SCHEDULE, ScheduledJob
from scheduler.files import CRONTAB

_LINE = re.compile(
    r"(?P<when>(?:\S+\s+){4}\S+)\s+(?P<user>\S+)\s+job\s+(?P<deadline>\S+)\s+(?P<command>.+)"
)


class Entry(NamedTuple):
    """One job's line: when, as whom, for how long at most, and what."""

    when: str
    user: str
    deadline: str
    command: str

    @property
    def job(self) -> ScheduledJob | None:
        """The job of the schedule whose command it is."""
        return job_of(self.command)


def job_of(command: str) -> ScheduledJob | None:
    """The job of the schedule that a command runs."""
    return next((job for job in SCHEDULE if f"loader {job.typed}" == command), None)


def entries(path: Path = CRONTAB) -> Iterator[Entry]:
    """The jobs of a crontab, in its order; settings and other lines are left out."""
    for line in path.read_text().splitlines():
        if found := _LINE.fullmatch(line.strip()):
            yield Entry(**found.groupdict())
