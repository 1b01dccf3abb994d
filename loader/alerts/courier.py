"""A process that sends messages for us (`post.py`), seen from here."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_PROGRAM = Path(__file__).with_name("post.py")


class Outcome(NamedTuple):
    """How an attempt ended: `error` says why it failed, without the address.

    `is_doubtful`: it failed, and may have arrived all the same.
    """

    error: str | None
    is_doubtful: bool


class Courier:
    """Carries one message at a time.

    It starts with the object (half a second until it can send) and ends by itself when this
    process does.
    """

    def __init__(self) -> None:
        # -P: the modules beside the program are not for it. A group of its own: Ctrl-C is ours.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            process_group=0,
        )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._orders = self._process.stdin
        self._answers = self._process.stdout
        self._heard = b""
        self._seconds = 0.0

    def fileno(self) -> int:
        """What becomes readable when there is something to `hear`."""
        return self._answers.fileno()

    def send(self, order: Mapping[str, object], seconds: float) -> None:
        """Give it a message, which may take so many seconds; it must have none under way."""
        self._heard = b""
        self._seconds = seconds
        # Where it has died, that is heard like any other end.
        with contextlib.suppress(BrokenPipeError):
            self._orders.write(json.dumps({**order, "seconds": seconds}).encode() + b"\n")
            self._orders.flush()

    def hear(self) -> Outcome | None:
        """The outcome, if there is one yet; called when it is readable."""
        piece = os.read(self.fileno(), 4096)
        self._heard += piece
        *lines, _ = self._heard.split(b"\n")
        for line in lines:
            if line != b"left":
                return Outcome(**json.loads(line))
        return None if piece else self._died(is_doubtful=b"left" in lines)

    def wait(self) -> Outcome:
        """The outcome, once it is there."""
        while True:
            select.select([self], [], [])
            if outcome := self.hear():
                return outcome

    @property
    def is_alive(self) -> bool:
        """Whether it can carry another one."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        # What could not be written to it is given up.
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        self._answers.close()

    def _died(self, *, is_doubtful: bool) -> Outcome:
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return Outcome(f"no answer within {self._seconds:g} s", is_doubtful)
        return Outcome(f"the process that sends ended with {code}", is_doubtful)
