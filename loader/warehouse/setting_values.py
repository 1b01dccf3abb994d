"""What a setting may be: its kinds of values, and what is said of a wrong one."""

import ipaddress
import json
import re
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from loader.warehouse.text import printable, shortened

LONGEST_SHOWN = 80


def _shaped(pattern: str, looks: str) -> AfterValidator:
    """A text of a pattern; `looks` says what it looks like."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(looks)
        return text

    return AfterValidator(check)


def _check_key(key: SecretStr) -> SecretStr:
    # It goes into a header, and is looked for in whatever might show it.
    if not re.fullmatch(r"[!-~]{8,4096}", key.get_secret_value()):
        raise ValueError("a key: eight or more letters, digits and signs, without blanks")
    return key


def _address(scheme: str, rest: str) -> AfterValidator:
    """An address that a connection can be made to, as far as it alone tells."""
    looks = f"an address such as {scheme}s://host/path"
    shaped = re.compile(f"{scheme}s?://{rest}", re.ASCII)

    def check(address: str | SecretStr) -> str | SecretStr:
        text = address if isinstance(address, str) else address.get_secret_value()
        # A secret one may be none at all.
        if text and not shaped.fullmatch(text):
            raise ValueError(looks)
        if text and not _is_reachable(re.split("[/?#]", text.partition("://")[2])[0]):
            raise ValueError(f"{looks}, with a host and a port that there can be")
        return address

    return AfterValidator(check)


_PLACE = re.compile(
    r"(?:.*@)?(?:\[(?P<number>[\w:.%]+)\]|(?P<name>[\w.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
)


def _is_reachable(place: str) -> bool:
    """Whether a host, with a port or without one, has a number, or a name to be looked up."""
    found = _PLACE.fullmatch(place)
    if not found or not 0 < int(found["port"] or 1) <= 65_535:
        return False
    try:
        if found["number"]:
            return bool(ipaddress.IPv6Address(found["number"]))
        # No part of a name is empty or has over 63 bytes. Wide letters stand for others.
        looked_up = found["name"].encode("idna").decode("idna")
        return found["name"].isascii() or looked_up == found["name"]
    except ValueError:
        return False


# With a host and without a query, because the sources append their own paths.
_PLAIN = r"[^/?#@\s\x00-\x1f\x7f]+(/[^?#\s\x00-\x1f\x7f]*)?"
Url = Annotated[str, _address("http", _PLAIN)]
SocketUrl = Annotated[str, _address("ws", _PLAIN)]
SecretUrl = Annotated[SecretStr, _address("http", r"[^\s\x00-\x1f\x7f]+")]
Book = Annotated[str, _shaped("[a-z0-9]{1,50}_[a-z0-9]{1,50}", "a book such as btc_mxn")]
# libpq takes what looks like an address or has an = in it apart, with the password in it.
HostName = Annotated[
    str,
    _shaped(r"(?!.*://)[^@?#=;\s\ud800-\udfff]+", "the name of a host, without password or port"),
]
Database = Annotated[
    str, _shaped(r"(?!.*://)[^=\x00-\x1f\ud800-\udfff]+", "the name of a database alone")
]
User = Annotated[str, _shaped(r"[^\x00-\x1f\ud800-\udfff]+", "the name of a user")]
Key = Annotated[SecretStr, AfterValidator(_check_key)]
Channel = Annotated[str, _shaped(r"[^,\s]([^,\n]*[^,\s])?", "a name of a channel")]

# Postgres counts a timeout's milliseconds in 32 bits.
Timeout = Annotated[int, Field(ge=0, le=2_147_483)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[int, Field(ge=0, le=36_500)]


def split_books(text: Any) -> Any:
    """The books of a list with commas, each once, in the case that Bitso writes them in."""
    if isinstance(text, str):
        return tuple(dict.fromkeys(book.strip().lower() for book in text.split(",")))
    return text


def books_of(text: str) -> tuple[str, ...]:
    """The same as somebody types them; raises ValueError, naming what is no book."""
    try:
        return TypeAdapter(tuple[Book, ...]).validate_python(split_books(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{_quoted(first['input'])} is not {first['ctx']['error']}") from None


def read_channels(text: Any) -> Any:
    """The addresses of each channel, from JSON; one alone need not be a list."""
    if not isinstance(text, str):
        return text
    try:
        channels = json.loads(text)
    except (ValueError, RecursionError):
        channels = None
    if isinstance(channels, dict):
        lists = {
            name: [given] if isinstance(given, str) else given for name, given in channels.items()
        }
        if all(isinstance(each, list) for each in lists.values()) and all(
            isinstance(address, str) for each in lists.values() for address in each
        ):
            return lists
    raise ValueError('a JSON object such as {"default": ["jsons://host/path"]}')


def wrong_value(field: FieldInfo, error: ErrorDetails) -> str:
    """What a setting has, unless that is a secret, and what would be right."""
    value = error["input"]
    is_shown = isinstance(value, str) and not _is_secret(field, value)
    return f"{_quoted(value) if is_shown else 'what is set'} is not {_right(field, error)}"


def _quoted(value: str) -> str:
    return f"'{shortened(printable(value), LONGEST_SHOWN)}'"


def _is_secret(field: FieldInfo, value: str) -> bool:
    # An address may hold a password, or a key.
    return "SecretStr" in str(field.annotation) or bool(re.search("[@?#=]", value))


def _right(field: FieldInfo, error: ErrorDetails) -> str:
    """What would be right, in words."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "bool_parsing":
        return "true or false"
    if get_args(field.annotation) and error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    limits = {
        name: getattr(each, name)
        for each in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(each, name)
    }
    if not limits:
        # A text is all that can be set; what parts it may have, its reader says (`read_channels`).
        return "text in UTF-8"
    is_whole = int in (field.annotation, *get_args(field.annotation))
    least = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']} and up"
    return f"a {'whole number' if is_whole else 'number'} {least} to {limits['le']}"
