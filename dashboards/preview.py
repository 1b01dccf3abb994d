"""The dashboards as one HTML page that needs nothing else: no server, no network.

The same files and the same SQL as in Metabase, with the filters at their defaults; every tile
shows the same moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from dashboards.answers import reading
from dashboards.definitions import Dashboard, Tile
from dashboards.export import whole_file
from dashboards.panels import Panel, panel_of
from dashboards.rendering import library, own_file, template
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.reporting import reporting_now
from loader.warehouse.postgres.statements import statement


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
    return template("page.html.j2").render(
        sheets=sheets,
        made_at=datetime.now(UTC),
        style=own_file("page.css"),
        script=own_file("page.js"),
        # A script that is quoted in a page must not end it.
        library=library().replace("</script", "<\\/script"),
    )


def _sheet(connection: Connection, dashboard: Dashboard) -> Sheet:
    filters = tuple(
        (chosen.title, dashboard.default_in_words(name))
        for name, chosen in dashboard.filters.items()
    )
    panels = tuple(_panel(connection, dashboard, tile) for tile in dashboard.tiles)
    return Sheet(dashboard, filters, panels)


def _panel(connection: Connection, dashboard: Dashboard, tile: Tile) -> Panel:
    try:
        question = dashboard.question_of(tile)
    except TerminalError as problem:
        return Panel(tile.at, heading=tile.question, error=str(problem))
    if question is None:
        return Panel(tile.at, heading=tile.heading)
    values = question.bind(dashboard.given_to(tile), lambda: reporting_now("reader"))
    return panel_of(connection, tile, question, values)
