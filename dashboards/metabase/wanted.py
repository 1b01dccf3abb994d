"""What Metabase is to hold, made of the questions and dashboards, as its API writes it.

Source: the API of Metabase v0.63. Ids that we may choose are made of names, so that they are the
same in every Metabase and in every run.
"""

import json
import uuid
from collections.abc import Mapping

from dashboards.charts import Chart, axis_title, heading
from dashboards.definitions import Dashboard, Filter, Tile
from dashboards.metabase.marks import KEPT_BY, Json
from dashboards.parameters import Parameter
from dashboards.questions import Question

COLLECTION = "Bitso warehouse"
COLLECTION_DESCRIPTION = f"{KEPT_BY}: `dashboards apply` brings what is in here."
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "bitso-warehouse")

# A "number" is a decimal: the browser would make a float of it.
_TAG_TYPE = {
    "date": "date",
    "instant": "date",
    "integer": "number",
    "number": "text",
    "text": "text",
}
_PARAMETER_TYPE = {"date": "date/single", "number": "number/=", "text": "string/="}
_SECTION = {"date": "date", "number": "number", "text": "string"}
_WARN_COLOR = "#EF8C8C"
_LEVEL_COLOR = "#949AAB"


def card(question: Question, database: int | None, collection: int | None) -> Json:
    """The card that asks a question."""
    return {
        "name": question.title,
        "description": question.description,
        "type": "question",
        "display": question.display,
        "collection_id": collection,
        "dataset_query": {
            "lib/type": "mbql/query",
            "database": database,
            "stages": [
                {
                    "lib/type": "mbql.stage/native",
                    "native": native_sql(question),
                    "template-tags": {
                        name: _tag(question, name, parameter)
                        for name, parameter in question.parameters.items()
                    },
                }
            ],
        },
        "parameters": [
            _card_parameter(question, name, parameter)
            for name, parameter in question.parameters.items()
        ],
        "visualization_settings": _settings(question),
    }


def native_sql(question: Question) -> str:
    """The question's SQL, with Metabase's tags in the places of its parameters."""
    return question.sql(lambda name: _placeholder(name, question.parameters[name]))


def _placeholder(name: str, parameter: Parameter) -> str:
    """A tag; NULL while it is empty, where it may be: an optional part in [[ ]] is left out then.

    A date picker may send midnight with a day: of an instant, too, only the day is taken.
    """
    if parameter.default is not None:
        return f"{{{{{name}}}}}"
    value = f"'' [[|| {{{{{name}}}}}]]"
    if parameter.type == "instant":
        return f"nullif(left({value}, 10), '')"
    cast = {"date": "date", "integer": "bigint"}.get(parameter.type)
    return f"cast(nullif({value}, '') as {cast})" if cast else f"nullif({value}, '')"


def _tag(question: Question, name: str, parameter: Parameter) -> Json:
    tag: Json = {
        "id": _id(question, name),
        "name": name,
        "display-name": _title(name),
        "type": _TAG_TYPE[parameter.type],
    }
    if parameter.default is not None:
        tag |= {"required": True, "default": parameter.default}
    return tag


def _card_parameter(question: Question, name: str, parameter: Parameter) -> Json:
    made: Json = {
        "id": _id(question, name),
        "name": _title(name),
        "slug": name,
        "type": _PARAMETER_TYPE[_TAG_TYPE[parameter.type]],
        "target": ["variable", ["template-tag", name]],
    }
    if parameter.default is not None:
        made |= {"required": True, "default": _default(parameter, parameter.default)}
    if parameter.choices:
        made |= _choices(parameter)
    return made


def _id(question: Question, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{question.name}.{name}"))


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _default(parameter: Parameter, value: object) -> object:
    # A date filter's default is one value, that of any other filter is a list.
    return value if _TAG_TYPE[parameter.type] == "date" else [value]


def _choices(parameter: Parameter) -> Json:
    return {
        "values_query_type": "list",
        "values_source_type": "static-list",
        "values_source_config": {"values": list(parameter.choices)},
    }


def _settings(question: Question) -> Json:
    settings: Json = {}
    columns = {
        json.dumps(["name", name], separators=(",", ":")): {
            "column_title": heading(name, column),
            **({} if column.decimals is None else {"decimals": column.decimals}),
        }
        for name, column in question.columns.items()
    }
    if columns:
        settings["column_settings"] = columns
    if question.chart:
        settings |= _axes(question, question.chart)
    warnings = [
        {
            "columns": [name],
            "type": "single",
            "operator": column.warn.operator,
            "value": column.warn.value,
            "color": _WARN_COLOR,
            "highlight_row": False,
        }
        for name, column in question.columns.items()
        if column.warn
    ]
    if warnings and question.display == "table":
        settings["table.column_formatting"] = warnings
    return settings


def _axes(question: Question, chart: Chart) -> Json:
    settings: Json = {
        "graph.dimensions": [chart.x, *([chart.series] if chart.series else [])],
        "graph.metrics": list(chart.y),
        "graph.x_axis.scale": "timeseries" if chart.scale == "time" else "ordinal",
        "graph.x_axis.title_text": heading(chart.x, question.columns.get(chart.x)),
        "graph.y_axis.title_text": axis_title(chart, question.columns),
    }
    if question.display == "bar":
        settings["stackable.stack_type"] = "stacked" if chart.stacked else None
    lines = {name: _line(question, chart, name) for name in chart.y if not chart.series}
    if lines:
        settings["series_settings"] = lines
    return settings


def _line(question: Question, chart: Chart, name: str) -> Json:
    line: Json = {"title": heading(name, question.columns.get(name))}
    if question.display == "line":
        line["line.missing"] = "none"
    if name in chart.dashed:
        line |= {"line.style": "dashed", "line.marker_enabled": False, "color": _LEVEL_COLOR}
    return line


def dashboard(
    definition: Dashboard, cards: Mapping[str, int | None], collection: int | None
) -> Json:
    """A dashboard; `cards` are the numbers of its questions' cards, None before they exist.

    Its dashcards have no id yet.
    """
    return {
        "name": definition.title,
        "description": definition.description,
        "collection_id": collection,
        "width": "full",
        "auto_apply_filters": True,
        "parameters": [
            _filter(definition, name, chosen, cards) for name, chosen in definition.filters.items()
        ],
        "dashcards": [_dashcard(definition, tile, cards) for tile in definition.tiles],
    }


def _filter(
    definition: Dashboard, name: str, chosen: Filter, cards: Mapping[str, int | None]
) -> Json:
    parameter = next(definition.fed_by(name))
    kind = _TAG_TYPE[parameter.type]
    made: Json = {
        "id": name,
        "name": chosen.title,
        "slug": name,
        "type": _PARAMETER_TYPE[kind],
        "sectionId": _SECTION[kind],
    }
    if (default := definition.default_of(name)) is not None:
        made["default"] = _default(parameter, parameter.parse(default))
    if kind == "text":
        made["isMultiSelect"] = False
    if chosen.values:
        made |= {
            "values_query_type": "list",
            "values_source_type": "card",
            "values_source_config": {
                "card_id": cards[chosen.values.question],
                "value_field": ["field", chosen.values.column, {"base-type": "type/Text"}],
            },
        }
    elif parameter.choices:
        made |= _choices(parameter)
    return made


def _dashcard(definition: Dashboard, tile: Tile, cards: Mapping[str, int | None]) -> Json:
    place = {
        "row": tile.at.row,
        "col": tile.at.col,
        "size_x": tile.at.width,
        "size_y": tile.at.height,
    }
    if tile.question is None:
        virtual: Json = {
            "name": None,
            "display": "heading",
            "visualization_settings": {},
            "dataset_query": {},
            "archived": False,
        }
        settings = {"virtual_card": virtual, "text": tile.heading}
        return {
            "card_id": None,
            **place,
            "parameter_mappings": [],
            "visualization_settings": settings,
        }
    number = cards[tile.question]
    return {
        "card_id": number,
        **place,
        "parameter_mappings": [
            # Without card_id Metabase ignores a mapping, and says nothing.
            {
                "parameter_id": name,
                "card_id": number,
                "target": ["variable", ["template-tag", name]],
            }
            for name in definition.filters_of(tile)
        ],
        "visualization_settings": {},
    }
