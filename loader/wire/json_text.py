"""JSON values together with the very text that they were read from.

What is kept of a reply is a slice of its body, so that no number ever passes through a float and
nothing is written anew. Numbers are read as int and Decimal. One pass: `json`'s own scanner reads
every value that is kept, and this module only finds where it starts.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, TypeVar

from loader.warehouse.values import MAX_DIGITS

# Of a whole text: the widest reply known, every order of a book, has a third of it. What json
# makes of so many takes 20 MB at most.
MOST_VALUES = 120_000
# Of one array: the longest page of any source has a fifth of it.
MOST_ITEMS = 10_000
# No reply goes deeper than ten; what reads a value later must not run out of stack.
DEEPEST = 100

_TOO_LONG = f"a number of over {MAX_DIGITS} digits"

_T = TypeVar("_T")
_whitespace = re.compile(r"[ \t\n\r]*").match


class ShapeError(ValueError):
    """The text is not JSON, or not of the expected shape; the message says what is amiss."""


class Value(NamedTuple):
    """A value, its text, and why Postgres would not take that text as jsonb, if so."""

    text: str
    data: Any
    flaw: str | None


def read_json(text: str) -> Any:
    """The value of a whole text. Raises ShapeError when it is not JSON."""
    value = value_at(text)
    if value.data is None and value.flaw:
        raise ShapeError(value.flaw)
    return value.data


def value_at(text: str, key: str | None = None) -> Value:
    """The value of a whole text, or what it has under a key.

    Raises ShapeError when there is none.
    """
    return _walk(text, key, _value)


def items_at(text: str, key: str | None = None) -> list[Value]:
    """The items of an array: of the one that a text is, or has under a key.

    Raises ShapeError when there is none.
    """
    return _walk(text, key, _items)


class _Reader:
    """A decoder that remembers what it met and Postgres would refuse."""

    def __init__(self) -> None:
        self.flaw: str | None = None
        self._decode = json.JSONDecoder(
            parse_float=self._decimal, parse_int=self._int, parse_constant=self._constant
        ).raw_decode

    def read(self, text: str, start: int) -> tuple[Any, int]:
        try:
            data, end = self._decode(text, start)
        except RecursionError:
            raise ShapeError("not JSON: nested too deeply") from None
        except ValueError as error:
            raise ShapeError(f"not JSON: {error}") from None
        if _is_too_deep(text, start, end, data):
            raise ShapeError(f"nested too deeply, over {DEEPEST} levels")
        return data, end

    def _decimal(self, text: str) -> Decimal | None:
        with contextlib.suppress(InvalidOperation):
            number = Decimal(text)
            if len(text) <= MAX_DIGITS and (not number or abs(number.adjusted()) <= MAX_DIGITS):
                return number
        self.flaw = _TOO_LONG
        return None

    def _int(self, text: str) -> int | None:
        if len(text) <= MAX_DIGITS:
            return int(text)
        self.flaw = _TOO_LONG
        return None

    def _constant(self, name: str) -> Decimal:
        self.flaw = f"{name} is not a JSON value"
        return Decimal(name)


# Reads what is at a position; returns it and where it ends.
_Read = Callable[[_Reader, str, int], tuple[_T, int]]


def _walk(text: str, key: str | None, read: _Read[_T]) -> _T:
    _refuse_a_wide(text)
    reader, start = _Reader(), _skip(text, 0)
    try:
        if key is None:
            result, end = read(reader, text, start)
        else:
            result, end = _member(reader, text, start, key, read)
    except IndexError:
        raise ShapeError("not JSON: the end is missing") from None
    if _skip(text, end) != len(text):
        raise ShapeError(f"not JSON: text after the value, at {end}")
    return result


def _member(reader: _Reader, text: str, start: int, key: str, read: _Read[_T]) -> tuple[_T, int]:
    if text[start] != "{":
        reader.read(text, start)
        raise ShapeError(f"there is no {key}")
    found: list[_T] = []
    position = _skip(text, start + 1)
    while text[position] != "}":
        name, end = reader.read(text, position)
        position = _expect(":", text, end)
        if name == key:
            result, position = read(reader, text, position)
            # As in jsonb, the last of several equal keys counts.
            found = [result]
        else:
            _, position = reader.read(text, position)
        position = _next(text, position, "}")
    if not found:
        raise ShapeError(f"there is no {key}")
    return found[0], position + 1


def _value(reader: _Reader, text: str, start: int) -> tuple[Value, int]:
    reader.flaw = None
    data, end = reader.read(text, start)
    own = text[start:end]
    flaw = reader.flaw
    if flaw is None and "\\u" in own and not all(map(_is_storable, _strings(data))):
        flaw = "a character that no text in Postgres can hold"
    return Value(own, data, flaw), end


def _items(reader: _Reader, text: str, start: int) -> tuple[list[Value], int]:
    if text[start] != "[":
        reader.read(text, start)
        raise ShapeError("not an array where one is expected")
    items = []
    position = _skip(text, start + 1)
    while text[position] != "]":
        value, position = _value(reader, text, position)
        items.append(value)
        if len(items) > MOST_ITEMS:
            raise ShapeError(f"over {MOST_ITEMS:,} records in one reply")
        position = _next(text, position, "]")
    return items, position + 1


def _next(text: str, position: int, closing: str) -> int:
    """Past the comma, or at the closing bracket."""
    position = _skip(text, position)
    if text[position] == closing:
        return position
    position = _expect(",", text, position)
    if text[position] == closing:
        raise ShapeError(f"not JSON: nothing after the comma, at {position}")
    return position


def _expect(character: str, text: str, position: int) -> int:
    position = _skip(text, position)
    if text[position] != character:
        raise ShapeError(f"not JSON: no {character} at {position}")
    return _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    # Most texts have no white space here.
    if text[position : position + 1] > " ":
        return position
    found = _whitespace(text, position)
    return found.end() if found else position


def _refuse_a_wide(text: str) -> None:
    """Before anything is made of it: raises ShapeError for a text of too many values.

    All but the first stand behind one of these. Within strings they count too, so that a text with
    many of them there is taken for wider than it is.
    """
    if text.count(",") + text.count("[") + text.count("{") >= MOST_VALUES:
        raise ShapeError(f"over {MOST_VALUES:,} values")


def _is_too_deep(text: str, start: int, end: int, data: Any) -> bool:
    if text.count("[", start, end) + text.count("{", start, end) <= DEEPEST:
        return False
    level = [data]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _within(each)]
        if not level:
            return False
    return True


def _within(data: Any) -> Iterator[Any]:
    """The arrays and objects right within one."""
    values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (value for value in values if isinstance(value, dict | list))


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
