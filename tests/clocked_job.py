"""`scheduler.job` on a clock that a test moves: the seconds in the file `clock` of its directory.

The time that a run may take is over when that file says so, and not before; how long a run that is
asked to end may take is on the machine's own clock.
"""

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scheduler import job

CLOCK = Path(os.environ["SCHEDULER_DIR"]) / "clock"


def seconds() -> float:
    """What the clock says."""
    return float(CLOCK.read_text() or 0) if CLOCK.exists() else 0.0


class ClockedTimer(threading.Timer):
    """Calls when the clock has come to its moment; with arguments for the call, a plain timer."""

    def run(self) -> None:
        """Wait for it."""
        if self.args:
            super().run()
            return
        due = seconds() + self.interval
        while seconds() < due:
            if self.finished.wait(0.05):
                return
        self.function()


def main() -> int:
    """As `python -m scheduler.job`."""
    clocked: Any = job
    clocked.time = SimpleNamespace(monotonic=seconds, time=time.time)
    clocked.threading = SimpleNamespace(
        Timer=ClockedTimer, Event=threading.Event, RLock=threading.RLock
    )
    return job.main()


if __name__ == "__main__":
    sys.exit(main())
