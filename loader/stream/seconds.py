"""What one second of the stream has: a sample of each book or why not; as a line of the spool."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from loader.stream.frames import BadFrame

Cause = Literal[
    "starting", "resync", "disconnected", "stale", "database", "killed", "throttled", "not_running"
]


class Sample(NamedTuple):
    """A book in one second: numbers as text, just as they go into the row."""

    book: str
    sequence: int
    bid: str | None
    ask: str | None
    payload: str


class Why(NamedTuple):
    """The cause of a gap, and what more there is to say."""

    cause: Cause
    detail: str | None = None


@dataclass(frozen=True)
class Second:
    """All books in one second, or in several of which there is no sample at all."""

    at: datetime
    until: datetime
    books: tuple[str, ...]
    gaps: Mapping[str, Why]
    samples: tuple[Sample, ...] = ()
    bad: tuple[BadFrame, ...] = ()

    @classmethod
    def missed(cls, at: datetime, until: datetime, books: Sequence[str], why: Why) -> Self:
        """Seconds that nobody observed."""
        return cls(at, until, tuple(books), dict.fromkeys(books, why))

    def without_samples(self, reason: str) -> "Second":
        """The same when its samples cannot be kept."""
        lost = {sample.book: Why("database", reason) for sample in self.samples}
        return Second(self.at, self.until, self.books, {**self.gaps, **lost})

    def encode(self) -> bytes:
        """As a line for the spool."""
        gaps: dict[Why, list[str]] = {}
        for book, why in self.gaps.items():
            gaps.setdefault(why, []).append(book)
        return json.dumps(
            {
                "at": int(self.at.timestamp()),
                "until": int(self.until.timestamp()),
                "books": self.books,
                # Mostly one cause for all.
                "gaps": [[*why, None if len(books) == len(self.books) else books]
                         for why, books in gaps.items()],
                "samples": self.samples,
                "bad": self.bad,
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Back from a line."""
        data = json.loads(line)
        books = tuple(data["books"])
        return cls(
            datetime.fromtimestamp(data["at"], UTC),
            datetime.fromtimestamp(data["until"], UTC),
            books,
            {
                book: Why(cause, detail)
                for cause, detail, these in data["gaps"]
                for book in these or books
            },
            tuple(Sample(*sample) for sample in data["samples"]),
            tuple(BadFrame(*bad) for bad in data["bad"]),
        )


class Stop(NamedTuple):
    """Stopped on purpose: what comes after was not to be observed."""

    at: datetime

    def encode(self) -> bytes:
        """As a line for the spool."""
        return b'{"stop":%d}' % int(self.at.timestamp())


def decode(line: bytes) -> Second | Stop:
    """A line of the spool."""
    if line.startswith(b'{"stop":'):
        return Stop(datetime.fromtimestamp(json.loads(line)["stop"], UTC))
    return Second.decode(line)
