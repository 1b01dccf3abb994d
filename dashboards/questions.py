"""The question files: what may be asked, with which parameters, answered by which SQL.

A file is one select over `marts`, after a comment that holds YAML: title, description, display,
chart, columns and parameters. `:name` in the SQL is the place of a parameter. A parameter that
was not given is bound with its `default`, or with NULL where it has none: then the SQL finds the
default in the data, and `unset` says in words what that is. What several questions ask for is
described once, in `parameters.yml`; which data they answer from, in `data.yml`.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from dashboards.charts import Chart, Column, Display, Strict
from dashboards.parameters import Now, Parameter, Value
from loader.warehouse.clock import SYSTEM_CLOCK
from loader.warehouse.errors import TerminalError, UsageError
from loader.warehouse.text import nearest

Group = Literal["markets", "users", "exchanges", "pipeline"]
GROUPS: tuple[Group, ...] = get_args(Group)

_FRONT_MATTER = re.compile(r"\A/\*\n(?P<yaml>.*?)\*/\n(?P<sql>.*)\Z", re.DOTALL)
# What may hold a colon without being a parameter comes first, so that it is passed over.
_PLACEHOLDER = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|::|:(?P<name>[a-z][a-z0-9_]*)", re.DOTALL
)
# Not followed by a parenthesis: that is a function.
_TABLE = re.compile(r"\bmarts\.([a-z_]+)\b(?!\()")


class DataSource(Strict):
    """What a question answers from: a table of marts, and when each of its rows begins and ends.

    `asked_by` says who has use for it: those who watch markets, users, exchanges or the pipeline.
    """

    asked_by: Group
    table: str
    first: str
    last: str
    # Whether it has a column `book`, to tell of the book alone that is asked for.
    by_book: bool = False
    # Whether it is about this moment: an answer is out of date as soon as it is there.
    is_of_now: bool = False


class Question(Strict):
    """One question: its front matter, and its SQL in the form that psycopg2 binds.

    An answer without rows means that all was calm, or that nobody looked, where `calm_over_days`
    is set: it says over how many days that is by default, 0 of this moment.
    """

    name: str
    title: str
    description: str
    display: Display
    chart: Chart | None = None
    columns: dict[str, Column] = Field(default_factory=dict)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    data: DataSource | None = None
    calm_over_days: int | None = Field(None, ge=0)
    statement: str

    @model_validator(mode="after")
    def _uses_its_parameters(self) -> "Question":
        used = set(re.findall(r"(?<!%)%\((\w+)\)s", self.statement))
        if used != set(self.parameters):
            odd = ", ".join(sorted(used ^ set(self.parameters)))
            raise ValueError(f"parameters and placeholders differ: {odd}")
        return self

    @model_validator(mode="after")
    def _has_a_chart_if_it_is_drawn(self) -> "Question":
        if (self.chart is not None) != (self.display in ("line", "bar")):
            raise ValueError("a line or bar needs a chart, and nothing else has one")
        return self

    @property
    def asked_by(self) -> Group:
        """Who has use for it; of one that does not say what it answers from, who runs all this."""
        return self.data.asked_by if self.data else "pipeline"

    @property
    def is_of_now(self) -> bool:
        """Whether it is about the moment of asking."""
        return self.data is not None and self.data.is_of_now

    def names_one_of_many(self, values: Mapping[str, Value | None]) -> bool:
        """Whether it is asked about a single user: of them there may be millions."""
        return any(
            parameter.known is not None and parameter.known.private and values[name] is not None
            for name, parameter in self.parameters.items()
        )

    def sql(self, placeholder: Callable[[str], str]) -> str:
        """Its SQL, with what `placeholder` makes of each parameter's name in the name's place."""
        return re.sub(
            r"%%|%\((\w+)\)s",
            lambda found: placeholder(found[1]) if found[1] else "%",
            self.statement,
        )

    def bind(
        self, given: Mapping[str, str], now: Now = SYSTEM_CLOCK.now
    ) -> dict[str, Value | None]:
        """A value for every parameter: the given text, checked, or the default.

        `now` is asked once at most, so that no midnight lies between two parameters.
        Raises UsageError, naming the parameter and what was expected.
        """
        for name in given:
            if name not in self.parameters:
                hint = nearest(name, self.parameters)
                raise UsageError(f"{self.name} has no parameter {name!r}{hint}")
        now = cache(now)
        values = {
            name: self._parse(name, parameter, given[name], now)
            if name in given
            else parameter.default
            for name, parameter in self.parameters.items()
        }
        first, last = values.get("from"), values.get("to")
        # ISO texts sort like the times that they stand for. A day is not compared with an instant,
        # because only the database knows in which time zone days are cut.
        if first and type(first) is type(last) and str(first) > str(last):
            raise UsageError(f"{self.name}: from must not be after to")
        for name, parameter in self.parameters.items():
            value, limit = values[name], values.get(parameter.at_most or "")
            if (
                value is not None
                and limit is not None
                and Decimal(str(value)) > Decimal(str(limit))
            ):
                raise UsageError(f"{self.name}: {name} must not be above {parameter.at_most}")
        return values

    def _parse(self, name: str, parameter: Parameter, text: str, now: Now) -> Value:
        try:
            return parameter.parse(text, now)
        except ValueError:
            hint = nearest(text, parameter.choices)
            raise UsageError(
                f"{self.name}: {name} must be {parameter.expected}, not {text!a}{hint}"
            ) from None


def tables_of(question: Question) -> set[str]:
    """The tables of marts that a question reads."""
    return set(_TABLE.findall(question.statement))


def parse_question(name: str, text: str | bytes) -> Question:
    """The question in a file's text; raises TerminalError when the file is wrong."""
    try:
        parts = _FRONT_MATTER.match(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError as error:
        raise TerminalError(f"question {name}: {error}") from None
    if parts is None:
        raise TerminalError(f"question {name}: does not begin with a /* comment */")
    try:
        front_matter = yaml.safe_load(parts["yaml"])
        if isinstance(front_matter, dict) and isinstance(front_matter.get("parameters"), dict):
            front_matter["parameters"] = {
                parameter: _described(described)
                for parameter, described in front_matter["parameters"].items()
            }
        if isinstance(front_matter, dict) and "data" in front_matter:
            front_matter["data"] = _common("data", front_matter["data"])
        return Question(name=name, statement=_to_pyformat(parts["sql"]), **front_matter)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TerminalError(f"question {name}: {where}: {first['msg']}") from None
    except RecursionError:
        raise TerminalError(f"question {name}: nested too deeply") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise TerminalError(f"question {name}: {' '.join(str(error).split())}") from None


def _described(described: object) -> object:
    """A parameter as a question describes it: by the name of a common one, or `like` one.

    What it says beside `like` is its own.
    """
    own = {"like": described} if isinstance(described, str) else described
    if not isinstance(own, dict) or "like" not in own:
        return own
    common = _common("parameters", own["like"])
    return common | {name: value for name, value in own.items() if name != "like"}


def _common(kind: str, name: object) -> dict[str, object]:
    """What is described once for several questions, by its name."""
    common = _read_common(kind)
    if name not in common:
        raise ValueError(
            f"no common {kind.removesuffix('s')} {str(name)!r}{nearest(str(name), common)}"
        )
    return common[str(name)]


@cache
def _read_common(kind: str) -> dict[str, dict[str, object]]:
    text = (resources.files("dashboards") / "questions" / f"{kind}.yml").read_text()
    common: dict[str, dict[str, object]] = yaml.safe_load(text)
    return common


def _to_pyformat(sql: str) -> str:
    """`:name` becomes `%(name)s`, wherever it is no part of a string, comment or cast."""

    def replace(match: re.Match[str]) -> str:
        return f"%({match['name']})s" if match["name"] else match[0].replace("%", "%%")

    pieces = []
    end = 0
    for match in _PLACEHOLDER.finditer(sql):
        pieces += [sql[end : match.start()].replace("%", "%%"), replace(match)]
        end = match.end()
    return "".join([*pieces, sql[end:].replace("%", "%%")]).strip()


def load_questions() -> dict[str, Question]:
    """Every question of the package by name, in alphabetical order; those left out are broken."""
    return _read_questions()[0]


def broken_questions() -> dict[str, TerminalError]:
    """What is wrong with the files that hold no question, by the names that they would have."""
    return _read_questions()[1]


@cache
def _read_questions() -> tuple[dict[str, Question], dict[str, TerminalError]]:
    questions, broken = {}, {}
    folder = resources.files("dashboards") / "questions"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        name = file.name.removesuffix(".sql")
        if name == file.name:
            continue
        try:
            questions[name] = parse_question(name, file.read_bytes())
        except TerminalError as error:
            broken[name] = error
    return questions, broken
