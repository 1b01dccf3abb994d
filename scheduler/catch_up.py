"""What is due when the container starts: every job that is late, once, in the crontab's order.

So a new warehouse has data at once, and one that is switched off at night gets its nightly jobs.
"""

import subprocess
import sys
import time

from loader.operations.status import note_schedule, statuses
from loader.warehouse.errors import WarehouseError
from loader.warehouse.text import one_line
from scheduler.entries import Entry, entries
from scheduler.files import STARTED
from scheduler.job import PAUSE_SECONDS

# These run at every start: a new image may bring new models, which the dashboards need.
MODELS = "transform"


def late_jobs() -> set[str] | None:
    """The names of jobs that are late, now that a schedule runs; None where nobody knows."""
    try:
        note_schedule()
        return {job.job for job in statuses() if job.is_late}
    except WarehouseError as error:
        sys.stdout.write(f"catch-up | {one_line(str(error))}: taking every job for late\n")
        sys.stdout.flush()
        return None


def main() -> None:
    """Run them; each says itself how it went."""
    late = late_jobs()
    for entry in entries():
        name = entry.job.name if entry.job else ""
        if name == MODELS:
            # Cron may be at it already, or Postgres away.
            while run(entry):
                time.sleep(min(PAUSE_SECONDS, 10))
            if late is None:
                # By now Postgres is there.
                late_jobs()
            STARTED.touch()
        elif late is None or name in late:
            run(entry)


def run(entry: Entry) -> int:
    """Run a job once; its exit code."""
    return subprocess.run(
        [
            sys.executable, "-m", "scheduler.job", "--once", entry.deadline,
            *entry.command.split(),
        ],
        check=False,
        # the container's log goes along, as it does with cron
        close_fds=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    main()
