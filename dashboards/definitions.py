"""The dashboards: which questions, where on a grid of 24 columns, behind which filters.

`dashboards/<name>.yml`, one a dashboard. A filter feeds the parameter of its name in every tile
whose question has one, except where the tile ignores it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib import resources

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from dashboards.charts import Strict
from dashboards.parameters import Parameter
from dashboards.questions import Question, broken_questions, load_questions
from loader.warehouse.errors import TerminalError, WarehouseError
from loader.warehouse.text import nearest

GRID_COLUMNS = 24
DAY_OF_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d", re.ASCII)


class Place(Strict):
    """Where a tile lies: the grid's row and column of its upper left cell, its size in cells."""

    row: int = Field(ge=0, le=500)
    col: int = Field(ge=0, lt=GRID_COLUMNS)
    width: int = Field(ge=1, le=GRID_COLUMNS)
    height: int = Field(ge=1, le=100)

    @model_validator(mode="after")
    def _is_on_the_grid(self) -> "Place":
        if self.col + self.width > GRID_COLUMNS:
            raise ValueError(
                f"off the grid: column {self.col} and {self.width} columns of width "
                f"are more than {GRID_COLUMNS}"
            )
        return self

    def overlaps(self, other: "Place") -> bool:
        """Whether they share a cell."""
        return (
            self.row < other.row + other.height
            and other.row < self.row + self.height
            and self.col < other.col + other.width
            and other.col < self.col + self.width
        )


class Tile(Strict):
    """A question's answer, or a heading.

    `latest_first` is for an answer in the order of time: it names the column with the time, and
    the page turns the rows round, so that of too many the oldest are left out. `empty` is what
    the page says when there are none.
    """

    question: str | None = None
    heading: str | None = Field(None, min_length=1)
    latest_first: str | None = None
    empty: str | None = Field(None, min_length=1)
    ignores: tuple[str, ...] = ()
    at: Place

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Tile":
        if (self.question is None) == (self.heading is None):
            raise ValueError("a tile is either a question or a heading")
        if self.heading and (self.latest_first or self.empty):
            raise ValueError("a heading has no rows")
        return self

    @property
    def key(self) -> str:
        """What tells it from the others of its dashboard, as part of a name."""
        return self.question or f"heading-{self.at.row}"

    @property
    def label(self) -> str:
        """What it is called in a message."""
        return self.question or f"the heading {self.heading!r}"


class Values(Strict):
    """Where a filter finds what may be chosen."""

    question: str
    column: str


class Filter(Strict):
    """A value that the reader of a dashboard may choose.

    `values` are those to choose from: a column of the answer to a question.
    """

    title: str
    default: str | None = None
    values: Values | None = None

    @field_validator("default", mode="before")
    @classmethod
    def _as_it_was_written(cls, value: object) -> object:
        # YAML reads an unquoted date or number as such: filters want text.
        return str(value) if isinstance(value, date | int | float) else value


class Dashboard(Strict):
    """One dashboard, checked against the questions that it places.

    Those without a `rank` come last.
    """

    name: str
    rank: int = Field(100, ge=1)
    title: str
    description: str
    filters: dict[str, Filter] = Field(default_factory=dict)
    tiles: tuple[Tile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_sound(self) -> "Dashboard":
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        # A file that is broken is missing in its own tiles only.
        questions = load_questions().keys() | broken_questions().keys()
        asked = [tile.question for tile in self.tiles if tile.question]
        used = [each.values.question for each in self.filters.values() if each.values]
        for name in [*asked, *used]:
            if name not in questions:
                yield f"no such question: {name}{nearest(name, questions)}"
        for name in sorted({name for name in asked if asked.count(name) > 1}):
            yield f"{name} has two tiles"
        for place, tile in enumerate(self.tiles):
            for other in self.tiles[:place]:
                if tile.at.overlaps(other.at):
                    yield f"{tile.label} overlaps {other.label}"
            for name in tile.ignores:
                if name not in self.filters or not (_is_broken(tile) or _knows(tile, name)):
                    yield f"{tile.label} ignores {name!r}, which would not reach it anyway"
        for name, chosen in self.filters.items():
            yield from self._problems_of_filter(name, chosen)

    def _problems_of_filter(self, name: str, chosen: Filter) -> Iterator[str]:
        parameters = list(self.fed_by(name))
        if not parameters and not any(map(_is_broken, self.tiles)):
            yield f"the filter {name!r} is wired to nothing"
        for parameter in parameters:
            if _kind(parameter) != _kind(parameters[0]) or (
                parameter.choices != parameters[0].choices
            ):
                yield f"the filter {name!r} feeds parameters of different types"
            try:
                parameter.parse(chosen.default) if chosen.default is not None else None
            except ValueError:
                yield (
                    f"the filter {name!r}: default must be {parameter.expected}, "
                    f"not {chosen.default!a}"
                )

    def filters_of(self, tile: Tile) -> tuple[str, ...]:
        """The filters that feed a tile."""
        return tuple(
            name for name in self.filters if _knows(tile, name) and name not in tile.ignores
        )

    def fed_by(self, name: str) -> Iterator[Parameter]:
        """The parameters that a filter feeds."""
        for tile in self.tiles:
            if tile.question and name in self.filters_of(tile):
                yield load_questions()[tile.question].parameters[name]

    def default_of(self, name: str) -> str | None:
        """What a filter is set to at first: its own default, or that of all that it feeds."""
        defaults = {parameter.default for parameter in self.fed_by(name)}
        own = self.filters[name].default
        if own is None and len(defaults) == 1:
            [own] = [None if default is None else str(default) for default in defaults]
        return own

    def default_in_words(self, name: str) -> str:
        """The same for a person, also where the data say what it is."""
        default = self.default_of(name)
        if default is not None:
            return default
        texts = list(dict.fromkeys(each.default_text for each in self.fed_by(name)))
        return ", or ".join(texts) if len(texts) < 3 else "as each tile says"

    def given_to(self, tile: Tile, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the filters give to a tile's question: what is chosen, or their defaults.

        A filter of days may be set to an instant; who takes a day only gets the day of it in UTC.
        """
        chosen = chosen or {}
        given = {}
        for name in self.filters_of(tile):
            text = chosen.get(name) or self.default_of(name)
            if text is not None:
                parameter = load_questions()[str(tile.question)].parameters[name]
                is_cut = parameter.type == "date" and DAY_OF_INSTANT.match(text)
                given[name] = text[:10] if is_cut else text
        return given

    def question_of(self, tile: Tile) -> Question | None:
        """The question of a tile; None for a heading. Raises TerminalError for one with a fault."""
        if tile.question in broken_questions():
            raise broken_questions()[tile.question]
        return load_questions()[tile.question] if tile.question else None


def _is_broken(tile: Tile) -> bool:
    return tile.question in broken_questions()


def _knows(tile: Tile, name: str) -> bool:
    question = load_questions().get(tile.question or "")
    return question is not None and name in question.parameters


def _kind(parameter: Parameter) -> str:
    # A filter of days also fits a parameter that takes instants, because a day is one way to write
    # an instant.
    return "date" if parameter.type == "instant" else parameter.type


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: PyYAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise ValueError(f"line {node.start_mark.line + 1}: a key stands twice")
        return mapping


def parse_dashboard(name: str, text: str | bytes) -> Dashboard:
    """The dashboard in a file's text; raises TerminalError when the file is wrong."""
    try:
        definition = yaml.load(text if isinstance(text, str) else text.decode(), _Loader)
        if not isinstance(definition, dict) or "name" in definition:
            raise ValueError("needs keys such as title and tiles; its name is the file's")
        return Dashboard(name=name, **definition)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise TerminalError(f"dashboard {name}: {where}{message}") from None
    except WarehouseError:
        raise
    except RecursionError:
        raise TerminalError(f"dashboard {name}: nested too deeply") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise TerminalError(f"dashboard {name}: {' '.join(str(error).split())}") from None


@cache
def load_dashboards() -> dict[str, Dashboard]:
    """Every dashboard of the package by name, in the order of their ranks and names."""
    dashboards = [
        parse_dashboard(name, file.read_bytes())
        for file in resources.files("dashboards").iterdir()
        if (name := file.name.removesuffix(".yml")) != file.name
    ]
    dashboards.sort(key=lambda each: (each.rank, each.name))
    return {each.name: each for each in dashboards}
