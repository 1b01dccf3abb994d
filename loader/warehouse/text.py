r"""Text on its way out: into COPY, into a text column, onto a terminal, as a decimal.

What a place cannot hold is written as \xNN or \uNNNN, so that nothing is lost and nothing acts.
"""

import difflib
import os
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

# A name may have 255 bytes, each of them four characters once it is escaped.
LONGEST_NAME = 120
# As much of a message as anybody reads.
LONGEST_LINE = 2000
# They take no room on a screen, though Unicode has them among what can be printed: joiners,
# fillers and selectors (Default_Ignorable_Code_Point in its DerivedCoreProperties.txt).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def copy_text(text: str) -> str:
    """A value for COPY's text format with commas between the values."""
    # The backslash first: the other replacements add backslashes of their own.
    text = text.replace("\\", "\\\\").replace(",", "\\,")
    return text.replace("\n", "\\n").replace("\r", "\\r")


def copy_line(values: Iterable[str | None]) -> bytes:
    """Values as a line for COPY, without its end; None is NULL, and so is an empty text."""
    return ",".join("" if value is None else copy_text(value) for value in values).encode()


def is_storable(text: str) -> bool:
    """Whether Postgres can hold the text as it is."""
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def storable(text: str) -> str:
    """Text that Postgres can hold."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def readable(raw: bytes) -> str:
    """Bytes of a file as text that Postgres can hold."""
    return raw.decode(errors="backslashreplace").replace("\0", "\\x00")


def printable(text: str) -> str:
    """Text on one line that cannot act on a terminal: no escapes, nothing from right to left."""
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(
        c if c.isprintable() and not _INVISIBLE.match(c) else ascii(c)[1:-1] for c in text
    )


def one_line(message: str) -> str:
    """A message for a terminal or a log, the middle of a very long one left out."""
    line = printable(message)
    if len(line) <= LONGEST_LINE:
        return line
    # What to do about it stands at the end.
    half = LONGEST_LINE // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def shown_path(path: Path | str) -> str:
    """A path as text that any log, JSON or Postgres can hold, on one line."""
    return printable(os.fsencode(path).decode(errors="backslashreplace"))


def told_path(path: Path) -> str:
    """A path for a message: as much of it as a line has room for."""
    return shortened(shown_path(path), LONGEST_NAME)


def shown(path: Path) -> str:
    """The name of a file, in the same way."""
    return told_path(Path(path.name))


def shortened(text: str, longest: int) -> str:
    """The text, or as much of it as fits with a mark that it was cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(value: object) -> str:
    """A value in a message: on one line and cut; of what has parts, which may be deep, its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return printable(shortened(str(value), 40)) or "''"


def squeezed(text: str, longest: int) -> str:
    """What somebody else has sent, for a log: on one line, cut and escaped."""
    return printable(" ".join(shortened(text, longest).split()))


def plain(number: Decimal) -> str:
    """A decimal without exponent, nor zeros at the end of its decimals."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def nearest(wrong: str, right: Iterable[str]) -> str:
    """`: did you mean x?` for the nearest right name, or nothing when none is near."""
    close = nearest_name(wrong, right)
    return f": did you mean {close}?" if close else ""


def nearest_name(wrong: str, right: Iterable[str]) -> str | None:
    """The right name that is nearest to a wrong one, in whatever case; None: none is near."""
    names = {name.lower(): name for name in right}
    # Comparing takes the square of the length, and no name is long.
    close = difflib.get_close_matches(wrong.lower()[:100], names, n=1, cutoff=0.5)
    return names[close[0]] if close else None


def counted(count: int, thing: str) -> str:
    """So many things in words: `1 row`, `2 rows`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def age(seconds: float) -> str:
    """How long ago something was, in the one unit that fits."""
    # The clock that wrote it may be a little ahead.
    if seconds <= -1:
        return "in the future"
    for unit, length, up_to in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < up_to:
            return f"{int(max(seconds, 0) // length)} {unit} ago"
    return f"{counted(int(seconds // 86_400), 'day')} ago"
