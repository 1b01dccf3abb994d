"""What the stand-in refuses in cards and dashboards, beyond the shapes of the contract.

Some of it Metabase refuses as well; most of it Metabase takes without a word and then shows
nothing, or the wrong thing.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tests.metabase.contract import RefusedError
from tests.metabase.sql import TEMPORAL, optional_tags, tags_in

Json = dict[str, Any]

_ALLOWED = {
    "text": {"string/=", "category", "id"},
    "number": {"number/="},
    "date": {"date/single", "date/all-options"},
    "boolean": {"boolean/="},
}
_DERIVED = {"number": "number/=", "date": "date/single", "boolean": "boolean/="}
_AXES = {
    "graph.dimensions", "graph.metrics", "graph.x_axis.scale", "graph.x_axis.title_text",
    "graph.y_axis.scale", "graph.y_axis.title_text", "graph.show_goal", "graph.goal_value",
    "graph.goal_label", "graph.show_values", "series_settings", "stackable.stack_type",
    "column_settings",
}  # fmt: skip
_CATALOGUE = {
    "line": _AXES, "area": _AXES, "bar": _AXES,
    "scalar": {"scalar.field", "column_settings"},
    "table": {"table.columns", "table.column_formatting", "column_settings"},
}  # fmt: skip
_SERIES = {
    "title", "color", "axis", "line.style", "line.missing", "line.marker_enabled", "display",
}  # fmt: skip
_TILE = {"card.title", "card.description"}


def refuse(field: str, why: str) -> NoReturn:
    """Raise Metabase's 400 for a field."""
    raise RefusedError(400, {field: why})


def refuse_same(one: Mapping[str, Any], other: Mapping[str, Any], *names: str) -> None:
    """Two of a kind may not have all of these in common; the first of them is named."""
    if all(one.get(name) == other.get(name) for name in names):
        refuse(names[0], f"{other.get(names[0])!r} is there already")


def check_database(database: Mapping[str, Any]) -> None:
    """What the stand-in can connect to, and what needs no licence."""
    if database["engine"] != "postgres":
        refuse("engine", f"the stand-in connects to postgres, not to {database['engine']}")
    if database.get("cache_ttl") is not None:
        raise RefusedError(402, "Cache TTL is a paid feature.")
    if database["details"].get("schema-filters-type") == "exclusion":
        refuse("details", "the stand-in includes schemas, it excludes none")


def check_query(query: Mapping[str, Any], databases: Iterable[int]) -> None:
    """A dataset_query: a known database, tags that fit the SQL."""
    if query.get("database") not in set(databases):
        refuse("dataset_query", f"database {query.get('database')} does not exist")
    stages = query.get("stages")
    stage = stages[0] if stages else query["native"]
    sql = stage["native"] if stages else stage["query"]
    tags = stage.get("template-tags") or {}
    if isinstance(tags, list) and (twice := _twice(tag["name"] for tag in tags)):
        refuse("template-tags", f"two have the name {twice!r}")
    named = {tag["name"]: tag for tag in tags} if isinstance(tags, list) else tags
    _check_tags(sql, named)


def _check_tags(sql: str, tags: Mapping[str, Any]) -> None:
    optional_tags(sql)
    for name, tag in tags.items():
        if tag["name"] != name:
            refuse("template-tags", f"{name!r} is named {tag['name']!r}")
        if tag["type"] not in _ALLOWED:
            refuse("template-tags", f"{name!r}: the stand-in knows no {tag['type']} tags")
        try:
            uuid.UUID(tag["id"])
        except ValueError:
            refuse("template-tags", f"{name!r}: its id is no UUID")
    if odd := sorted(tags_in(sql) - set(tags)):
        refuse("template-tags", f"no tag for {{{{{odd[0]}}}}}")
    if odd := sorted(set(tags) - tags_in(sql)):
        refuse("template-tags", f"the tag {odd[0]!r} is nowhere in the SQL")
    if twice := _twice(tag["id"] for tag in tags.values()):
        refuse("template-tags", f"two have the id {twice}")


def derived_parameters(tags: Mapping[str, Any]) -> list[Json]:
    """What Metabase makes of the tags of a card that comes without parameters."""
    return [
        {
            "id": tag["id"], "name": tag["display-name"], "slug": name,
            "type": _DERIVED.get(tag["type"], "string/="),
            "target": ["variable", ["template-tag", name]],
            **({"default": tag["default"]} if tag.get("default") is not None else {}),
        }
        for name, tag in tags.items()
    ]  # fmt: skip


def check_card_parameters(parameters: Iterable[Json], tags: Mapping[str, Any]) -> None:
    """A card's own parameters, each for one of its tags."""
    for parameter in parameters:
        target = parameter.get("target")
        if not target:
            refuse("parameters", f"{parameter['id']!r} has no target")
        _check_target(parameter, target, tags, "parameters")


def _check_target(parameter: Json, target: Any, tags: Mapping[str, Any], field: str) -> None:
    kind, reference = target[0], target[1]
    if kind != "variable" or reference[0] != "template-tag":
        refuse(field, f"{parameter['id']!r}: a raw tag is a variable, not a {kind}")
    if not isinstance(reference[1], str) or reference[1] not in tags:
        refuse(field, f"{parameter['id']!r}: the card has no tag {reference[1]!r}")
    if parameter["type"] not in _ALLOWED[tags[reference[1]]["type"]]:
        refuse(
            field,
            f"{parameter['id']!r}: {parameter['type']} is not for a "
            f"{tags[reference[1]]['type']} tag",
        )


def check_looks(display: str, settings: Json, columns: list[dict[str, str]], rows: int) -> None:
    """Visualization settings against the columns that the query returns."""
    if display not in _CATALOGUE:
        refuse("display", f"{display!r} is no display that the stand-in knows")
    types = {column["name"]: column["base_type"] for column in columns}
    if odd := sorted(set(settings) - _CATALOGUE[display]):
        refuse("visualization_settings", f"{odd[0]!r} is no setting of a {display}")
    for name in _columns_named(settings):
        if name not in types:
            refuse("visualization_settings", f"the query returns no column {name!r}")
    for name, series in settings.get("series_settings", {}).items():
        if odd := sorted(set(series) - _SERIES):
            refuse("visualization_settings", f"{name}: {odd[0]!r} is no setting of a series")
    if display in ("line", "area", "bar"):
        _check_axes(settings, types)
    if display == "scalar" and (rows, len(columns)) != (1, 1):
        refuse("display", f"a scalar of {rows} rows and {len(columns)} columns")


def _check_axes(settings: Json, types: Mapping[str, str]) -> None:
    dimensions, metrics = settings.get("graph.dimensions"), settings.get("graph.metrics")
    if not dimensions or not metrics:
        refuse("visualization_settings", "a chart needs graph.dimensions and graph.metrics")
    elif len(dimensions) > 1 and len(metrics) > 1:
        refuse("visualization_settings", "two dimensions and several metrics")
    elif (
        settings.get("graph.x_axis.scale") == "timeseries" and types[dimensions[0]] not in TEMPORAL
    ):
        refuse("visualization_settings", f"{dimensions[0]!r} is no time")


def _columns_named(settings: Json) -> list[str]:
    names = [*settings.get("graph.dimensions", ()), *settings.get("graph.metrics", ())]
    if len(settings.get("graph.dimensions", ())) < 2:
        # with a breakout the series are named by values
        names += settings.get("series_settings", {})
    for key in settings.get("column_settings", {}):
        try:
            kind, name = json.loads(key)
        except (ValueError, TypeError):
            kind, name = None, key
        if kind != "name":
            refuse("visualization_settings", f'column_settings: {key!r} is not ["name", column]')
        names.append(name)
    for each in settings.get("table.columns", ()):
        names.append(each["name"])
    for each in settings.get("table.column_formatting", ()):
        names += each["columns"]
    if "scalar.field" in settings:
        names.append(settings["scalar.field"])
    return names


def check_ids(field: str, sent: Iterable[Json], kept: Iterable[Json]) -> None:
    """New parts of a dashboard have a negative id, and the others one that is there."""
    own = {each["id"] for each in kept}
    for each in sent:
        if each["id"] > 0 and each["id"] not in own:
            refuse(field, f"{each['id']} is not of this dashboard")
    if twice := _twice(str(each["id"]) for each in sent):
        refuse(field, f"two have the id {twice}")


def check_dashboard(dashboard: Json, cards: Mapping[int, Json]) -> None:
    """The tiles of a dashboard and the filters that are wired to them."""
    parameters, dashcards = dashboard["parameters"], dashboard["dashcards"]
    if twice := _twice(str(parameter["id"]) for parameter in parameters):
        refuse("parameters", f"two have the id {twice!r}")
    if twice := _twice(parameter.get("slug") or "" for parameter in parameters):
        refuse("parameters", f"two have the slug {twice!r}")
    wired = {
        mapping["parameter_id"]
        for tile in dashcards
        for mapping in tile.get("parameter_mappings") or ()
    }
    known = {parameter["id"]: parameter for parameter in parameters}
    for place, tile in enumerate(dashcards):
        _check_tab(tile, dashboard["tabs"])
        _check_place(tile, dashcards[:place])
        _check_tile(tile)
        for mapping in tile.get("parameter_mappings") or ():
            _check_mapping(tile, mapping, known, cards)
    for parameter in parameters:
        if parameter["id"] not in wired:
            refuse("parameters", f"{parameter['id']!r} is mapped to nothing")
        _check_values(parameter, cards)


def _check_tab(tile: Json, tabs: list[Json]) -> None:
    tab = tile.get("dashboard_tab_id")
    if tabs and tab is None:
        refuse("dashcards", "This dashboard has tab, makes sure every card has a tab")
    if tab is not None and tab not in {each["id"] for each in tabs}:
        refuse("dashcards", f"{tile['id']}: the dashboard has no tab {tab}")


def _check_place(tile: Json, others: list[Json]) -> None:
    if tile["col"] + tile["size_x"] > 24:
        refuse("dashcards", f"{tile['id']} is off the grid")
    for other in others:
        if (
            tile.get("dashboard_tab_id") == other.get("dashboard_tab_id")
            and tile["row"] < other["row"] + other["size_y"]
            and other["row"] < tile["row"] + tile["size_y"]
            and tile["col"] < other["col"] + other["size_x"]
            and other["col"] < tile["col"] + tile["size_x"]
        ):
            refuse("dashcards", f"{tile['id']} overlaps {other['id']}")


def _check_tile(tile: Json) -> None:
    for name in ("series", "action_id", "inline_parameters"):
        if tile.get(name):
            refuse("dashcards", f"{tile['id']}: the stand-in knows no {name}")
    settings = tile.get("visualization_settings") or {}
    if tile.get("card_id") is None:
        _check_virtual(tile["id"], settings)
    elif odd := sorted(set(settings) - _TILE):
        refuse("dashcards", f"{tile['id']}: {odd[0]!r} is no setting of a tile")


def _check_virtual(tile: int, settings: Json) -> None:
    if (settings.get("virtual_card") or {}).get("display") not in ("heading", "text"):
        refuse("dashcards", f"{tile} has neither a card nor a virtual_card that is shown")
    if not str(settings.get("text") or "").strip():
        refuse("dashcards", f"{tile} has no text")


def _check_mapping(
    tile: Json, mapping: Json, parameters: Mapping[str, Json], cards: Mapping[int, Json]
) -> None:
    if mapping["parameter_id"] not in parameters:
        refuse("dashcards", f"the dashboard has no parameter {mapping['parameter_id']!r}")
    if mapping.get("card_id") is None or mapping["card_id"] != tile.get("card_id"):
        refuse("dashcards", f"{tile['id']}: a mapping without the tile's card is ignored")
    parameter = parameters[mapping["parameter_id"]]
    _check_target(parameter, mapping["target"], cards[mapping["card_id"]]["tags"], "dashcards")


def _check_values(parameter: Json, cards: Mapping[int, Json]) -> None:
    source, config = (
        parameter.get("values_source_type"),
        parameter.get("values_source_config") or {},
    )
    default = parameter.get("default")
    chosen = default if isinstance(default, list) else [default] if default is not None else []
    if source == "static-list":
        values = config.get("values") or []
        for value in chosen:
            if value not in values:
                refuse(
                    "parameters", f"{parameter['id']!r}: the default {value!r} is not in its list"
                )
    if source == "card":
        card = cards.get(config.get("card_id", 0))
        if card is None:
            refuse(
                "parameters", f"{parameter['id']!r}: its values are of a card that does not exist"
            )
        elif config["value_field"][1] not in card["columns"]:
            refuse(
                "parameters", f"{parameter['id']!r}: its values are of a column that is not there"
            )


def _twice(values: Iterable[str]) -> str | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)
