"""A command as its console script runs it, cut off at many moments from our first line on.

    python -m tests.interrupted REPORT SIGNAL each STEP MODULE ARGUMENTS...
    python -m tests.interrupted REPORT SIGNAL once EVENT MODULE ARGUMENTS...

`each`: at each STEP-th audit event a fork of the process gets the signal, and goes on as it will;
REPORT says how each ended. `once`: the process itself gets it, at one event after the driver of
Postgres was first asked for: a connection cannot be shared. REPORT says how many there were.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

# The first import of our first line; after the driver's a connection may follow.
FIRST_LINE, DRIVER = "loader.warehouse", "psycopg2"
# So many events of the beginning are all looked at.
CLOSELY = 40


class EachMoment:
    """Forks the process at many audit events; the forks get the signal."""

    def __init__(self, report: Path, number: int, step: int) -> None:
        self._report = report
        self._number = number
        self._step = step
        self._events = 0
        self._is_on = self._is_fork = False
        self._ended: list[tuple[int, str, int]] = []

    def hook(self, event: str, values: tuple[Any, ...]) -> None:
        """What Python calls."""
        self._is_on |= event == "import" and values[0] == FIRST_LINE
        if not self._is_on or self._is_fork or sys.is_finalizing() or event.startswith("os.fork"):
            return
        self._events += 1
        if self._events < CLOSELY or self._events % self._step == 0:
            self._fork(event)

    def _fork(self, event: str) -> None:
        child = os.fork()
        if child == 0:
            self._is_fork = True
            os.kill(os.getpid(), self._number)
            return
        _, status = os.waitpid(child, 0)
        self._ended.append((self._events, event, os.waitstatus_to_exitcode(status)))

    def close(self) -> None:
        """Write the report."""
        if not self._is_fork:
            self._report.write_text(json.dumps(self._ended))


class OneMoment:
    """Sends the process its signal at one audit event."""

    def __init__(self, report: Path, number: int, moment: int) -> None:
        self._report = report
        self._number = number
        self._moment = moment
        self._events = 0

    def hook(self, event: str, values: tuple[Any, ...]) -> None:
        """What Python calls."""
        self._events += self._events > 0 or (event == "import" and values[0] == DRIVER)
        if self._events == self._moment:
            self._events += 1
            os.kill(os.getpid(), self._number)

    def close(self) -> None:
        """Write the report."""
        self._report.write_text(str(self._events))


def main() -> None:
    """Run the command as its console script does."""
    report, number, how, count, module, *arguments = sys.argv[1:]
    kind = EachMoment if how == "each" else OneMoment
    moments = kind(Path(report), signal.Signals[number], int(count))
    sys.argv = [module.partition(".")[0], *arguments]
    sys.addaudithook(moments.hook)
    try:
        importlib.import_module(module).main()
    finally:
        moments.close()


if __name__ == "__main__":
    main()
