"""stdin, stdout and stderr: there, able to take any text, and harmless to who looks at them.

A terminal and a log get what could act on a terminal escaped; a file or pipe gets from stdout the
bytes as they are.
"""

import codecs
import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from loader.warehouse.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def keep_their_numbers() -> None:
    """Of a stream that is closed, let no file or socket of ours take the place.

    What is written to such a stdout fails, as it should: an answer would be lost. What is said on
    such a stderr is for nobody.
    """
    for number, way in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, way), True)


@contextlib.contextmanager
def prepared() -> Iterator[TextIO]:
    """While it lasts, stdout and stderr are such as the module says; gives stderr."""
    keep_their_numbers()
    before = sys.stdout, sys.stderr
    out, err = _opened(before[0], 1), _opened(before[1], 2)
    sys.stdout = _escaping(_Shown(out)) if out.isatty() else out
    sys.stderr = _escaping(_Told(err))
    try:
        yield sys.stderr
    finally:
        sys.stdout, sys.stderr = before


def hush() -> None:
    """Take nothing on stderr any more, until the streams are what they were before."""
    sys.stderr = _escaping(_Hushed(_opened(sys.stderr, 2)))


def settle() -> OSError | None:
    """Write out what stdout still holds; what cannot be written is given up, and said why."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Else Python tries once more when it ends, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout.flush()
        return error
    return None


def has_no_reader() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return bool(poll.poll(0))


def _opened(stream: TextIO | None, number: int) -> io.TextIOWrapper:
    if stream is None or isinstance(stream.buffer, io.RawIOBase):
        # It was closed when Python began; or it has no buffer (PYTHONUNBUFFERED), and a disk that
        # takes only the first part of a text would go unnoticed.
        encoding = stream.encoding if stream else "utf-8"
        stream = os.fdopen(number, "w", encoding=encoding, closefd=False)
    assert isinstance(stream, io.TextIOWrapper)
    stream.reconfigure(errors="backslashreplace")
    return stream


class _Shown(io.BufferedIOBase):
    """Takes UTF-8, and hands it on for a person to look at, in the encoding of the stream."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream
        # Past its buffer, which would try again what cannot be written.
        self._out: Any = getattr(stream.buffer, "raw", stream.buffer)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    @property
    def name(self) -> str:
        """What the stream calls itself."""
        return str(self._stream.name)

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The file below."""
        return self._stream.fileno()

    def write(self, data: "ReadableBuffer", /) -> int:
        """Escape and write."""
        text = self._decoder.decode(bytes(data))
        shown = "\n".join(map(self._line, text.split("\n")))
        left = shown.encode(self._stream.encoding, "backslashreplace")
        while left:
            # None: it takes nothing now, and nobody waits for it.
            left = left[self._out.write(left) or len(left) :]
        return memoryview(data).nbytes

    def _line(self, line: str) -> str:
        return printable(line)


class _Told(_Shown):
    """The same for stderr: what it does not take is lost, and the work goes on."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Escape and write, as far as may be."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes

    def _line(self, line: str) -> str:
        # A progress bar goes back to the start of its line.
        start = line[: line.startswith("\r")]
        return start + printable(line.removeprefix("\r"))


class _Hushed(_Told):
    """Takes what is written, and says it to nobody."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take it."""
        return memoryview(data).nbytes


def _escaping(shown: _Shown) -> io.TextIOWrapper:
    return io.TextIOWrapper(shown, "utf-8", "backslashreplace", newline="", write_through=True)
