"""The filters of a dashboard as fields of a form."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from dashboards.answers import ask
from dashboards.definitions import Dashboard
from dashboards.questions import load_questions
from dashboards.serve.chosen import Chosen


@dataclass(frozen=True)
class FilterField:
    """A filter: what is chosen, what it is otherwise, what may be chosen.

    `names` are suggestions, `choices` all that there is.
    """

    name: str
    title: str
    value: str
    default: str
    choices: tuple[str, ...]
    names: tuple[str, ...]


def fields(
    dashboard: Dashboard, chosen: Chosen, names: Mapping[str, list[str]]
) -> list[FilterField]:
    """The filters in their order; `names` by `names_to_choose`."""
    return [
        FilterField(
            name,
            each.title,
            chosen.given.get(name, ""),
            dashboard.default_in_words(name),
            next((parameter.choices for parameter in dashboard.fed_by(name)), ()),
            tuple(names.get(name, ())),
        )
        for name, each in dashboard.filters.items()
    ]


def names_to_choose(connection: Connection, dashboard: Dashboard) -> dict[str, list[str]]:
    """What the data have for the filters that take a name."""
    found = {}
    for name, each in dashboard.filters.items():
        if each.values and (question := load_questions().get(each.values.question)):
            answer = ask(connection, question, question.bind({}))
            place = answer.columns.index(each.values.column)
            found[name] = [str(row[place]) for row in answer.rows if row[place] is not None]
    return found
