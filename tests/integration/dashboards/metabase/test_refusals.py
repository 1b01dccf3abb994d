"""What the stand-in for Metabase refuses, and in which words.

A test of `dashboards apply` is worth as much as the stand-in is strict: each wrong request goes
to it over HTTP, and leaves nothing behind.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.metabase import permissions, rig
from tests.metabase.permissions import NATIVE
from tests.metabase.rig import Json
from tests.metabase.world import (
    World,
    metrics,
    parameter,
    set_up,
    tag,
    timeseries,
    without,
)

Body = Callable[[World], Any]
CARD, BOARD = "post /api/card", "put /api/dashboard/{board}"
GRAPH = "put /api/permissions/graph"

TAKEN: dict[str, tuple[str, Body]] = {
    "a table": (CARD, lambda w: w.new_card()),
    "a chart": (CARD, lambda w: w.chart(**timeseries("day"))),
    "a scalar": (CARD, lambda w: w.new_card("select 1 as one", display="scalar")),
    "legacy": (CARD, lambda w: w.new_card(dataset_query={
        "type": "native", "database": w.database, "native": {"query": "select 1 as one"}})),
    "a list of tags": (CARD, lambda w: w.new_card(dataset_query=w.query(
        "select {{book}}::text as b", [tag("book", default="x")]))),
    "a collection by entity id": (CARD, lambda w: w.new_card(
        collection_id=w.metabase.state.data["collections"][str(w.collection)]["entity_id"])),
    "tiles": (BOARD, lambda w: w.tiles()),
    "a heading": (BOARD, lambda w: w.tiles(w.new_tile(), {
        "id": -2, "card_id": None, "row": 6, "col": 0, "size_x": 24, "size_y": 1,
        "visualization_settings": {"virtual_card": {"display": "heading"}, "text": "Day"}})),
    "less for everybody": (GRAPH, lambda w: granted(w, {"create-queries": "no"})),
    "a collection to read": ("put /api/collection/graph", lambda w: {
        "revision": 1, "groups": {str(permissions.EVERYONE): {str(w.collection): "read"}}}),
    "one place on two tabs": (BOARD, lambda w: w.tiles(
        w.new_tile(dashboard_tab_id=-1), w.new_tile(id=-2, dashboard_tab_id=-2),
        tabs=[{"id": -1, "name": "A"}, {"id": -2, "name": "B"}])),
}  # fmt: skip

# Refused as Metabase does, or where Metabase takes it and then shows nothing or the wrong thing.
REFUSED: dict[str, tuple[str, Body, int, str]] = {
    # endpoints
    "alerts of old": ("post /api/alert", lambda _: {}, 404, "API endpoint does not exist."),
    "an alert of old": ("put /api/alert/1", lambda _: {}, 404, "API endpoint does not exist."),
    "a card added to a dashboard": (
        "post /api/dashboard/{board}/cards", lambda w: {"cardId": w.card}, 404, "does not exist"),
    "cards of a dashboard": (
        "put /api/dashboard/{board}/cards", lambda _: {"cards": []}, 404, "does not exist"),
    "metrics of old": ("get /api/legacy-metric", lambda _: None, 404, "does not exist"),
    "a deletion": ("delete /api/card/{card}", lambda _: None, 404, "does not exist"),
    "a notification": ("post /api/notification", lambda _: {}, 501, "has no /api/notification"),
    "a channel": ("post /api/channel", lambda _: {}, 501, "provisioning does not use it"),
    "a setting": (
        "put /api/setting/report-timezone", lambda _: {"value": "UTC"}, 501, "does not use it"),
    "an unknown question": ("get /api/card?archived=true", lambda _: None, 400, "unknown query"),
    "a query for all cards": ("get /api/card?f=mine", lambda _: None, 400, "f"),
    "a body where none is": (
        "post /api/database/{database}/sync_schema", lambda _: {"a": 1}, 400, "none is declared"),
    "no body": (CARD, lambda _: None, 400, "Malformed JSON"),
    # keys, at every level
    "a mistyped key": (
        CARD, lambda w: w.new_card(visualisation_settings={}), 400, "visualisation_settings"),
    "a key of a query": (
        CARD, lambda w: w.new_card(dataset_query=w.query() | {"info": {}}), 400, "dataset_query"),
    "a key of a stage": (
        CARD, lambda w: w.new_card(dataset_query=w.query(query="select 1")), 400, "dataset_query"),
    "a key of a tag": (
        CARD, lambda w: tagged(w, label="Book"), 400, "dataset_query"),
    "a key of a parameter": (
        BOARD, lambda w: w.filtered(parameter(section="string")), 400, "section"),
    "a key of a tile": (BOARD, lambda w: w.tiles(w.new_tile(sizeX=4)), 400, "sizeX"),
    "a key of a mapping": (BOARD, lambda w: w.tiles(w.remapped(cardId=1)), 400, "cardId"),
    "a key of a dashboard": (BOARD, lambda _: {"ordered_cards": []}, 400, "ordered_cards"),
    "tiles of a new dashboard": (
        "post /api/dashboard", lambda w: {"name": "B", **w.tiles()}, 400, "dashcards"),
    "filters of a new dashboard": (
        "post /api/dashboard", lambda _: {"name": "B", "parameters": [parameter()]}, 400,
        "come with the dashcards"),
    "a colour": ("post /api/collection", lambda _: {"name": "C", "color": "#fff"}, 400, "color"),
    "a detail": (
        "post /api/database", lambda w: database(w, details=w.details | {"db": "x"}), 400, "db"),
    # what must be there, and what must not be null or empty
    "no display": (CARD, lambda w: without(w.new_card(), "display"), 400, "'display' is a requ"),
    "no settings": (
        CARD, lambda w: without(w.new_card(), "visualization_settings"), 400, "required"),
    "no query": (CARD, lambda w: without(w.new_card(), "dataset_query"), 400, "required"),
    "no size": (BOARD, lambda w: w.tiles(without(w.new_tile(), "size_x")), 400, "'size_x' is a"),
    "no name of a tag": (
        CARD, lambda w: w.new_card(dataset_query=w.query(
            tags={"book": without(tag("book"), "display-name")})), 400,
        "dataset_query"),
    "a null name": (CARD, lambda w: w.new_card(name=None), 400, "name"),
    "a null that changes nothing": (
        "put /api/card/{card}", lambda _: {"name": None}, 400, "null changes nothing"),
    "null tiles": (BOARD, lambda _: {"dashcards": None}, 400, "null changes nothing"),
    "an empty description": (CARD, lambda w: w.new_card(description=""), 400, "description"),
    "an empty description of a collection": (
        "post /api/collection", lambda _: {"name": "C", "description": " "}, 400, "description"),
    "an unknown type of filter": (
        BOARD, lambda w: w.filtered(parameter(type="string")), 400, "'string' is not one of"),
    "an unknown width": (BOARD, lambda w: w.tiles(width="wide"), 400, "'wide' is not one of"),
    "an unknown schema filter": (
        "post /api/database",
        lambda w: database(w, details=w.details | {"schema-filters-type": "some"}), 400, "'some'"),
    # accounts and connections
    "a second set-up": ("post /api/setup", lambda _: set_up("token"), 403, "first user"),
    "a wrong password": (
        "post /api/session", lambda _: {"username": rig.EMAIL, "password": "no"}, 401,
        "did not match stored password"),
    "a key for no group": (
        "post /api/api-key", lambda _: {"name": "k", "group_id": 9}, 404, "Not found."),
    "another engine": (
        "post /api/database", lambda w: database(w, engine="mysql"), 400, "not to mysql"),
    "a licence": ("post /api/database", lambda w: database(w, cache_ttl=5), 402, "paid feature"),
    "a schema that is excluded": (
        "post /api/database",
        lambda w: database(w, details=w.details | {"schema-filters-type": "exclusion"}), 400,
        "excludes none"),
    "a connection that fails": (
        "post /api/database", lambda w: database(w, details=w.details | {"password": "no"}), 400,
        "cannot connect"),
    "a connection changed so that it fails": (
        "put /api/database/{database}", lambda w: {"details": w.details | {"dbname": "no"}}, 400,
        "cannot connect"),
    "a connection with SSL": (
        "put /api/database/{database}", lambda w: {"details": w.details | {"ssl": True}}, 400,
        "SSL"),
    "a database of the same name": (
        "post /api/database", lambda w: database(w, name="W"), 400, "is there already"),
    "a database that is not there": (
        "post /api/database/99/sync_schema", lambda _: None, 404, "Not found."),
    # queries
    "an empty query": (CARD, lambda w: w.new_card(dataset_query={}), 400, "dataset_query"),
    "no database": (
        CARD, lambda w: w.new_card(dataset_query=without(w.query(), "database")), 400,
        "dataset_query"),
    "an unknown database": (
        CARD, lambda w: w.new_card(dataset_query=w.query() | {"database": 99}), 400,
        "database 99 does not exist"),
    "both forms at once": (
        CARD, lambda w: w.new_card(dataset_query=w.query() | {"native": {"query": "select 1"}}),
        400, "dataset_query"),
    "two stages": (
        CARD, lambda w: w.new_card(dataset_query=w.query() | {"stages": 2 * w.query()["stages"]}),
        400, "dataset_query"),
    "a query that is not native": (
        "post /api/dataset",
        lambda w: {"type": "query", "database": w.database, "query": {"source-table": 1}}, 400,
        "'native' was expected"),
    "a tag under another name": (
        CARD, lambda w: tagged(w, name="books"), 400, "'book' is named 'books'"),
    "a tag that is not there": (
        CARD, lambda w: w.new_card("select {{other}} as one"), 400, "no tag for {{other}}"),
    "a tag that is not used": (
        CARD, lambda w: w.new_card(dataset_query=w.query(
            "select 1 as one", {"book": tag("book")})), 400,
        "'book' is nowhere in the SQL"),
    "a snippet": (
        CARD, lambda w: w.new_card("select {{snippet: x}}"), 400, "no tag for {{snippet: x}}"),
    "another card": (CARD, lambda w: w.new_card("select * from {{#1}}"), 400, "{{#1}}"),
    "a field filter": (
        CARD, lambda w: tagged(
            w, type="dimension", dimension=["field", 1, None], **{"widget-type": "category"}),
        400, "knows no dimension tags"),
    "a field filter without a widget": (
        CARD, lambda w: tagged(w, type="dimension", dimension=["field", 1, None]), 400,
        "dataset_query"),
    "a tag's id that is none": (CARD, lambda w: tagged(w, id="book"), 400, "is no UUID"),
    "two tags of one id": (
        CARD, lambda w: w.new_card(dataset_query=w.query(tags={
            "book": tag("book", default="x"), "day": tag("book", name="day", type="date")})),
        400, "two have the id"),
    "two tags of one name": (
        CARD, lambda w: w.new_card(dataset_query=w.query(
            "select {{book}} as b", [tag("book"), tag("book")])), 400,
        "two have the name 'book'"),
    "brackets that do not match": (
        CARD, lambda w: w.new_card("select 1 as one [[where {{book}} = 'a'"), 400,
        "[[ and ]] do not match"),
    "brackets within brackets": (
        CARD, lambda w: w.new_card("select 1 as one [[where [[{{book}} = 'a']] ]]"), 400,
        "[[ and ]] do not match"),
    # SQL
    "a table that is not there": (
        CARD, lambda w: w.new_card("select * from marts.no"), 400, "does not exist"),
    "a table it may not read": (
        CARD, lambda w: w.new_card("select * from raw.bitso_tickers"), 400, "permission denied"),
    "an optional part that is wrong": (
        CARD, lambda w: w.new_card("select 1 as one [[where no = {{book}}]]"), 400,
        'column "no" does not exist'),
    "a required tag with no value": (
        CARD, lambda w: tagged(w, default=None, required=True), 400, "need to pick a value"),
    "a required tag in an optional part": (
        CARD, lambda w: w.new_card(dataset_query=w.query(
            "select 1 as one [[where {{book}} = 'x']]",
            {"book": tag("book", required=True)})), 400,
        "need to pick a value"),
    "two statements": (CARD, lambda w: w.new_card("select 1; select 2"), 400, "syntax error"),
    "a write": (CARD, lambda w: w.new_card("delete from marts.user_logins"), 400, "syntax error"),
    "a write within": (
        CARD, lambda w: w.new_card("with d as (delete from marts.user_logins returning 1) table d"),
        400, "top level"),
    "a write by a function": (
        CARD, lambda w: w.new_card("select nextval('raw.no')"), 400, "permission denied"),
    # places and names
    "an unknown collection": (
        CARD, lambda w: w.new_card(collection_id=99), 404, "Not found."),
    "a collection in the trash": (
        CARD, lambda w: w.new_card(collection_id=w.bin), 400, "is in the trash"),
    "a parent in the trash": (
        "post /api/collection", lambda w: {"name": "C", "parent_id": w.bin}, 400,
        "is in the trash"),
    "an unknown parent": (
        "post /api/collection", lambda _: {"name": "C", "parent_id": 99}, 404, "Not found."),
    "a card of the same name": (
        CARD, lambda w: w.new_card(name="Card"), 400, "'Card' is there already"),
    "a dashboard of the same name": (
        "post /api/dashboard", lambda w: {"name": "Board", "collection_id": w.collection}, 400,
        "'Board' is there already"),
    "a collection of the same name": (
        "post /api/collection", lambda _: {"name": "Ours"}, 400, "'Ours' is there already"),
    "an entity id that is none": (CARD, lambda w: w.new_card(entity_id="e"), 400, "entity_id"),
    "tiles of a dashboard in the trash": (
        "put /api/dashboard/{gone}", lambda w: {"archived": False, **w.tiles()}, 404,
        "The object has been archived."),
    "permissions of another revision": (
        GRAPH, lambda _: {"revision": 99, "groups": {}}, 409, "someone else edited"),
    "collections of another revision": (
        "put /api/collection/graph", lambda _: {"revision": 99, "groups": {}}, 409,
        "someone else edited"),
    "permissions of nothing": (GRAPH, lambda _: {"revision": 1}, 400, "'groups' is a required"),
    "an unknown permission": (
        GRAPH, lambda w: granted(w, {"native": "write"}), 400, "'native' was"),
    "an unknown right": (
        GRAPH, lambda w: granted(w, {"create-queries": "write"}), 400, "is not valid"),
    "native SQL for a schema": (
        GRAPH, lambda w: granted(w, {"create-queries": {"marts": NATIVE}}), 400, "not valid"),
    "blocking": (GRAPH, lambda w: granted(w, {"view-data": "blocked"}), 402, "a paid feature"),
    "native SQL of nothing": (
        GRAPH, lambda w: granted(w, {"view-data": "blocked", "create-queries": NATIVE}), 400,
        "may write no SQL"),
    "the data model of its own group": (
        GRAPH, lambda w: granted(w, {"data-model": {}}, permissions.ANALYSTS), 400,
        "what Data Analysts are for"),
    "less for administrators": (
        GRAPH, lambda w: granted(w, {"create-queries": "no"}, permissions.ADMINISTRATORS), 400,
        "no group whose rights"),
    "a group that is not there": (
        GRAPH, lambda w: granted(w, {"create-queries": "no"}, 99), 400, "no group whose"),
    "a group by name": (
        GRAPH, lambda _: {"revision": 1, "groups": {"All": {}}}, 400, "does not match"),
    "rights over no database": (
        GRAPH, lambda _: {"revision": 1, "groups": {str(permissions.EVERYONE): {
            "99": {"create-queries": "no"}}}}, 400, "no database 99"),
    "rights in no collection": (
        "put /api/collection/graph", lambda _: {"revision": 1, "groups": {
            str(permissions.EVERYONE): {"99": "read"}}}, 400, "no collection 99"),
    "a right that collections have not": (
        "put /api/collection/graph", lambda _: {"revision": 1, "groups": {
            str(permissions.EVERYONE): {"root": "curate"}}}, 400, "is not one of"),
    "choices of a filter that is not there": (
        "get /api/dashboard/{board}/params/no/values", lambda _: None, 404, "Not found."),
    "what lives in the trash": (
        "get /api/collection/900002/items", lambda _: None, 400, "in the trash is archived"),
    "a change by entity id": (
        f"put /api/card/{'e' * 21}", lambda _: {"name": "N"}, 400, "must be an integer"),
    "a card inside of a dashboard": (
        CARD, lambda w: w.new_card(dashboard_id=w.board), 400, "does not know it"),
    "a model": (CARD, lambda w: w.new_card(type="model"), 400, "knows no model"),
    "an official collection": (
        "post /api/collection", lambda _: {"name": "C", "authority_level": "official"}, 400,
        "does not know it"),
    # tiles
    "two tiles of one id": (
        BOARD, lambda w: w.tiles(w.new_tile(), w.new_tile(row=6)), 400, "two have the id -1"),
    "a tile without width": (BOARD, lambda w: w.tiles(w.new_tile(size_x=0)), 400, "minimum of 1"),
    "a tile off the grid": (
        BOARD, lambda w: w.tiles(w.new_tile(col=13)), 400, "-1 is off the grid"),
    "tiles that overlap": (
        BOARD, lambda w: w.tiles(w.new_tile(), w.new_tile(id=-2, row=5)), 400, "-2 overlaps -1"),
    "a tile of another dashboard": (
        BOARD, lambda w: w.tiles(w.new_tile(id=999)), 400, "999 is not of this dashboard"),
    "a tile without a tab": (
        BOARD, lambda w: w.tiles(tabs=[{"id": -1, "name": "A"}]), 400,
        "makes sure every card has a tab"),
    "a tile of an unknown tab": (
        BOARD, lambda w: w.tiles(w.new_tile(dashboard_tab_id=7)), 400, "has no tab 7"),
    "a tab of another dashboard": (
        BOARD, lambda w: w.tiles(tabs=[{"id": 999, "name": "A"}]), 400, "not of this dashboard"),
    "tabs without tiles": (
        BOARD, lambda _: {"tabs": [{"id": -1, "name": "A"}]}, 400, "together with dashcards"),
    "a series": (
        BOARD, lambda w: w.tiles(w.new_tile(series=[{"id": 1}])), 400, "knows no series"),
    "an unknown card": (BOARD, lambda w: w.tiles(w.new_tile(card_id=99)), 404, "Not found."),
    "a card in the trash": (
        BOARD, lambda w: w.tiles(w.new_tile(card_id=w.trashed)), 404, "Not found."),
    "a tile of nothing": (
        BOARD, lambda w: w.tiles(w.new_tile(card_id=None)), 400, "neither a card nor"),
    "a heading without text": (
        BOARD, lambda w: w.tiles(w.new_tile(card_id=None, visualization_settings={
            "virtual_card": {"display": "heading"}})), 400, "has no text"),
    "a setting of a tile": (
        BOARD, lambda w: w.tiles(w.new_tile(visualization_settings={"card.titel": "x"})), 400,
        "'card.titel' is no setting of a tile"),
    # filters
    "an unknown filter": (
        BOARD, lambda w: w.tiles(w.remapped(parameter_id="no")), 400, "has no parameter 'no'"),
    "a mapping without card": (
        BOARD, lambda w: w.tiles(w.remapped(card_id=None)), 400, "is ignored"),
    "a mapping of another card": (
        BOARD, lambda w: w.tiles(w.remapped(card_id=99)), 400, "is ignored"),
    "a mapping to no tag": (
        BOARD, lambda w: w.tiles(w.remapped(target=["variable", ["template-tag", "no"]])), 400,
        "the card has no tag 'no'"),
    "a mapping to a tag's id": (
        BOARD, lambda w: w.tiles(w.remapped(target=["variable", ["template-tag", {"id": "x"}]])),
        400, "the card has no tag"),
    "a mapping to a field": (
        BOARD, lambda w: w.tiles(w.remapped(target=["dimension", ["template-tag", "book"]])), 400,
        "a variable, not a dimension"),
    "a filter of another kind": (
        BOARD, lambda w: w.filtered(parameter(type="date/range")), 400,
        "date/range is not for a text tag"),
    "a filter of nothing": (
        BOARD, lambda w: w.filtered(parameter(), parameter(id="b", slug="b")), 400,
        "'b' is mapped to nothing"),
    "two filters of one id": (
        BOARD, lambda w: w.filtered(parameter(), parameter(slug="b")), 400, "two have the id"),
    "two filters of one slug": (
        BOARD, lambda w: w.filtered(parameter(), parameter(id="b")), 400, "two have the slug"),
    "a default that is not in the list": (
        BOARD, lambda w: w.filtered(parameter(default=["c"], values_source_type="static-list",
            values_source_config={"values": ["a", "b"]})), 400, "default 'c' is not in its list"),
    "values of no card": (
        BOARD, lambda w: w.filtered(parameter(values_source_type="card",
            values_source_config={"card_id": 99, "value_field": ["field", "b", None]})), 400,
        "a card that does not exist"),
    "values of no column": (
        BOARD, lambda w: w.filtered(parameter(values_source_type="card",
            values_source_config={"card_id": w.card, "value_field": ["field", "b", None]})), 400,
        "a column that is not there"),
    "a card's filter of no tag": (
        CARD, lambda w: w.new_card(parameters=[parameter(
            target=["variable", ["template-tag", "no"]])]), 400, "the card has no tag 'no'"),
    "a card's filter of nothing": (
        CARD, lambda w: w.new_card(parameters=[parameter()]), 400, "has no target"),
    # looks
    "an unknown display": (
        CARD, lambda w: w.new_card(display="linechart"), 400, "'linechart' is no display"),
    "a setting of another display": (
        CARD, lambda w: w.new_card(visualization_settings={"graph.metrics": ["users"]}), 400,
        "'graph.metrics' is no setting of a table"),
    "a column that is not there": (
        CARD, lambda w: w.chart(**metrics("user")), 400, "returns no column 'user'"),
    "a column's key that is not JSON": (
        CARD, lambda w: w.chart(column_settings={"users": {}}), 400, '["name", column]'),
    "a time axis of no time": (
        CARD, lambda w: w.chart(**timeseries("book")), 400,
        "'book' is no time"),
    "two axes and two series": (
        CARD, lambda w: w.chart(
            **metrics("users", "book"), **{"graph.dimensions": ["day", "book"]}), 400,
        "two dimensions and several metrics"),
    "a column of a table that is not there": (
        CARD, lambda w: w.new_card(visualization_settings={
            "table.columns": [{"name": "dai", "enabled": True}]}), 400, "no column 'dai'"),
    "a colour of a column that is not there": (
        CARD, lambda w: w.new_card(visualization_settings={
            "table.column_formatting": [{"columns": ["dai"]}]}), 400, "no column 'dai'"),
    "a scalar of a column that is not there": (
        CARD, lambda w: w.new_card("select 1 as one", display="scalar", visualization_settings={
            "scalar.field": "two"}), 400, "no column 'two'"),
    "a chart of nothing": (
        CARD, lambda w: w.chart(**metrics()), 400, "a chart needs"),
    "a series' setting": (
        CARD, lambda w: w.chart(series_settings={"users": {"colour": "red"}}), 400,
        "'colour' is no setting of a series"),
    "a scalar of two": (CARD, lambda w: w.new_card(display="scalar"), 400, "a scalar of 2 rows"),
    # queries of tiles
    "a filter that the dashboard has not": (
        "post /api/dashboard/{board}/dashcard/{tile}/card/{card}/query",
        lambda _: {"parameters": [{"id": "no", "type": "string/=", "value": ["a"]}]}, 400,
        "does not have a parameter with ID 'no'"),
    "a value for nothing": (
        "post /api/card/{card}/query",
        lambda _: {"parameters": [{"type": "string/=", "value": ["a"]}]}, 400, "has no target"),
    "a tile of another card": (
        "post /api/dashboard/{board}/dashcard/{tile}/card/99/query", lambda _: {}, 404,
        "Not found."),
}  # fmt: skip


def tagged(world: World, **changes: Any) -> Json:
    """A card whose one tag is changed."""
    made = tag("book", **{"default": "x", **changes})
    return world.new_card(dataset_query=world.query("select {{book}} as b", {"book": made}))


def database(world: World, **changes: Any) -> Json:
    return {"name": "Another", "engine": "postgres", "details": world.details, **changes}


def granted(world: World, rights: Json, group: int = permissions.EVERYONE) -> Json:
    """Rights of a group over the database."""
    return {"revision": 1, "groups": {str(group): {str(world.database): rights}}}


def sent(world: World, request: str, body: Any) -> requests.Response:
    method, path = request.split()
    return world.client.send(method, path.format(**vars(world)), body)


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_right_is_taken(world: World, name: str) -> None:
    request, body = TAKEN[name]
    reply = sent(world, request, body(world))
    assert reply.status_code == 200, reply.text
    assert len(world.metabase.writes) == 1
    assert world.metabase.violations == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused(world: World, name: str) -> None:
    request, body, status, said = REFUSED[name]
    before = json.dumps(world.metabase.state.data)
    reply = sent(world, request, body(world))
    words = reply.text
    if reply.headers["Content-Type"] == "application/json":
        # As Metabase says it: by field.
        [(field, why)] = reply.json()["errors"].items()
        words = f"{field}: {why}"
    assert (reply.status_code, said in words) == (status, True), reply.text
    assert json.dumps(world.metabase.state.data) == before
    assert world.metabase.writes == []
    is_about_who_asks = status in (401, 403)
    may_be_asked = request.startswith("get") and status == 404 and "Not found." in words
    assert len(world.metabase.violations) == (not is_about_who_asks and not may_be_asked)
