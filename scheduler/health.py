"""`python -m scheduler.health`: exit code 0 while cron lives and no run is out of time, else 1."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from scheduler.files import DIRECTORY, HEARTBEAT, STARTED

# Cron touches the heartbeat each minute.
SILENCE_SECONDS = 150.0
# What a run may take to end after it was told to.
OVERRUN_SECONDS = 90.0


def problems() -> Iterator[str]:
    """What is wrong, a line each."""
    if not STARTED.exists():
        yield "what is due at the start is not done: the models are not built yet"
    now = time.time()
    silence = now - HEARTBEAT.stat().st_mtime if HEARTBEAT.exists() else now
    if STARTED.exists() and silence > SILENCE_SECONDS:
        yield "cron has not run for more than two minutes"
    for path in sorted(DIRECTORY.glob("*.lock")):
        if _is_out_of_time(path, now):
            yield f"{path.stem} is out of time and does not end"


def _is_out_of_time(path: Path, now: float) -> bool:
    # Taking the lock to test it would make a run that starts in that instant find it taken.
    match path.read_text().split():
        case [ends_at, pid] if now > int(ends_at) + OVERRUN_SECONDS:
            return _is_a_run(pid)
    return False


def _is_a_run(pid: str) -> bool:
    """Whether a process runs a job: one that was killed has left its file as it was."""
    try:
        return b"scheduler.job" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit("; ".join(problems()) or None)
