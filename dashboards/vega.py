"""A question's chart as a Vega-Lite specification, with its data.

Source: Vega-Lite 6. Numbers become floats here, and only here: a pixel is coarser.
"""

from collections.abc import Iterator
from typing import Any

from dashboards.answers import Glimpse, Row
from dashboards.charts import Chart, heading
from dashboards.questions import Question

Json = dict[str, Any]

# Of Tableau's ten, those that are told apart by the colour-blind and on both backgrounds.
_COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2"]
_LEVEL = "#8a8f98"


def specification(question: Question, seen: Glimpse) -> Json:
    """The chart; the page adds its size and theme."""
    chart = question.chart
    if chart is None:
        raise ValueError(f"{question.name} is no chart")
    names = [heading(name, question.columns.get(name)) for name in chart.y]
    points = list(_points(chart, seen, names))
    series = list(dict.fromkeys(point["series"] for point in points))
    return {
        "data": {"values": points},
        "mark": _mark(question),
        "encoding": {
            "x": _x(question, chart, seen),
            "y": _y(question, chart),
            **_colour(question, chart, names, series),
            "tooltip": _tooltip(question, chart, seen),
        },
    }


def _points(chart: Chart, seen: Glimpse, names: list[str]) -> Iterator[Json]:
    """One a value: where, how much, of which series."""
    place = {name: number for number, name in enumerate(seen.answer.columns)}

    def number(row: Row, name: str) -> float | None:
        value = row[place[name]]
        return None if value is None else float(value)

    for row in seen.answer.rows:
        for name, title in zip(chart.y, names, strict=True):
            series = str(row[place[chart.series]]) if chart.series else title
            yield {"x": row[place[chart.x]], "y": number(row, name), "series": series}


def _mark(question: Question) -> Json:
    if question.display == "bar":
        return {"type": "bar", "cornerRadiusEnd": 1}
    # A lone second between two gaps is a line without a length: the cap makes it a dot.
    return {
        "type": "line",
        "strokeWidth": 1.6,
        "strokeCap": "round",
        "invalid": "break-paths-show-path-domains",
    }


def _x(question: Question, chart: Chart, seen: Glimpse) -> Json:
    title = heading(chart.x, question.columns.get(chart.x))
    if chart.scale == "category":
        axis = {"labelAngle": -40, "labelLimit": 110}
        return {"field": "x", "type": "nominal", "sort": None, "title": None, "axis": axis}
    is_day = seen.kinds[seen.answer.columns.index(chart.x)] == "date"
    x: Json = {
        "field": "x",
        "type": "temporal",
        "title": title if is_day else f"{title}, UTC",
        "scale": {"type": "utc"},
        "axis": {"labelOverlap": True, "grid": False, "format": _time_format(chart, seen)},
    }
    if question.display == "bar":
        # So that a bar is as wide as its day or hour.
        x["timeUnit"] = "utcyearmonthdate" if is_day else "utcyearmonthdatehours"
    return x


def _time_format(chart: Chart, seen: Glimpse) -> str:
    """As short as the stretch of time allows; never with am and pm."""
    place = seen.answer.columns.index(chart.x)
    if seen.kinds[place] == "date":
        return "%d %b %y"
    days = {str(row[place])[:10] for row in seen.answer.rows}
    return "%H:%M" if len(days) == 1 else "%d %b %H:%M"


def _y(question: Question, chart: Chart) -> Json:
    measured = [name for name in chart.y if name not in chart.dashed]
    column = question.columns.get(measured[0])
    title = heading(measured[0], column)
    if len(measured) > 1 and column:
        title = column.unit or ""
    y: Json = {"field": "y", "type": "quantitative", "title": title}
    if question.display == "bar":
        y["stack"] = "zero" if chart.stacked else None
        y["axis"] = {"format": "~s"}
    return y


def _colour(question: Question, chart: Chart, names: list[str], series: list[str]) -> Json:
    dashed = {title for name, title in zip(chart.y, names, strict=True) if name in chart.dashed}
    colours = iter(_COLOURS * len(series))
    legend = {"orient": "top", "title": None, "symbolType": "stroke", "labelLimit": 220}
    if question.display == "bar":
        legend["symbolType"] = "square"
    encoding: Json = {
        "color": {
            "field": "series",
            "type": "nominal",
            "sort": series,
            "scale": {
                "domain": series,
                "range": [_LEVEL if name in dashed else next(colours) for name in series],
            },
            "legend": legend if len(series) > 1 else None,
        }
    }
    if dashed:
        encoding["strokeDash"] = {
            "condition": {
                "test": {"field": "series", "oneOf": sorted(dashed)},
                "value": [5, 4],
            },
            "value": [1, 0],
        }
    if question.display == "bar" and not chart.stacked and len(series) > 1:
        encoding["xOffset"] = {"field": "series", "sort": series}
    return encoding


def _tooltip(question: Question, chart: Chart, seen: Glimpse) -> list[Json]:
    title = heading(chart.x, question.columns.get(chart.x))
    kind = seen.kinds[seen.answer.columns.index(chart.x)]
    where: Json = {"field": "x", "title": title, "type": "nominal"}
    if kind in ("date", "instant"):
        form = "%Y-%m-%d" if kind == "date" else "%Y-%m-%d %H:%M:%S"
        where = {"field": "x", "title": title, "type": "temporal", "format": form}
    return [
        where,
        {"field": "series", "title": "of"},
        {"field": "y", "title": "is", "type": "quantitative", "format": ",.6~f"},
    ]
