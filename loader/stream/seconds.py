"""What one second of the stream has: a sample of each book or why not; as a line of the spool.

A line names the warehouse that it is for, so that no other takes it in. What is read back is held
to all that it must be: a disk may give back other bytes than it was given.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self, get_args

from loader.stream.frames import BadFrame
from loader.warehouse.clock import SECOND
from loader.warehouse.text import is_storable, shortened
from loader.warehouse.values import counter, is_of_a_market, name_of, positive

Cause = Literal[
    "starting", "resync", "disconnected", "stale", "database", "killed", "throttled", "not_running"
]
_CAUSES = get_args(Cause)


class UnreadableLineError(ValueError):
    """A line of a spool that says nothing, or not all that it must; the text says why."""


class OtherWarehouseError(UnreadableLineError):
    """A line that is for another warehouse."""


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
        """The same when its samples cannot be kept, nor what its bad frames held."""
        lost = {sample.book: Why("database", reason) for sample in self.samples}
        bad = tuple(frame._replace(raw="") for frame in self.bad)
        return Second(self.at, self.until, self.books, {**self.gaps, **lost}, bad=bad)

    def encode(self, warehouse: str) -> bytes:
        """As a line for the spool."""
        gaps: dict[Why, list[str]] = {}
        for book, why in self.gaps.items():
            gaps.setdefault(why, []).append(book)
        return _line(
            warehouse,
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
        )  # fmt: skip


class Stop(NamedTuple):
    """Stopped on purpose: what comes after was not to be observed."""

    at: datetime

    def encode(self, warehouse: str) -> bytes:
        """As a line for the spool."""
        return _line(warehouse, {"stop": int(self.at.timestamp())})


class Damage(NamedTuple):
    """Lines in a row that cannot be taken: why the first cannot, and how it begins.

    How much time they were of nobody knows; a line is mostly of one second.
    """

    lines: int
    reason: str
    raw: bytes


def beginning(warehouse: str) -> bytes:
    """What each line for a warehouse begins with."""
    return _line(warehouse, {})[:-1]


def _line(warehouse: str, said: Mapping[str, object]) -> bytes:
    return json.dumps({"warehouse": warehouse, **said}, separators=(",", ":")).encode()


def decode(line: bytes, warehouse: str) -> Second | Stop:
    """What a line says to a warehouse.

    Raises OtherWarehouseError when it is for another one, UnreadableLineError when it is damaged
    or of a version that wrote other lines.
    """
    try:
        data = json.loads(line.decode("ascii"))
        if "warehouse" not in data:
            raise UnreadableLineError("it names no warehouse, as those of an older version")
        if data["warehouse"] != warehouse:
            raise OtherWarehouseError("it is for another warehouse")
        return Stop(_moment(data["stop"])) if "stop" in data else _second(data)
    except UnreadableLineError:
        raise
    except Exception as error:  # noqa: BLE001 - it may be anything, and be wrong in any way
        said = shortened(str(error), 100) or type(error).__name__
        raise UnreadableLineError(f"it is none that this version writes: {said}") from None


def _second(data: dict[str, Any]) -> Second:
    at, until = _moment(data["at"]), _moment(data["until"])
    books = tuple(map(_book, data["books"]))
    gaps = {
        book: _why(cause, detail)
        for cause, detail, these in data["gaps"]
        for book in these or books
    }
    samples = tuple(_sample(*sample) for sample in data["samples"])
    bad = tuple(BadFrame(*map(_text, frame)) for frame in data["bad"])
    if sorted([*gaps, *(sample.book for sample in samples)]) != sorted(books):
        raise ValueError("not every book is in it once")
    if not at < until or (samples and until - at != SECOND):
        raise ValueError("it has no time")
    return Second(at, until, books, gaps, samples, bad)


def _moment(value: Any) -> datetime:
    if type(value) is not int or not is_of_a_market(moment := datetime.fromtimestamp(value, UTC)):
        raise ValueError("its time is none, or has not come yet")
    return moment


def _sample(book: Any, sequence: Any, bid: Any, ask: Any, payload: Any) -> Sample:
    for name, price in (("bid", bid), ("ask", ask)):
        if price is not None:
            positive(name, _text(price))
    if not is_storable(_text(payload)):
        raise ValueError("a payload is no text that can be kept")
    return Sample(_book(book), counter("sequence", sequence), bid, ask, payload)


def _why(cause: Any, detail: Any) -> Why:
    if cause not in _CAUSES:
        raise ValueError("a gap has no known cause")
    return Why(cause, None if detail is None else _text(detail))


def _book(value: Any) -> str:
    if not is_storable(book := name_of("a book", value)):
        raise ValueError("a book has no name that can be kept")
    return book


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is none")
    return value
