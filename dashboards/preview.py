"""The dashboards as one HTML page that needs nothing else: no server, no network.

The same files and the same SQL as in Metabase, with the filters at their defaults; every tile
shows the same moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import psycopg2
import vl_convert
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from dashboards.answers import Glimpse, Kind, glimpse, reading
from dashboards.charts import Column, heading, missing, warns
from dashboards.definitions import Dashboard, Place, Tile
from dashboards.export import whole_file
from dashboards.known import calm_or_unseen, extent
from dashboards.parameters import Value
from dashboards.questions import Question
from dashboards.vega import is_drawable, specification
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.failures import database_error
from loader.warehouse.postgres.reporting import reporting_now
from loader.warehouse.postgres.statements import statement

# Metabase draws as many rows, and nobody reads more.
CHART_ROWS = 2000
TABLE_ROWS = 500
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
    empty: str = "No rows"
    titles: tuple[tuple[str, Kind], ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    chart: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The name of its question, also where that has no file that can be read."""
        return self.question.name if self.question else self.heading or ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.rows and self.chart is None


@dataclass(frozen=True)
class Sheet:
    """A dashboard as the page draws it."""

    dashboard: Dashboard
    filters: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]


def preview(path: Path, dashboards: Iterable[Dashboard]) -> list[str]:
    """Write the page, whole or not at all; returns what went wrong in tiles, one line each."""
    with reading() as connection:
        hold_marts(connection)
        with connection:
            sheets = [_sheet(connection, dashboard) for dashboard in dashboards]
    with whole_file(path) as out:
        out.write(_page(sheets).encode())
    return [
        f"{sheet.dashboard.name}, {panel.name}: {panel.error}"
        for sheet in sheets
        for panel in sheet.panels
        if panel.error
    ]


def hold_marts(connection: Connection) -> None:
    """Begin the one transaction, in which every query sees the same moment.

    The locks come before its first query, which fixes what it sees: a table that dbt swaps in
    later would be found by its name and look empty, because its rows are newer than that.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(statement(__package__, "held_relations"))
        names = [sql.Identifier("marts", name) for (name,) in cursor]
        connection.commit()
        if names:
            # With a view, Postgres locks what it reads.
            cursor.execute(
                sql.SQL("lock table {} in access share mode").format(sql.SQL(", ").join(names))
            )


def _page(sheets: list[Sheet]) -> str:
    files = resources.files("dashboards") / "page"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((files / "page.html.j2").read_text("utf-8"))
    return template.render(
        sheets=sheets,
        made_at=datetime.now(UTC),
        style=(files / "page.css").read_text("utf-8"),
        script=(files / "page.js").read_text("utf-8"),
        # A script that is quoted in a page must not end it. The argument is optional; its type
        # does not say so.
        library=vl_convert.javascript_bundle().replace("</script", "<\\/script"),  # type: ignore[call-arg]
    )


def _sheet(connection: Connection, dashboard: Dashboard) -> Sheet:
    filters = tuple(
        (chosen.title, _default_in_words(dashboard, name))
        for name, chosen in dashboard.filters.items()
    )
    panels = tuple(_panel(connection, dashboard, tile) for tile in dashboard.tiles)
    return Sheet(dashboard, filters, panels)


def _default_in_words(dashboard: Dashboard, name: str) -> str:
    default = dashboard.default_of(name)
    if default is not None:
        return default
    texts = list(dict.fromkeys(each.default_text for each in dashboard.fed_by(name)))
    return ", or ".join(texts) if len(texts) < 3 else "as each tile says"


def _panel(connection: Connection, dashboard: Dashboard, tile: Tile) -> Panel:
    try:
        question = dashboard.question_of(tile)
    except TerminalError as problem:
        return Panel(tile.at, heading=tile.question, error=str(problem))
    if question is None:
        return Panel(tile.at, heading=tile.heading)
    values = question.bind(dashboard.given_to(tile), lambda: reporting_now("reader"))
    asked = _asked(question, values)
    limit = CHART_ROWS if question.chart else TABLE_ROWS
    with connection.cursor() as cursor:
        cursor.execute("savepoint tile")
        sql = cursor.mogrify(question.statement, values).decode()
        try:
            seen = glimpse(cursor, question, values, limit, latest_first=tile.latest_first)
            # A cursor of its own: in this one times are text.
            with connection.cursor() as another:
                known = extent(another, question, values)
                meant = None if seen.answer.rows else calm_or_unseen(another, question, values)
        except psycopg2.errors.QueryCanceled:
            error = "no answer in time: see WAREHOUSE_QUESTION_TIMEOUT_SECONDS"
        except psycopg2.OperationalError:
            # The server has gone: there is no page to be had.
            raise
        except psycopg2.Error as problem:
            error = str(database_error(problem))
        else:
            shown = _shown(tile, question, asked, sql, seen)
            empty = f"{shown.empty} {meant}" if meant else shown.empty
            return replace(shown, age=known.in_words if known else None, empty=empty)
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
        note=f"The {'latest' if tile.latest_first else 'first'} {shown:,} rows of more"
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
