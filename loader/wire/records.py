"""What every market source makes of the wire: bodies, and the good and bad records in them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from loader.warehouse.text import shortened
from loader.warehouse.values import (
    LONGEST_NAME_BYTES,
    BadValueError,
    bad,
    filled_text,
    name_of,
    zoned_time,
)
from loader.wire.json_text import ShapeError, Value


class Body(NamedTuple):
    """One reply as received: what a recording keeps and a replay sends in again.

    `source` is the raw table that it is for, `key` what was asked for: a book, an exchange, a
    coin, or "" for all there are.
    """

    source: str
    key: str
    received_at: datetime
    text: str


class Record(NamedTuple):
    """One row for raw: `payload` is the record's JSON text, cut out of the body unchanged.

    `bid` and `ask` are None where a side is empty, and in sources that have none. `unreadable`
    names the descriptive members that are not what they should be: the models leave them empty.
    """

    received_at: datetime
    key: str
    payload: str
    bid: Decimal | None = None
    ask: Decimal | None = None
    sequence: int | None = None
    unreadable: tuple[str, ...] = ()


class BadRecord(NamedTuple):
    """One row for quarantine: `code` is one word for counting, `reason` a sentence."""

    key: str
    code: str
    reason: str
    raw: str


Parsed = Iterator[Record | BadRecord]


def read_all(
    body: Body, find: Callable[[Body], list[Value]], read: Callable[[Body, Value], Record]
) -> Parsed:
    """A record for each value found in a body, good or bad; a body that is none is one bad one."""
    try:
        values = find(body)
    except ShapeError as error:
        yield BadRecord(body.key, "wrong_shape", str(error), body.text)
        return
    values.reverse()
    while values:
        # Nobody holds a value any more when its record is written.
        yield _record(body, values.pop(), read)


def _record(body: Body, value: Value, read: Callable[[Body, Value], Record]) -> Record | BadRecord:
    try:
        return read(body, value)
    except BadValueError as error:
        return BadRecord(_name(body, value), error.code, str(error), value.text)


def _name(body: Body, value: Value) -> str:
    """What to call a bad record: what was asked for, or else what it calls itself."""
    if body.key or not isinstance(value.data, dict):
        return body.key
    names = (value.data.get(key) for key in ("book", "exchangeId", "id"))
    name = next((name for name in names if isinstance(name, str)), "")
    return shortened(name, LONGEST_NAME_BYTES)


def fields_of(value: Value) -> dict[str, Any]:
    """The members of a record that is an object and can be stored."""
    if value.flaw:
        bad("not_storable", value.flaw)
    if not isinstance(value.data, dict):
        bad("not_an_object", f"an object is expected, not {type(value.data).__name__}")
    return value.data


def required(fields: dict[str, Any], name: str) -> Any:
    """A member that must be there; it may be null."""
    if name not in fields:
        bad("missing_key", f"there is no {name}")
    return fields[name]


def text(fields: dict[str, Any], name: str) -> str:
    """A member that must be a text with something in it."""
    return filled_text(name, required(fields, name))


def key_text(fields: dict[str, Any], name: str) -> str:
    """A member that must be a text which a row can be found by."""
    return name_of(name, required(fields, name))


# How a member is read: by its name, for the reason, and its value. Raises BadValueError.
ReadValue = Callable[[str, Any], object]


def unreadable(fields: dict[str, Any], kinds: Mapping[str, ReadValue]) -> tuple[str, ...]:
    """The descriptive members that are there, not null, and cannot be read as what they are.

    A record is good without them: the payload keeps them as they came, and staging, which reads
    them by the same rules (dbt_project/functions/readable_*.sql), has null.
    """
    found = []
    for name, read in kinds.items():
        value = fields.get(name)
        if value is not None:
            try:
                read(name, value)
            except BadValueError:
                found.append(name)
    return tuple(found)


def instant(fields: dict[str, Any], name: str) -> datetime:
    """A member that must be a time that says its zone."""
    return zoned_time(name, text(fields, name))
