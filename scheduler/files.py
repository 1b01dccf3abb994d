"""What the parts of the scheduler's container tell each other, as files in a memory file system."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
CRONTAB = HERE / "crontab"
DIRECTORY = Path(os.environ.get("SCHEDULER_DIR", "/run/jobs"))
# The container's environment as it was at the start: cron passes hardly any of it to its jobs.
ENVIRONMENT = DIRECTORY / "environment"
# Touched by cron every minute.
HEARTBEAT = DIRECTORY / "heartbeat"
# Exists once the jobs that were due at the start have run.
STARTED = DIRECTORY / "started"


def slug(job: str) -> str:
    """The name of a job in paths: `transform --tests` is transform-tests."""
    return re.sub(r"[^A-Za-z0-9]+", "-", job).strip("-")[:100]


def lock_of(job: str) -> Path:
    """The file that a run of the job holds a lock on; it says until when, and which process."""
    return DIRECTORY / f"{slug(job)}.lock"


@contextmanager
def held(path: Path) -> Iterator[IO[str] | None]:
    """The lock of a file for as long as the block lasts; None where somebody else has it."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
