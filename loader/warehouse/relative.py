"""Times that are told from now: `today`, `yesterday`, `7d` and `2h` ago."""

import re
from datetime import UTC, date, datetime

from loader.warehouse.clock import DAY, HOUR

EXPECTED = "today, yesterday, 7d or 2h (ago)"
_RELATIVE = re.compile(r"today|yesterday|(?P<number>[0-9]{1,5})(?P<unit>[dh])", re.ASCII)


def is_relative(text: str) -> bool:
    """Whether a text is such a time."""
    return _RELATIVE.fullmatch(text) is not None


def day_or_instant(text: str, now: datetime) -> date | datetime:
    """The day that `today`, `yesterday` or `7d` is, in now's zone; the instant in UTC of `2h`.

    Raises ValueError for any other text.
    """
    found = _RELATIVE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    number = int(found["number"] or text == "yesterday")
    if found["unit"] == "h":
        return now.astimezone(UTC) - number * HOUR
    return now.date() - number * DAY


def day(text: str, now: datetime) -> date:
    """The day that such a text is, or that its instant is in, in now's zone."""
    found = day_or_instant(text, now)
    return found.astimezone(now.tzinfo).date() if isinstance(found, datetime) else found


def instant(text: str, now: datetime) -> datetime:
    """The instant in UTC that such a text is, or at which its day begins in now's zone."""
    found = day_or_instant(text, now)
    if isinstance(found, datetime):
        return found
    # Of a midnight that came twice the first; of one that was left out, the change of the clocks.
    return datetime.combine(found, datetime.min.time(), now.tzinfo).astimezone(UTC)
