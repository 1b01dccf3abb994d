"""Tiles as the pages draw them: a question's answer as a table, a figure or a chart.

The same for `dashboards preview`, which writes a file, and for `dashboards serve`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from dashboards.answers import Glimpse, Kind, bound, glimpse
from dashboards.charts import Column, heading, missing, warns
from dashboards.definitions import Place, Tile
from dashboards.known import calm_or_unseen, extent
from dashboards.parameters import Value
from dashboards.questions import Question
from dashboards.vega import is_drawable, specification
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.text import counted

# Metabase draws as many rows, and nobody reads more.
CHART_ROWS = 2000
TABLE_ROWS = 500
NOT_IN_TIME = "no answer in time: see WAREHOUSE_QUESTION_TIMEOUT_SECONDS"
# Enough digits for any numeric of Postgres.
_EXACT = Context(prec=200_000)


@dataclass(frozen=True)
class Cell:
    """What a cell shows, what it is sorted by, and whether it is painted as a warning."""

    text: str
    key: str
    is_warning: bool


@dataclass(frozen=True)
class Panel:
    """A tile as the page draws it."""

    place: Place
    heading: str | None = None
    question: Question | None = None
    asked: str = ""
    sql: str = ""
    error: str | None = None
    note: str | None = None
    age: str | None = None
    # That there are no data of what is asked about: then a figure is none.
    beyond: str | None = None
    empty: str = "No rows"
    titles: tuple[tuple[str, Kind], ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    chart: dict[str, Any] | None = None
    # Whether the chart is drawn over instants: days and names have nothing finer in them.
    is_of_instants: bool = False

    @property
    def name(self) -> str:
        """The name of its question, also where that has no file that can be read."""
        return self.question.name if self.question else self.heading or ""

    @property
    def key(self) -> str:
        """What tells it from the others of its dashboard: as that of its tile."""
        return self.name if self.question or self.error else f"heading-{self.place.row}"

    @property
    def has_rows(self) -> bool:
        """Whether there are rows to look through."""
        return bool(self.rows)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.rows and self.chart is None


def panel_of(
    connection: Connection, tile: Tile, question: Question, values: Mapping[str, Value | None]
) -> Panel:
    """A tile with its answer, within the caller's transaction; what went wrong is its `error`."""
    asked = _asked(question, values)
    limit = CHART_ROWS if question.chart else TABLE_ROWS
    with connection.cursor() as cursor:
        cursor.execute("savepoint tile")
        sql = bound(cursor, question, values)
        try:
            seen = glimpse(cursor, question, values, limit, latest_first=tile.latest_first)
            # A cursor of its own: in this one times are text.
            with connection.cursor() as another:
                known = extent(another, question, values)
                meant = None if seen.answer.rows else calm_or_unseen(another, question, values)
        except psycopg2.errors.QueryCanceled:
            error = NOT_IN_TIME
        except psycopg2.OperationalError:
            # The server has gone: there is no page to be had.
            raise
        except psycopg2.Error as problem:
            error = str(database_error(problem))
        else:
            shown = _shown(tile, question, asked, sql, seen)
            return replace(
                shown,
                age=known.in_words if known else None,
                empty=f"{shown.empty} {meant}" if meant else shown.empty,
                beyond=known.beyond(values) if known else None,
            )
        cursor.execute("rollback to tile")
    return Panel(tile.at, question=question, asked=asked, sql=sql, error=error)


def _asked(question: Question, values: Mapping[str, Value | None]) -> str:
    """The values, each by its name; what was set before what is only described."""
    return ", ".join(
        f"{name.replace('_', ' ')}: "
        + (parameter.default_text if values[name] is None else str(values[name]))
        for name, parameter in sorted(
            question.parameters.items(), key=lambda item: values[item[0]] is None
        )
    )


def _problem(tile: Tile, question: Question, seen: Glimpse) -> str | None:
    """Why an answer cannot be shown as its question and tile want it."""
    columns, chart = seen.answer.columns, question.chart
    named = [*question.columns, *filter(None, [tile.latest_first])]
    for name in missing(chart, named, columns):
        return f"its answer has no column {name!r}"
    kinds = dict(zip(columns, seen.kinds, strict=True))
    numbers = [name for name, look in question.columns.items()
               if look.warn and not isinstance(look.warn.value, str)]  # fmt: skip
    for name in [*(chart.y if chart else ()), *numbers]:
        if kinds[name] != "number":
            return f"its column {name!r} is no number"
    if chart and chart.scale == "time":
        if kinds[chart.x] not in ("date", "instant"):
            return f"its column {chart.x!r} is no time"
        place = columns.index(chart.x)
        if not all(is_drawable(row[place]) for row in seen.answer.rows):
            return f"its column {chart.x!r} has rows without a time that can be drawn"
    return None


def _x_kind(question: Question, seen: Glimpse) -> Kind | None:
    return seen.kinds[seen.answer.columns.index(question.chart.x)] if question.chart else None


def _shown(tile: Tile, question: Question, asked: str, sql: str, seen: Glimpse) -> Panel:
    columns = seen.answer.columns
    if error := _problem(tile, question, seen):
        return Panel(tile.at, question=question, asked=asked, sql=sql, error=error)
    looks = [question.columns.get(name) for name in columns]
    shown = len(seen.answer.rows)
    is_drawn = question.chart is not None and shown > 0
    return Panel(
        tile.at,
        question=question,
        asked=asked,
        sql=sql,
        note=f"The {'latest' if tile.latest_first else 'first'} {counted(shown, 'row')} of more"
        if seen.has_more
        else None,
        empty=tile.empty or Panel.empty,
        titles=tuple(
            (heading(name, look), kind)
            for name, look, kind in zip(columns, looks, seen.kinds, strict=True)
        ),
        rows=()
        if is_drawn
        else tuple(
            tuple(_cell(*each) for each in zip(row, seen.kinds, looks, strict=True))
            for row in seen.answer.rows
        ),
        chart=specification(question, seen) if is_drawn else None,
        is_of_instants=is_drawn and _x_kind(question, seen) == "instant",
    )


def _cell(value: str | int | None, kind: Kind, look: Column | None) -> Cell:
    if value is None:
        return Cell("", "", is_warning=False)
    warn = look.warn if look else None
    is_warning = warn is not None and warns(warn, value)
    if kind == "number":
        return Cell(_number(value, look), str(value), is_warning)
    if kind == "instant":
        # A table shows whole seconds; the fractions are in the SQL and in `dashboards ask`.
        return Cell(str(value)[:19].replace("T", " "), str(value), is_warning)
    text = ("yes" if value else "no") if kind == "flag" else str(value)
    return Cell(text, text, is_warning)


def _number(value: str | int, look: Column | None) -> str:
    number = Decimal(value)
    if look and look.decimals is not None and number.is_finite():
        number = number.quantize(Decimal(1).scaleb(-look.decimals), ROUND_HALF_UP, _EXACT)
    return f"{number:,f}"
