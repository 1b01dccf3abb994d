"""A question's chart as a Vega-Lite specification, with its data.

Source: Vega-Lite 6. Numbers become floats here, and only here: a pixel is coarser.
"""

import json
import math
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Any

from dashboards.answers import AnswerRow, Glimpse
from dashboards.charts import Chart, axis_title, heading, warns
from dashboards.questions import Question

Json = dict[str, Any]

# Each colour has a contrast of over 3 to 1 with the light card and with the dark one.
_COLOURS = ["#4a86c5", "#d9720f", "#4a9a45", "#a66fb0", "#2f9aa0", "#b08a2e"]
_WARN = "#d9534f"
_LEVEL = "#7d838d"
_FEW_POINTS = 50
# What is shorter has labels with seconds.
_SECONDS_TO_TELL = timedelta(minutes=10)
# The least number of bars that the axis has room for, by their length: a single day would
# otherwise be one bar as wide as the chart.
_FEWEST_BARS = {timedelta(days=1): 14, timedelta(hours=1): 12}


def specification(question: Question, seen: Glimpse) -> Json:
    """The chart; the page adds its size and theme."""
    chart = question.chart
    if chart is None:
        raise ValueError(f"{question.name} is no chart")
    points = list(_points(question, chart, seen))
    across, up = _x(question, chart, seen), _y(question, chart, seen)
    # Bars with names are horizontal, so that the names can be read.
    lies = chart.scale == "category"
    return {
        "layer": [
            {
                "data": {"values": points},
                "mark": _mark(question, seen),
                "encoding": {
                    **({"x": up, "y": across} if lies else {"x": across, "y": up}),
                    **_colour(question, chart, points),
                    "tooltip": _tooltip(question, chart, seen),
                },
            },
            *_levels(question, chart, seen, up),
        ],
        "resolve": {"axis": {"y": "independent"}},
    }


def _points(question: Question, chart: Chart, seen: Glimpse) -> Iterator[Json]:
    """One a value: where, how much, of which series."""
    place = {name: number for number, name in enumerate(seen.answer.columns)}
    for row in seen.answer.rows:
        for name in chart.measured:
            series = (
                str(row[place[chart.series]])
                if chart.series
                else heading(name, question.columns.get(name))
            )
            yield {"x": row[place[chart.x]], "y": _float(row, place[name]), "series": series}


def _float(row: AnswerRow, place: int) -> float | None:
    """A number that JSON has: a NaN is a gap like NULL."""
    value = row[place]
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _mark(question: Question, seen: Glimpse) -> Json:
    if question.display == "bar":
        return {"type": "bar", "cornerRadiusEnd": 1}
    return {
        "type": "line",
        "strokeWidth": 1.6,
        # A single second between two gaps is a line of no length: a round cap makes it a dot.
        "strokeCap": "round",
        "invalid": "break-paths-show-path-domains",
        # The line is too thin to point at: invisible points around it show the tooltip. Where there
        # are few points they are visible, so that nobody takes the line between them for measured.
        "point": {"opacity": 1 if len(seen.answer.rows) <= _FEW_POINTS else 0, "size": 40},
    }


def _x(question: Question, chart: Chart, seen: Glimpse) -> Json:
    if chart.scale == "category":
        looks = {"labelLimit": 140, "ticks": False, "domain": False}
        return {"field": "x", "type": "nominal", "sort": None, "title": None, "axis": looks}
    place = seen.answer.columns.index(chart.x)
    is_day = seen.kinds[place] == "date"
    times = [_utc(str(row[place])) for row in seen.answer.rows]
    first, last = min(times), max(times)
    x: Json = {"field": "x", "type": "temporal", "scale": {"type": "utc"}}
    axis: Json = {"grid": False, "labelOverlap": True, "labelSeparation": 8}
    if question.display == "bar":
        step = timedelta(days=1) if is_day else timedelta(hours=1)
        first = min(first, last - (_FEWEST_BARS[step] - 1) * step)
        x["timeUnit"] = "utcyearmonthdate" if is_day else "utcyearmonthdatehours"
        # As expressions: of a bare number Vega-Lite makes `datetime(number)`, which Vega's
        # interpreter, unlike its generated code, takes for a year.
        x["scale"] |= {
            "domainMin": {"expr": str(_epoch(first))},
            "domainMax": {"expr": str(_epoch(last + step))},
        }
        axis["values"] = {"expr": str(_named_buckets(first, last, step))}
        # There would be one at each value, also where its name is left out for want of room.
        axis |= {"ticks": False, "labelPadding": 7}
    name = heading(chart.x, question.columns.get(chart.x))
    x["title"], axis["format"] = _time_in_words(name, first, last, is_day=is_day)
    # Two of the same format would have the same words.
    axis["tickMinStep"] = _finest(axis["format"]) // timedelta(milliseconds=1)
    return {**x, "axis": axis}


def _time_in_words(title: str, first: datetime, last: datetime, *, is_day: bool) -> tuple[str, str]:
    """An axis' title, and the format of its labels: what all times share is said once."""
    zone = "" if is_day else ", UTC"
    time = "%H:%M" if last - first >= _SECONDS_TO_TELL else "%H:%M:%S"
    if not is_day and first.date() == last.date():
        return f"{title}, {first:%d %b %Y}{zone}", time
    clock = "" if is_day else f" {time}"
    if first.year == last.year:
        return f"{title}, {first.year}{zone}", f"%d %b{clock}"
    return f"{title}{zone}", f"%d %b %Y{clock}"


def _finest(form: str) -> timedelta:
    """What two labels of a format differ by at least."""
    if "%S" in form:
        return timedelta(seconds=1)
    return timedelta(minutes=1) if "%M" in form else timedelta(days=1)


def _named_buckets(first: datetime, last: datetime, step: timedelta) -> list[int]:
    """Where bars are named: a day in its middle, an hour at its start.

    As many as a screen may have; Vega leaves out the names that would touch.
    """
    named = first + step / 2 if step == timedelta(days=1) else first
    count = (last - first) // step + 1
    return [_epoch(named + n * step) for n in range(0, count, math.ceil(count / 100))]


def is_drawable(time: str | int | None) -> bool:
    """Whether a time has a place on an axis: Postgres has an infinity, and years before 1."""
    try:
        year = datetime.fromisoformat(str(time)).year
    except ValueError:
        return False
    # A year less at both ends, because a bar covers a stretch of time around its instant.
    return MINYEAR < year < MAXYEAR


def _utc(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _epoch(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _y(question: Question, chart: Chart, seen: Glimpse) -> Json:
    axis: Json = {"labelExpr": _SHORT, "labelOverlap": True, "labelSeparation": 8}
    if chart.scale == "category":
        axis["tickCount"] = 8
    places = [seen.answer.columns.index(name) for name in chart.measured]
    if all(isinstance(row[place], int) for row in seen.answer.rows for place in places):
        # Counts are whole numbers: no tick at a half.
        axis |= {"tickMinStep": 1, "labelExpr": f"datum.value % 1 ? '' : {_SHORT}"}
    y: Json = {
        "field": "y",
        "type": "quantitative",
        "title": axis_title(chart, question.columns),
        "axis": axis,
    }
    if chart.y_max is not None:
        y["scale"] = {"domainMax": chart.y_max}
    if question.display == "bar":
        y["stack"] = "zero" if chart.stacked else None
    return y


# 1.5k, 2M, 3B. D3's own format would write a billion as G and 0.05 as 50m.
_SHORT = (
    "abs(datum.value) < 1000 ? format(datum.value, ',~f') "
    ": replace(format(datum.value, '~s'), 'G', 'B')"
)


def _colour(question: Question, chart: Chart, points: list[Json]) -> Json:
    series = list(dict.fromkeys(point["series"] for point in points))
    if chart.series:
        # Sorted, so that a series has the same colour whatever comes first.
        series.sort()
    is_bar = question.display == "bar"
    legend = {
        "orient": "top",
        "title": None,
        "symbolType": "square" if is_bar else "stroke",
        "labelLimit": 180,
    }
    encoding: Json = {
        "color": {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": series, "range": _range(question, chart, series)},
            "legend": legend if chart.series or len(series) > 1 else None,
        }
    }
    if is_bar and not chart.stacked and len(series) > 1:
        offset = "yOffset" if chart.scale == "category" else "xOffset"
        encoding[offset] = {"field": "series", "sort": series}
    return encoding


def _range(question: Question, chart: Chart, series: list[str]) -> list[str]:
    look = question.columns.get(chart.series) if chart.series else None
    colours = iter(_COLOURS * len(series))
    return [
        _WARN if look and look.warn and warns(look.warn, name) else next(colours) for name in series
    ]


def _levels(question: Question, chart: Chart, seen: Glimpse, up: Json) -> list[Json]:
    """The levels to hold the measurements against: dashed lines, named at the right."""
    levels = list(_levels_in_reach(chart, seen))
    if not levels:
        return []
    column = question.columns.get(chart.dashed[0])
    unit = f" {column.unit}" if column and column.unit else ""
    axis = {
        "orient": "right",
        "values": levels,
        "labelExpr": f"format(datum.value, '~f') + {json.dumps(unit)}",
        "labelOverlap": "greedy",
        "grid": False,
        "ticks": False,
        "domain": False,
    }
    return [
        {
            "data": {"values": [{"y": level} for level in levels]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "color": _LEVEL},
            "encoding": {"y": {**up, "title": None, "axis": axis}},
        }
    ]


def _levels_in_reach(chart: Chart, seen: Glimpse) -> Iterator[float]:
    """The levels that were passed, and the next: those beyond would press the line flat."""

    def numbers(name: str) -> list[float]:
        place = seen.answer.columns.index(name)
        return [value for row in seen.answer.rows if (value := _float(row, place)) is not None]

    peak = max((value for name in chart.measured for value in numbers(name)), default=0.0)
    for level in sorted({level for name in chart.dashed for level in numbers(name)}):
        yield level
        if level > peak:
            return


def _tooltip(question: Question, chart: Chart, seen: Glimpse) -> list[Json]:
    kind = seen.kinds[seen.answer.columns.index(chart.x)]
    where: Json = {
        "field": "x",
        "title": heading(chart.x, question.columns.get(chart.x)),
        "type": "nominal",
    }
    if kind in ("date", "instant"):
        where |= {
            "type": "temporal",
            # The unit makes the times UTC: a format alone would use the reader's own time zone.
            "timeUnit": "utcyearmonthdatehoursminutesseconds",
            "format": "%Y-%m-%d" if kind == "date" else "%Y-%m-%d %H:%M:%S UTC",
        }
    value: Json = {
        "field": "y",
        "title": axis_title(chart, question.columns),
        "type": "quantitative",
        "format": ",.6~f",
    }
    shown: list[Json] = []
    if chart.series:
        title = heading(chart.series, question.columns.get(chart.series))
        shown = [{"field": "series", "title": title}]
    elif len(chart.measured) > 1:
        shown = [{"field": "series", "title": "Shown"}]
    return [where, *shown, value]
