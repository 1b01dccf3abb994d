"""What is chosen in a page's address: filters, and how often the page is refreshed."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from psycopg2.extensions import connection as Connection

from dashboards.definitions import Dashboard
from dashboards.known import as_known
from dashboards.parameters import Value
from dashboards.questions import Question, load_questions
from loader.warehouse.errors import UsageError
from loader.warehouse.postgres.reporting import reporting_now_on
from loader.warehouse.text import nearest

REFRESH = "refresh"
# In seconds, by how they are called.
PACES = {"off": 0, "10": 10, "60": 60}


@dataclass(frozen=True)
class Chosen:
    """The filters that are set, by their names, and a pace of `PACES`."""

    filters: tuple[tuple[str, str], ...]
    pace: str = "off"

    @property
    def given(self) -> dict[str, str]:
        """The filters' texts."""
        return dict(self.filters)

    def query(self, **other: str) -> str:
        """As part of an address, with other values in their places."""
        pace = {REFRESH: self.pace} if self.pace != "off" else {}
        return urlencode({**self.given, **pace, **other})


def chosen_in(dashboard: Dashboard, pairs: Iterable[tuple[str, str]]) -> Chosen:
    """What the pairs of an address choose; an empty value is none.

    Raises UsageError for what the dashboard does not know, with the nearest right name.
    """
    known = [*dashboard.filters, REFRESH]
    given: dict[str, str] = {}
    for name, text in pairs:
        if name not in known:
            raise UsageError(f"{dashboard.name} has no filter {name!a}{nearest(name, known)}")
        if name in given:
            raise UsageError(f"{name} is there twice")
        given[name] = text.strip()
    pace = given.pop(REFRESH, "") or "off"
    if pace not in PACES:
        raise UsageError(f"{REFRESH} must be {' or '.join(PACES)}, not {pace!a}")
    filters = ((name, given[name]) for name in dashboard.filters if given.get(name))
    return Chosen(tuple(filters), pace)


def typed_in(dashboard: Dashboard, pairs: Iterable[tuple[str, str]]) -> Chosen:
    """The same of pairs that choose nothing that can be, to be shown and put right."""
    typed = {name: text for name, text in pairs if name in dashboard.filters}
    return Chosen(tuple(typed.items()))


def check(connection: Connection, dashboard: Dashboard, chosen: Chosen) -> None:
    """Raise UsageError for a value that one of the dashboard's questions would refuse."""
    looked_up: set[str] = set()
    for tile in dashboard.tiles:
        question = load_questions().get(tile.question or "")
        if question is None:
            continue
        values = bound_values(connection, question, dashboard.given_to(tile, chosen.given))
        names = {name for name in dashboard.filters_of(tile) if name in chosen.given} - looked_up
        if names:
            as_known(connection, question, values)
            looked_up |= names


def bound_values(
    connection: Connection, question: Question, given: dict[str, str]
) -> dict[str, Value | None]:
    """A question's values, relative times by the database's clock."""
    return question.bind(given, lambda: reporting_now_on(connection))
