"""Ctrl-C and SIGTERM: the end at once, or an exception; and what to do where that gets lost."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

# What is said of a command that they end.
ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(BaseException):
    """SIGTERM: leave like on Ctrl-C, so that open work is rolled back and recorded.

    No KeyboardInterrupt, which click turns into an Abort of its own.
    """


# What came, and where Python writes down what comes.
_told_to_end: set[int] = set()
_notes: list[int] = []


def end_at_once() -> None:
    """From now on either ends the process: while it begins there is nothing to undo.

    What is ignored stays so: a shell has it that way for Ctrl-C of a process in the background.
    """
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """While it lasts they raise KeyboardInterrupt and Terminated in the main thread."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    notes, waking = os.pipe()
    for end in (notes, waking):
        os.set_blocking(end, False)
    _notes.append(notes)
    woken_before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    try:
        if before[signal.SIGINT] is not signal.SIG_IGN:
            # This very function: by it asyncio knows that it may take Ctrl-C over.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminate)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        _notes.remove(notes)
        _told_to_end.clear()
        for end in (notes, waking):
            os.close(end)


def end_if_told() -> None:
    """Leave if a signal came whose exception got lost, as in a library's own callback."""
    for notes in _notes:
        with contextlib.suppress(BlockingIOError):
            _told_to_end.update(os.read(notes, 1 << 10))
    if signal.SIGTERM in _told_to_end:
        raise Terminated
    if signal.SIGINT in _told_to_end:
        raise KeyboardInterrupt


def _leave(number: int, _frame: FrameType | None) -> None:
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 (pathlib is not imported yet)
    with contextlib.suppress(OSError):
        os.write(2, f"{name}: {ENDINGS[signal.Signals(number)]}\n".encode(errors="replace"))
    os._exit(128 + number)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
