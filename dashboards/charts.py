"""How an answer is drawn: its chart and the looks of its columns, whatever draws it.

Written in a question's front matter; `dashboards apply` and `dashboards preview` both read it.
"""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Display = Literal["scalar", "table", "line", "bar"]


class Strict(BaseModel):
    """A part of a definition: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Warn(Strict):
    """Which cells of a column are painted as a warning."""

    operator: Literal["<", ">", "=", "!="]
    value: float | str

    @model_validator(mode="after")
    def _can_be_compared(self) -> "Warn":
        if isinstance(self.value, str) and self.operator not in ("=", "!="):
            raise ValueError(f"a text is = or != another, never {self.operator}")
        return self


class Column(Strict):
    """The looks of one column; `unit` is words or a sign, such as `%` or `USD`."""

    title: str | None = None
    unit: str | None = None
    decimals: int | None = Field(None, ge=0, le=12)
    warn: Warn | None = None


class Chart(Strict):
    """Columns against axes: several `y`, or one `y` with a line for each value of `series`.

    `scale` is that of the x axis. A missing point breaks a line. `dashed` are those of `y` that
    are no measurement but a level to hold it against, the same in every row.
    """

    x: str
    scale: Literal["time", "category"] = "time"
    y: tuple[str, ...] = Field(min_length=1)
    y_title: str | None = Field(None, min_length=1)
    y_max: float | None = None
    series: str | None = None
    stacked: bool = False
    dashed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "Chart":
        if self.series and len(self.y) > 1:
            raise ValueError("a chart with a series has one y")
        if odd := sorted(set(self.dashed) - set(self.y)):
            raise ValueError(f"dashed but no y: {', '.join(odd)}")
        if not self.measured:
            raise ValueError("all of y is dashed: nothing is measured")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column can be only one of x, y and series")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it draws."""
        return (self.x, *self.y, *([self.series] if self.series else []))

    @property
    def measured(self) -> tuple[str, ...]:
        """Those of `y` that are a measurement."""
        return tuple(name for name in self.y if name not in self.dashed)


def heading(name: str, column: Column | None) -> str:
    """What stands over a column, or at its axis: `peak_spread` is `Peak spread (%)`."""
    column = column or Column()
    title = column.title or name.replace("_", " ").capitalize()
    return f"{title} ({column.unit})" if column.unit else title


def axis_title(chart: Chart, columns: Mapping[str, Column]) -> str:
    """What stands at the y axis: the chart's own words, or the heading of its first column."""
    first = chart.measured[0]
    return chart.y_title or heading(first, columns.get(first))


def warns(warn: Warn, value: str | int) -> bool:
    """Whether a value is one to warn of."""
    if isinstance(warn.value, str):
        return (str(value) == warn.value) == (warn.operator == "=")
    number, limit = Decimal(value), Decimal(str(warn.value))
    if number.is_nan():
        # NaN is neither above nor below a limit: a person should look at it.
        return True
    return {
        "<": number < limit,
        ">": number > limit,
        "=": number == limit,
        "!=": number != limit,
    }[warn.operator]


def missing(
    chart: Chart | None, looks: Collection[str], returned: Collection[str]
) -> Iterator[str]:
    """The columns that are drawn or dressed, and that the answer does not have."""
    for name in dict.fromkeys([*(chart.columns if chart else ()), *looks]):
        if name not in returned:
            yield name
