"""One tile by itself, as a piece of a page; one answer as a file."""

import contextlib
import io
import logging
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, TextIO, cast
from urllib.parse import urlencode

import psycopg2
from psycopg2.extensions import connection as Connection

from dashboards import formats
from dashboards.answers import bound
from dashboards.definitions import Dashboard, Tile
from dashboards.known import as_known
from dashboards.panels import NOT_IN_TIME, Panel, panel_of
from dashboards.questions import Question
from dashboards.rendering import template
from dashboards.serve.chosen import Chosen, bound_values
from dashboards.serve.zoom import stretches
from loader.warehouse.errors import WarehouseError
from loader.warehouse.postgres.failures import known_error

log = logging.getLogger(__name__)
# The formats that a browser gets, and their types.
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_PIECE = 1 << 16


@dataclass(frozen=True)
class Zoom:
    """A link into a part of a chart; from and to in seconds since 1970, for the script."""

    label: str
    href: str
    first: int
    last: int


def tile_page(connection: Connection, dashboard: Dashboard, tile: Tile, chosen: Chosen) -> str:
    """The inside of a tile. Raises UsageError for values that its question does not take."""
    question = dashboard.question_of(tile)
    assert question
    given = dashboard.given_to(tile, chosen.given)
    values = as_known(connection, question, bound_values(connection, question, given))
    with connection:
        panel = panel_of(connection, tile, question, values)
    # Its parameters by name: `from` and `to` as they were typed, so that the link stays true.
    query = urlencode(given)
    return template("live_tile.html.j2").render(
        panel=_discreet(panel),
        zooms=list(_zooms(dashboard, panel, chosen)),
        files={form: f"/questions/{question.name}.{form}?{query}".rstrip("?") for form in TYPES},
        asked_at=datetime.now(UTC),
    )


def numbered(error: Exception, what: str) -> str:
    """A number for an error, by which the log names it: its text may hold data."""
    number = secrets.token_hex(4)
    told = known_error(error) if isinstance(error, WarehouseError | psycopg2.Error) else repr(error)
    log.error("error %s: %s: %s", number, what, told)
    return f"error {number}, which the log of the server explains"


def written(
    connection: Connection, question: Question, given: dict[str, str], form: str
) -> IO[bytes]:
    """A whole answer in one of the formats, in a file without a name."""
    values = as_known(connection, question, bound_values(connection, question, given))
    with connection, connection.cursor() as cursor:
        query = bound(cursor, question, values)
    with contextlib.ExitStack() as kept:
        out = kept.enter_context(tempfile.TemporaryFile())
        text = io.TextIOWrapper(out, "utf-8", write_through=True)
        formats.write(connection, query, form, cast(TextIO, text))
        text.detach()
        out.seek(0)
        kept.pop_all()
    return out


def pieces(out: IO[bytes]) -> Iterator[bytes]:
    """What is in a file, which is closed at the end."""
    with out:
        while piece := out.read(_PIECE):
            yield piece


def _discreet(panel: Panel) -> Panel:
    if panel.error is None or panel.error == NOT_IN_TIME:
        return panel
    number = numbered(WarehouseError(panel.error), panel.name)
    return replace(panel, error=f"It cannot be answered: {number}")


def _zooms(dashboard: Dashboard, panel: Panel, chosen: Chosen) -> Iterator[Zoom]:
    if not {"from", "to"} <= dashboard.filters.keys():
        return
    for each in stretches(panel):
        first, last = (
            moment.isoformat().replace("+00:00", "Z") for moment in (each.first, each.last)
        )
        query = chosen.query(**{"from": first, "to": last})
        yield Zoom(
            each.label,
            f"/dashboards/{dashboard.name}?{query}",
            int(each.first.timestamp()),
            int(each.last.timestamp()),
        )
