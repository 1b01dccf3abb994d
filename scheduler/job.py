"""One scheduled run of a command: `python -m scheduler.job [--once] DEADLINE COMMAND...`.

Only one run of a job at a time, ended when it is out of time, its lines in the container's log,
a ping at its start and end. A command that ends with 75 is tried again while there is time.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import requests

from loader.warehouse.allowance import Allowance
from loader.warehouse.errors import WarehouseError
from loader.warehouse.text import printable
from scheduler.entries import job_of
from scheduler.files import ENVIRONMENT, held, lock_of, slug

TRY_AGAIN, NOT_FOUND, TERMINATED = 75, 127, 143
PAUSE_SECONDS = float(os.environ.get("SCHEDULER_PAUSE_SECONDS", "60"))
# How long a run has to end after it was asked to, before it is killed.
GRACE_SECONDS = float(os.environ.get("SCHEDULER_GRACE_SECONDS", "30"))
PING_TIMEOUT_SECONDS = 5.0
# The entrypoint leaves the container's stdout here, and cron hands it on.
LOG = 3
_UNITS = {"s": 1, "m": 60, "h": 3600}


class TimedCommand(NamedTuple):
    """What is to run, and for how many seconds at most."""

    deadline: float
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the log calls it: the command, without the program that all have in common."""
        return " ".join(self.command[1:] if self.command[0] == "loader" else self.command)


def seconds(text: str) -> float:
    """A time such as 30s, 9m or 5h; raises ValueError."""
    amount, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not amount.isdigit() or not int(amount):
        raise ValueError(f"{text!r} is no time such as 30s, 9m or 5h")
    return float(int(amount) * _UNITS[unit])


def container_environment(path: Path = ENVIRONMENT) -> dict[str, str]:
    """What the container was started with; values may hold any character but a NUL."""
    pairs = path.read_bytes().split(b"\0")
    return dict(os.fsdecode(pair).split("=", 1) for pair in pairs if b"=" in pair)


class Ping:
    """Tells somebody outside; a run never suffers from it, and the address is in no log."""

    def __init__(self, base: str, job: str, log: "Log") -> None:
        self._address = f"{base.rstrip('/')}/{slug(job)}"
        self._is_on = bool(base)
        self._log = log

    def send(self, event: str = "") -> None:
        """`start`, `fail`, or nothing for a success."""
        if not self._is_on:
            return
        address = f"{self._address}/{event}" if event else self._address
        try:
            Allowance(PING_TIMEOUT_SECONDS).spend_on(partial(_post, address))
        except (requests.RequestException, ValueError, TimeoutError) as error:
            self._log.say(f"the ping did not go through: {type(error).__name__}")


def _post(address: str) -> None:
    # What is answered beyond a status is not read: it may have no end.
    with requests.post(address, timeout=PING_TIMEOUT_SECONDS, stream=True) as reply:
        reply.raise_for_status()


class Log:
    """Lines for the container's log, each with the name of its job."""

    def __init__(self, job: str) -> None:
        self._job = job
        try:
            os.fstat(LOG)
            self._out = LOG
        except OSError:
            self._out = sys.stdout.fileno()

    def say(self, line: str) -> None:
        """One line, in one write: those of several jobs do not mix."""
        os.write(self._out, f"{printable(f'{self._job} | {line}')}\n".encode())


class Runner:
    """Runs the command, and sees to it that it ends."""

    def __init__(self, job: TimedCommand, environment: dict[str, str], log: Log) -> None:
        self._job = job
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._ends_at = time.monotonic() + job.deadline
        self.is_out_of_time = False
        self._told_to_end = threading.Event()
        # Held while a signal is sent, and while the command becomes one that nothing is sent to.
        # A handler of signals may come in between: its thread has the lock already.
        self._sending = threading.RLock()

    def run(self, *, once: bool) -> int:
        """The exit code of its last try."""
        while not self._told_to_end.is_set():
            code = self._try()
            left = self._ends_at - time.monotonic()
            if self.is_out_of_time:
                return code or 1
            if code != TRY_AGAIN or once or left < PAUSE_SECONDS:
                return code
            self._log.say(f"trying again in {PAUSE_SECONDS:.0f} s")
            self._told_to_end.wait(PAUSE_SECONDS)
        return TERMINATED

    def _try(self) -> int:
        try:
            self._process = subprocess.Popen(
                self._job.command, env=self._environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            self._log.say(f"cannot be started: {error.strerror}")
            return NOT_FOUND
        if self._told_to_end.is_set():
            # the signal came before the command was started
            self.end()
        clock = threading.Timer(max(0.0, self._ends_at - time.monotonic()), self._end_in_time)
        clock.daemon = True
        clock.start()
        assert self._process.stdout
        with self._process.stdout as output:
            for line in output:
                self._log.say(line.rstrip("\n"))
        code = self._end_of(self._process)
        clock.cancel()
        return code

    def _end_of(self, process: subprocess.Popen[str]) -> int:
        """Wait for the command; its exit code.

        As long as it is not reaped, its number, and so its group's, can be nobody else's. Before
        that it is forgotten, so that nothing is sent to the number afterwards.
        """
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._sending:
            self._process = None
        return process.wait()

    def _end_in_time(self) -> None:
        self.is_out_of_time = True
        self.end()

    def end(self) -> None:
        """Ask the command and its children to end; make them, a while later."""
        process = self._process
        if process is None:
            return
        self._send(process, signal.SIGTERM)
        last = threading.Timer(GRACE_SECONDS, self._send, (process, signal.SIGKILL))
        last.daemon = True
        last.start()

    def _send(self, process: subprocess.Popen[str], number: int) -> None:
        """A signal to the command and its children, which may outlive it and hold its output."""
        with self._sending:
            if process is self._process:
                # It may be that all of them have ended, and only the command is not reaped yet.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def hear(self, _signal: int, _frame: FrameType | None) -> None:
        """SIGTERM: pass it on, and leave when the command has."""
        self._told_to_end.set()
        self.end()


def is_off(job: TimedCommand, environment: dict[str, str]) -> bool:
    """Whether it is a job that lacks what it needs; a failure each hour would help nobody."""
    # The loader's settings are read from the environment of this process.
    os.environ.update(environment)
    known = job_of(" ".join(job.command))
    try:
        return known is not None and not known.is_on
    except WarehouseError:
        # Settings that cannot be read: the command itself says so.
        return False


def run(job: TimedCommand, *, once: bool = False) -> int:
    """Run a job, unless its last run is still at work; returns an exit code."""
    log = Log(job.name)
    environment = {**os.environ, **container_environment()}
    if is_off(job, environment):
        log.say("off: what it needs is not set")
        return 0
    with held(lock_of(job.name)) as lock:
        if lock is None:
            log.say("its last run is still at work: left out")
            return TRY_AGAIN
        lock.truncate(0)
        lock.write(f"{time.time() + job.deadline:.0f} {os.getpid()}\n")
        lock.flush()
        ping = Ping(environment.get("WAREHOUSE_PING_URL", ""), job.name, log)
        runner = Runner(job, environment, log)
        signal.signal(signal.SIGTERM, runner.hear)
        started = time.monotonic()
        ping.send("start")
        code = runner.run(once=once)
        ping.send("fail" if code else "")
        lock.truncate(0)
    took = f"{time.monotonic() - started:.1f} s"
    if runner.is_out_of_time:
        log.say(f"ended: out of time after {took}")
    elif code:
        log.say(f"failed with exit code {code} after {took}")
    else:
        log.say(f"done in {took}")
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="job", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not try again")
    parser.add_argument("deadline", type=seconds, help="longest it may take, such as 9m")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run")
    given = parser.parse_args(arguments)
    if not given.command:
        parser.error("which command?")
    return run(TimedCommand(given.deadline, tuple(given.command)), once=given.once)


if __name__ == "__main__":
    sys.exit(main())
