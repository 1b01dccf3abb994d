"""The replies of a run, on disk until all are there.

No transaction is open while we wait for the network, so that everything is fetched before the
first row is written; and memory holds one reply at a time, however many there are.
"""

import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, Self

from loader.warehouse.errors import TerminalError
from loader.wire.records import Body

# Ten times the longest list known.
MOST_BYTES = 256 * 2**20


class _ReplyPlace(NamedTuple):
    source: str
    key: str
    received_at: datetime
    start: int
    end: int


class FetchedReplies:
    """Replies in the order in which they came; iterating reads them one by one."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (__exit__ closes it)
        self._places: list[_ReplyPlace] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def instants(self) -> list[datetime]:
        """When each was received."""
        return [place.received_at for place in self._places]

    def add(self, bodies: Iterable[Body]) -> None:
        """Keep what one call brings: all of it, or nothing when it fails on the way."""
        before = len(self)
        try:
            for body in bodies:
                self._keep(body)
        except BaseException:
            del self._places[before:]
            raise

    def _keep(self, body: Body) -> None:
        start = self._places[-1].end if self._places else 0
        text = body.text.encode()
        end = start + len(text)
        if end > MOST_BYTES:
            raise TerminalError(f"replies of over {MOST_BYTES >> 20} MiB together")
        self._file.seek(start)
        self._file.write(text)
        self._places.append(_ReplyPlace(body.source, body.key, body.received_at, start, end))

    def __iter__(self) -> Iterator[Body]:
        for source, key, received_at, start, end in self._places:
            self._file.seek(start)
            yield Body(source, key, received_at, self._file.read(end - start).decode())
