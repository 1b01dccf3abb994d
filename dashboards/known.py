"""What an answer rests on: whether a name is known at all, and the time that data exist for.

An empty answer about a name that nobody knows would read as calm.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from dashboards.parameters import KnownNames, Value
from dashboards.prepared import Given, execute
from dashboards.questions import Question
from loader.operations.schedule import SCHEDULE
from loader.warehouse.errors import UsageError
from loader.warehouse.settings import get_settings
from loader.warehouse.text import age, counted, nearest

# Those that are not seen come first.
_BOOKS_SAID = 5


@dataclass(frozen=True)
class Extent:
    """From when to when there are data: days, or instants in UTC; None where there are none.

    `book` is the one that was asked about, where it was one.
    """

    first: date | datetime | None
    last: date | datetime | None
    age_seconds: float | None
    book: str | None = None

    @property
    def in_words(self) -> str:
        """How new the data are, with how old that is."""
        if self.last is None or self.age_seconds is None:
            return self._none
        is_a_day = not isinstance(self.last, datetime)
        old = _age_of_day(self.age_seconds) if is_a_day else age(self.age_seconds)
        return f"data until {_written(self.last)}, {old}"

    @property
    def from_to(self) -> str:
        """The time that data exist for."""
        if self.first is None or self.last is None:
            return self._none
        return f"data exist from {_written(self.first)} to {_written(self.last)}"

    def beyond(self, values: Mapping[str, Value | None]) -> str | None:
        """That the day that is asked about lies before or after all data: a 0 is no fact of it."""
        if "day" not in values:
            return None
        if self.first is None or self.last is None:
            return self._none
        day = values["day"]
        if isinstance(day, date) and day > _day(self.last):
            return f"no data after {_day(self.last)}"
        if isinstance(day, date) and day < _day(self.first):
            return f"no data before {_day(self.first)}"
        return None

    @property
    def _none(self) -> str:
        return f"there are no data {f'of {self.book} ' if self.book else ''}yet"


def note(
    connection: Connection, question: Question, values: Mapping[str, Value | None], rows: int
) -> str:
    """What is to be said beside an answer: how new its data are, or where there are any."""
    seen = meant = None
    with _perhaps_older(connection) as cursor:
        seen = extent(cursor, question, values)
        meant = None if rows else calm_or_unseen(cursor, question, values)
    if seen is None:
        return "how new the data are is not known"
    return seen.in_words if rows else "no rows: " + "; ".join(filter(None, [meant, seen.from_to]))


def beyond(
    connection: Connection, question: Question, values: Mapping[str, Value | None]
) -> str | None:
    """That a figure is of a day without data, where it is: by itself a 0 reads as a fact."""
    seen = None
    if "day" in values:
        with _perhaps_older(connection) as cursor:
            seen = extent(cursor, question, values)
    return seen.beyond(values) if seen else None


def as_known(
    connection: Connection, question: Question, values: Mapping[str, Value | None]
) -> dict[str, Value | None]:
    """The values, with names as they are known, whatever their case.

    Raises UsageError for one that is the name of nothing, with the nearest right names.
    """
    known = dict(values)
    for name, parameter in question.parameters.items():
        value = values[name]
        if parameter.known and value is not None and value != parameter.default:
            with _perhaps_older(connection) as cursor:
                where = f"{question.name}: {name}"
                known[name] = _as_known(cursor, parameter.known, where, value)
    return known


def extent(cursor: Cursor, question: Question, values: Mapping[str, Value | None]) -> Extent | None:
    """The time that the question's data exist for; of one book, where it asks for one.

    None where it does not say what they are.
    """
    data = question.data
    if data is None:
        return None
    book = values.get("book") if data.by_book else None
    named = "where book = (select named.book from marts.book_named($1) as named)"
    query = sql.SQL(
        # By the clock, not from the transaction's beginning: newer data may be seen in it.
        "select min({first}), max({last}), "
        "extract(epoch from clock_timestamp() - cast(max({last}) as timestamptz)) "
        "from marts.{table} {condition}"
    ).format(
        first=sql.Identifier(data.first),
        last=sql.Identifier(data.last),
        table=sql.Identifier(data.table),
        condition=sql.SQL("" if book is None else named),
    )
    execute(cursor, query.as_string(cursor), [] if book is None else [("text", book)])
    [(first, last, seconds)] = cursor.fetchall()
    return Extent(
        first,
        last,
        None if seconds is None else float(seconds),
        None if book is None else str(book),
    )


def calm_or_unseen(
    cursor: Cursor, question: Question, values: Mapping[str, Value | None]
) -> str | None:
    """What an answer without rows means, book by book: all was calm, or nobody looked.

    None where it means neither, and nobody was to look.
    """
    if question.calm_over_days is None:
        return _not_watched(cursor, values) if question.is_of_now else None
    given: list[Given] = [("text", values.get("book"))]
    call = "calm_or_unseen_now($1)"
    if question.calm_over_days:
        call = "calm_or_unseen($1, $2, $3, $4, $5)"
        given += [
            ("numeric", values.get("threshold")),
            ("text", values.get("from")),
            ("text", values.get("to")),
            ("integer", question.calm_over_days - 1),
        ]
    execute(
        cursor,
        f"select book || ': ' || said, is_unseen from marts.{call} order by is_unseen desc, book",
        given,
    )
    books = cursor.fetchall()
    said = [words for words, _ in books[:_BOOKS_SAID]]
    if rest := books[_BOOKS_SAID:]:
        unseen = sum(is_unseen for _, is_unseen in rest)
        said.append(f"{counted(len(rest), 'book')} more, {unseen} of them not seen")
    return "; ".join(said) or _not_watched(cursor, values)


def _not_watched(cursor: Cursor, values: Mapping[str, Value | None]) -> str | None:
    """That nobody watches the book that is asked about, and which are watched."""
    cursor.execute("select book from marts.book_states order by book")
    watched = [book for (book,) in cursor]
    if not watched:
        return "no book is watched"
    book = values.get("book")
    cursor.execute("select marts.book_named(%s)", (book,))
    [(named,)] = cursor.fetchall()
    if book is None or named in watched:
        return None
    return f"{book} is not watched: watched are {_some(watched)}"


@contextlib.contextmanager
def _perhaps_older(connection: Connection) -> Iterator[Cursor]:
    """A cursor for marts that the version before may not have built yet: then nothing is said."""
    with (
        contextlib.suppress(psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedFunction),
        connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def _as_known(cursor: Cursor, names: KnownNames, where: str, value: Value) -> Value:
    table, column = sql.Identifier(names.table), sql.Identifier(names.column)
    if names.private:
        # There may be millions: one is looked up by index.
        query = sql.SQL("select from marts.{} where {} = %s and status = 'any'")
        cursor.execute(query.format(table, column), (value,))
        if not cursor.rowcount:
            raise UsageError(f"{where}: nobody is known by that name")
        return value
    cursor.execute(sql.SQL("select distinct cast({} as text) from marts.{}").format(column, table))
    known = sorted({name for (name,) in cursor} | _known_without_data(names))
    text = str(value)
    if text in known:
        return value
    for name in known:
        if name.lower() == text.lower():
            return str(name)
    raise UsageError(f"{where}: {text!a} is not known{_suggested(text, known)}")


def _known_without_data(names: KnownNames) -> set[str]:
    if names.also == "watched books":
        return set(get_settings().books)
    return {job.name for job in SCHEDULE} if names.also == "scheduled jobs" else set()


def _suggested(value: str, known: list[str]) -> str:
    if not known:
        return ": nothing is loaded yet"
    with contextlib.suppress(InvalidOperation):
        number = Decimal(value)
        closest = min(known, key=lambda name: abs(Decimal(name) - number))
        return f": did you mean {closest}?"
    return nearest(value, known) or f": known are {_some(known)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def _age_of_day(seconds: float) -> str:
    """How long ago a day was that began so many seconds ago: it is not over yet, or it is."""
    days = int(seconds // 86_400)
    if days > 1:
        return f"{counted(days, 'day')} ago"
    return "yesterday" if days == 1 else "today"


def _day(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _written(moment: date | datetime) -> str:
    if isinstance(moment, datetime):
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
    return moment.isoformat()
