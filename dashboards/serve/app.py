"""The addresses that the live page has, and what is behind each.

/                                       the first dashboard
/dashboards/NAME?filter=value           a page: head, filters and the places of its tiles
/dashboards/NAME/tiles/QUESTION?...     the inside of one tile
/dashboards/NAME/places.css             where its tiles lie
/market                                 the head by itself, for a refresh
/questions/QUESTION.csv|json?...        an answer as a file
/static/FILE                            style and scripts
/healthz                                whether there is an answer to be had
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

import psycopg2
from psycopg2.extensions import connection as Connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from dashboards.definitions import Dashboard, load_dashboards
from dashboards.questions import load_questions
from dashboards.rendering import library, own_file, template
from dashboards.serve import tiles
from dashboards.serve.chosen import PACES, Chosen, check, chosen_in, typed_in
from dashboards.serve.filters import fields, names_to_choose
from dashboards.serve.market import BookNow, market_now
from dashboards.serve.pool import Flights, ReaderPool
from loader.warehouse.errors import NotFoundError, UsageError, WarehouseError
from loader.warehouse.postgres.sample import SAMPLE
from loader.warehouse.settings import get_settings
from loader.warehouse.text import nearest, one_line, quoted

CONNECTIONS = 4
# A page does not wait longer for its head.
HEAD_SECONDS = 2.0
_STATIC: dict[str, tuple[str, Callable[[], str]]] = {
    "page.css": ("text/css", lambda: own_file("page.css")),
    "page.js": ("text/javascript", lambda: own_file("page.js")),
    "live.js": ("text/javascript", lambda: own_file("live.js")),
    "vega.js": ("text/javascript", library),
}


class LivePage:
    """The page's state: connections, and what is being asked.

    Heads have a connection of their own, so that no tile holds a page.
    """

    def __init__(self) -> None:
        self._tiles = ReaderPool(CONNECTIONS, "tile")
        self._heads = ReaderPool(1, "head")
        self._flights = Flights()

    def close(self) -> None:
        """End what is asked."""
        self._tiles.close()
        self._heads.close()

    async def page(self, request: Request) -> Response:
        """A dashboard, its tiles still to come."""
        try:
            dashboard = _dashboard(request)
        except NotFoundError as error:
            if not _is_shown(request):
                raise
            return _missing(one_line(str(error)))
        pairs = request.query_params.multi_items()
        try:
            chosen = chosen_in(dashboard, pairs)
            market, problem = await self._head(partial(check, dashboard=dashboard, chosen=chosen))
        except UsageError as error:
            if not _is_shown(request):
                raise
            # Who typed it has the form again, with what was typed in it.
            market, problem = await self._head()
            typed = typed_in(dashboard, pairs)
            return _drawn(dashboard, typed, {}, market, problem, refused=one_line(str(error)))
        names = {} if problem else await self._names(dashboard)
        return _drawn(dashboard, chosen, names, market, problem)

    async def market(self, _request: Request) -> Response:
        """The head by itself."""
        return HTMLResponse(template("market.html.j2").render(_market(*await self._head())))

    async def tile(self, request: Request) -> Response:
        """The inside of one tile."""
        dashboard = _dashboard(request)
        name = request.path_params["question"]
        tile = next((each for each in dashboard.tiles if each.question == name), None)
        if tile is None:
            asked = [each.question for each in dashboard.tiles if each.question]
            raise NotFoundError(f"{dashboard.name} has no tile {name!a}{nearest(name, asked)}")
        chosen = chosen_in(dashboard, request.query_params.multi_items())
        work = partial(tiles.tile_page, dashboard=dashboard, tile=tile, chosen=chosen)
        key = (dashboard.name, name, chosen)
        page, known_for = await self._flights.answer(key, partial(self._tiles.run, work))
        return HTMLResponse(page, headers={"Age": f"{known_for:.0f}"})

    async def file(self, request: Request) -> Response:
        """An answer, to be kept."""
        name, form = request.path_params["question"], request.path_params["form"]
        question = load_questions().get(name)
        if question is None or form not in tiles.TYPES:
            known = [f"{each}.{kind}" for each in load_questions() for kind in tiles.TYPES]
            wrong = f"{name}.{form}"
            raise NotFoundError(f"there is no {wrong!a}{nearest(wrong, known)}")
        given = {key: text for key, text in request.query_params.multi_items() if text}
        work = partial(tiles.written, question=question, given=given, form=form)
        out = await self._tiles.run(work)
        disposition = f'attachment; filename="{name}.{form}"'
        return StreamingResponse(
            tiles.pieces(out),
            media_type=tiles.TYPES[form],
            headers={"Content-Disposition": disposition},
        )

    async def health(self, _request: Request) -> Response:
        """Whether Postgres answers."""
        _, problem = await self._head()
        return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)

    async def _head(
        self, checked: Callable[[Connection], None] | None = None
    ) -> tuple[tuple[BookNow, ...], str | None]:
        """The watched books, or why they are not known. Lets UsageError through."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                if checked:
                    await self._heads.run(checked)
                asked = partial(self._heads.run, market_now)
                return (await self._flights.answer("market", asked))[0], None
        except UsageError:
            raise
        except TimeoutError:
            return (), "no answer in time"
        except Exception as error:  # noqa: BLE001 (whatever it is, the page says what it knows)
            return (), tiles.numbered(error, "the market now")

    async def _names(self, dashboard: Dashboard) -> Mapping[str, list[str]]:
        """What may be chosen for the filters; nothing where it takes too long."""
        asked = partial(self._heads.run, partial(names_to_choose, dashboard=dashboard))
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                return (await self._flights.answer(("names", dashboard.name), asked))[0]
        except Exception as error:  # noqa: BLE001 (any value can be typed)
            tiles.numbered(error, "what may be chosen")
            return {}


def routes(page: LivePage) -> Starlette:
    """The app."""
    return Starlette(
        routes=[
            Route("/", _first),
            Route("/dashboards/{name}", page.page),
            Route("/dashboards/{name}/tiles/{question}", page.tile),
            Route("/dashboards/{name}/places.css", _places),
            Route("/market", page.market),
            Route("/questions/{question}.{form}", page.file),
            Route("/static/{file}", _static),
            Route("/healthz", page.health),
            # A browser that shows one line asks for it.
            Route("/favicon.ico", lambda _request: Response(status_code=204)),
        ],
        exception_handlers={
            UsageError: _told(400),
            NotFoundError: _told(404),
            HTTPException: _http_error,
            WarehouseError: _fault,
            psycopg2.Error: _fault,
            Exception: _fault,
        },
    )


def _drawn(
    dashboard: Dashboard,
    chosen: Chosen,
    names: Mapping[str, list[str]],
    market: tuple[BookNow, ...],
    problem: str | None,
    refused: str | None = None,
) -> HTMLResponse:
    """A dashboard with what is chosen, or with why that cannot be."""
    return HTMLResponse(
        template("live.html.j2").render(
            dashboards=load_dashboards().values(),
            dashboard=dashboard,
            questions=load_questions(),
            chosen=chosen,
            paces=PACES,
            fields=fields(dashboard, chosen, names),
            is_sample=get_settings().db == SAMPLE,
            refused=refused,
            **_market(market, problem),
        ),
        400 if refused else 200,
    )


def _missing(reason: str) -> HTMLResponse:
    """The way to what there is, for who has typed another address."""
    shown = template("live_missing.html.j2").render(
        dashboards=load_dashboards().values(), dashboard=None, reason=reason
    )
    return HTMLResponse(shown, 404)


def _is_shown(request: Request) -> bool:
    """Whether a browser shows the answer to somebody: a program reads one line."""
    return "text/html" in request.headers.get("accept", "")


def _market(books: tuple[BookNow, ...], problem: str | None) -> dict[str, object]:
    return {"books": books, "problem": problem, "asked_at": datetime.now(UTC)}


def _dashboard(request: Request) -> Dashboard:
    name, known = request.path_params["name"], load_dashboards()
    if name not in known:
        raise NotFoundError(f"no such dashboard: {name!a}{nearest(name, known)}")
    return known[name]


async def _first(_request: Request) -> Response:
    return RedirectResponse(f"/dashboards/{next(iter(load_dashboards()))}")


async def _places(request: Request) -> Response:
    text = template("places.css.j2").render(dashboard=_dashboard(request))
    return _cached(request, text, "text/css")


async def _static(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in _STATIC:
        raise NotFoundError(f"there is no file {name!a}{nearest(name, _STATIC)}")
    kind, text = _STATIC[name]
    return _cached(request, text(), kind)


def _cached(request: Request, text: str, kind: str) -> Response:
    """A file that a browser keeps for as long as it stays the same."""
    body = text.encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)


def _told(status: int) -> Callable[[Request, Exception], Response]:
    """An answer with the words of an error that is ours, and of who asked."""
    return lambda _request, error: PlainTextResponse(f"{one_line(str(error))}\n", status)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and _is_shown(request):
        return _missing(f"there is nothing at {quoted(request.url.path)}")
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


def _fault(request: Request, error: Exception) -> Response:
    said = tiles.numbered(error, request.url.path)
    return PlainTextResponse(f"it cannot be answered: {said}\n", 503)
