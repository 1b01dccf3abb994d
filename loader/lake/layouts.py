"""Where an observation's file lies in a lake: the layouts that export writes.

A file holds one book and one window of ten minutes in every layout, so they differ in the
directories above it alone. The presets are what public recorders of Bitso's spread write, such as
github.com/hesouol/bits_c1 and github.com/Ang3lino/bitso.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from loader.warehouse.errors import RefusedError, UsageError

Format = Literal["parquet", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
WINDOW = timedelta(minutes=10)

# What a directory can say of a file: of its book and of the start of its window.
Part = Callable[[str, datetime], str]

_KEYS: dict[str, Part] = {
    "book": lambda book, _start: f"book={book}",
    "date": lambda _book, start: f"date={start:%Y-%m-%d}",
    "year": lambda _book, start: f"year={start:%Y}",
    "month": lambda _book, start: f"month={start:%m}",
    "day": lambda _book, start: f"day={start:%d}",
    "hour": lambda _book, start: f"hour={start:%H}",
    "minutes": lambda _book, start: f"minutes={start.hour * 60 + start.minute}",
}
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*").fullmatch


@dataclass(frozen=True)
class Layout:
    """The directories above a file, outermost first, and its name where it has a fixed one."""

    name: str
    parts: tuple[Part, ...]
    file: str | None = None

    def path(self, book: str, start: datetime, suffix: str) -> str:
        """The file of a book and a window, below the root of the lake.

        Raises RefusedError for a book that would lead elsewhere.
        """
        if not _SAFE_NAME(book):
            raise RefusedError(f"{book!r} cannot be the name of a file: it is not exported")
        name = self.file or f"{book}_{start:%Y%m%d%H%M%S}"
        return "/".join([*(part(book, start) for part in self.parts), f"{name}.{suffix}"])


def _by_keys(name: str, keys: Sequence[str]) -> Layout:
    return Layout(name, tuple(_KEYS[key] for key in keys))


DEFAULT = "book-date"
# The layouts of the lakes that people have, as far as those hold one book a file, and our own.
PRESETS = {
    layout.name: layout
    for layout in (
        _by_keys(DEFAULT, ("book", "date")),
        _by_keys("book-day", ("book", "year", "month", "day")),
        _by_keys("book-hour", ("book", "year", "month", "day", "hour")),
        _by_keys("hour-book", ("year", "month", "day", "hour", "book")),
        Layout(
            "date-book-minutes",
            (
                lambda _book, start: f"date={start:%Y%m%d}",
                lambda book, _start: f"order_book={book}",
                _KEYS["minutes"],
            ),
        ),
        Layout(
            "plain-hour",
            (
                lambda book, _start: book,
                lambda _book, start: f"{start:%Y-%m-%d}",
                lambda _book, start: f"{start:%H}",
            ),
        ),
        Layout(
            "plain-minutes",
            (
                lambda book, _start: book,
                lambda _book, start: f"{start:%Y%m%d}",
                lambda _book, start: f"{start:%H%M}",
            ),
            "data",
        ),
    )
}


def layout_of(text: str) -> Layout:
    """A preset by its name, or keys in their order: `book,date,hour`."""
    if text in PRESETS:
        return PRESETS[text]
    keys = [key.strip() for key in text.split(",")]
    if not set(keys) <= set(_KEYS) or len(set(keys)) < len(keys):
        raise UsageError(
            f"{text}: not a layout ({', '.join(PRESETS)}), nor some of the keys "
            f"{', '.join(_KEYS)}, each once"
        )
    return _by_keys(",".join(keys), keys)


def window_start(instant: datetime) -> datetime:
    """The start of the window that an instant is in."""
    utc = instant.astimezone(UTC)
    return utc.replace(minute=utc.minute // 10 * 10, second=0, microsecond=0)
