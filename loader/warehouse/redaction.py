"""Keys and passwords, taken out of whatever is shown, logged or kept.

Who reads one says so here (`remember`), and what leaves passes through `redacted` (a message, a
line of the log) or `KEYS` (what others send us and we keep). Each is found in every spelling that
it can have on the way: as it is, in upper or lower case (as in the name of a host), quoted for a
URL or escaped for JSON (any character of it), in hex, and in base64 at any of three alignments.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote

MARK = "***"
# A shorter one would be found in harmless words, and so would a short word.
SHORTEST = 6
SHORTEST_OF_LETTERS = 8
# Base64 writes three bytes as four characters: a secret begins at any of the three.
_ALIGNMENTS = range(3)


class Secrets:
    """Texts that must not leave, by who has them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}

    def remember(self, owner: str, secrets: Iterable[str]) -> None:
        """Know what an owner has for secrets from now on, in place of those it had before."""
        # The longest first: it may begin with another.
        self._known[owner] = tuple(sorted(filter(_is_no_word, secrets), key=len, reverse=True))

    def are_in(self, text: str) -> bool:
        """Whether a text holds one of them, in any spelling."""
        return any(pattern.search(text) for pattern in self._patterns())

    def taken_out(self, text: str) -> str:
        """The text with a mark in the place of each of them."""
        for pattern in self._patterns():
            text = pattern.sub(MARK, text)
        return text

    def _patterns(self) -> Iterator[re.Pattern[str]]:
        for secrets in list(self._known.values()):
            for secret in secrets:
                yield from _patterns_of(secret)


# Those that we send to others, who may send them back.
KEYS = Secrets()
# All that nobody but ourselves, or the database, gets to see.
PASSWORDS = Secrets()


def redacted(text: str) -> str:
    """A text without any key or password."""
    return PASSWORDS.taken_out(KEYS.taken_out(text))


def _is_no_word(secret: str) -> bool:
    return len(secret) >= (SHORTEST_OF_LETTERS if secret.isalpha() else SHORTEST)


@lru_cache(maxsize=64)
def _patterns_of(secret: str) -> tuple[re.Pattern[str], ...]:
    raw = secret.encode(errors="surrogateescape")
    encoded = "|".join(map(re.escape, sorted({*_hex(raw), *_base64(raw)})))
    # Each begins with a literal, so that `re` skips at once what cannot be one.
    return re.compile("".join(map(_spellings, secret))), re.compile(encoded)


def _spellings(character: str) -> str:
    """A pattern for a character as it is, quoted for a URL, or escaped for JSON."""
    ways = {"\\" + character} if character in "\"'/\\" else set()
    ways |= {"+"} if character == " " else set()
    ways |= {character, character.lower(), character.upper()}
    # The longest first: nothing of one is to be left.
    patterns = sorted({*map(re.escape, ways), *_by_number(character)}, key=len, reverse=True)
    return f"(?:{'|'.join(patterns)})"


def _by_number(character: str) -> Iterator[str]:
    for one in {character, character.lower(), character.upper()}:
        units = one.encode("utf-16-be", "surrogatepass").hex()
        yield "".join(
            rf"\\u{_any_case(units[start : start + 4])}" for start in range(0, len(units), 4)
        )
        octets = one.encode(errors="surrogateescape").hex()
        yield "".join(
            f"%{_any_case(octets[start : start + 2])}" for start in range(0, len(octets), 2)
        )


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _hex(raw: bytes) -> Iterator[str]:
    yield raw.hex()
    yield raw.hex().upper()


def _base64(raw: bytes) -> Iterator[str]:
    """What stands for a secret in base64 whatever comes before and after it, URL or JSON."""
    for before in _ALIGNMENTS:
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        # The characters that hold bits of the neighbours too are left out.
        first = -(-before * 8 // 6)
        own = encoded[first : (before + len(raw)) * 8 // 6]
        yield from (own, own.replace("+", "-").replace("/", "_"))
        yield from (own.replace("/", r"\/"), quote(own, safe=""))
