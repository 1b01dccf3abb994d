"""SIGTERM as an exception, and what to do where it gets lost."""

import signal
import threading
from types import FrameType


class Terminated(BaseException):
    """SIGTERM: leave like on Ctrl-C, so that open work is rolled back and recorded.

    No KeyboardInterrupt, which click turns into an Abort of its own.
    """


_told_to_end = threading.Event()


def listen() -> None:
    """From now on SIGTERM raises Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    _told_to_end.set()
    raise Terminated


def end_if_told() -> None:
    """Leave if SIGTERM came where its exception got lost, as in a library's own callback."""
    if _told_to_end.is_set():
        raise Terminated
