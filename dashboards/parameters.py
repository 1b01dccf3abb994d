"""The parameters of questions: what may be typed for each, and the value that is bound for it."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from dashboards.charts import Strict
from loader.warehouse import relative
from loader.warehouse.clock import SYSTEM_CLOCK
from loader.warehouse.text import plain

Value = str | int | date
# The time of day in the zone in which days are cut; asked only where a text is relative to it.
Now = Callable[[], datetime]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*", re.ASCII)


class KnownNames(Strict):
    """Where the names that a parameter takes are known: a column of a table of marts.

    `also` are names that are right before there are any data of them: the books of WAREHOUSE_BOOKS,
    the jobs of the schedule. `private` names, those of users, are never suggested: a wrong one must
    not tell the right ones.
    """

    table: str
    column: str
    also: Literal["watched books", "scheduled jobs"] | None = None
    private: bool = False


class Parameter(Strict):
    """One parameter of a question, as its file describes it.

    `at_most` names another one, a number that this one must not be above.
    """

    type: Literal["date", "instant", "integer", "number", "text"]
    description: str
    default: str | int | None = None
    unset: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    at_most: str | None = None
    known: KnownNames | None = None

    @model_validator(mode="after")
    def _says_its_default_once(self) -> "Parameter":
        if (self.default is None) == (self.unset is None):
            raise ValueError("needs either default or unset")
        if self.default is not None:
            self.parse(str(self.default))
        return self

    @property
    def default_text(self) -> str:
        """The default in words."""
        return str(self.unset if self.default is None else self.default)

    @property
    def expected(self) -> str:
        """What a value looks like, in words."""
        if self.choices:
            return " or ".join(self.choices)
        return {
            "date": f"a date like 2022-04-30, {relative.EXPECTED}",
            "instant": "a date like 2022-04-30, an instant like 2022-04-30T04:10:26Z, "
            + relative.EXPECTED,
            "integer": "a whole number"
            + ("" if self.minimum is None else f" of {self.minimum} or more")
            + ", of at most 9 digits",
            "number": "a number of 0 or more",
            "text": "text in UTF-8",
        }[self.type]

    def parse(self, text: str, now: Now = SYSTEM_CLOCK.now) -> Value:
        """The value to bind; raises ValueError when the text is none."""
        if self.type in ("date", "instant") and relative.is_relative(text):
            return self._parse_relative(text, now())
        if self.choices and text not in self.choices:
            raise ValueError(text)
        if self.type == "integer":
            return self._parse_integer(text)
        if self.type == "number":
            return _parse_number(text)
        if self.type == "date" or (self.type == "instant" and _DATE.fullmatch(text)):
            return _parse_date(text)
        if self.type == "instant":
            return _parse_instant(text)
        if not text or "\0" in text:
            raise ValueError(text)
        text.encode()
        return text

    def _parse_relative(self, text: str, now: datetime) -> Value:
        if self.type == "date":
            return relative.day(text, now)
        found = relative.day_or_instant(text, now)
        return found.isoformat() if isinstance(found, datetime) else found

    def _parse_integer(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise ValueError(text)
        value = int(text)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(text)
        return value


def _parse_number(text: str) -> str:
    """As text in one form, in which equal numbers are equal."""
    if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,30})?", text):
        raise ValueError(text)
    return plain(Decimal(text))


def _parse_date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _parse_instant(text: str) -> str:
    """The instant in UTC; without a zone it is UTC already, as in the files.

    As text, so that the SQL can tell it from a date, which stands for the whole day.
    """
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    instant = datetime.fromisoformat(text)
    try:
        zoned = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat()
    except OverflowError as error:
        raise ValueError(text) from error
