"""Dashboard files: what is accepted, and what is said about the mistakes in the rest."""

import pytest

from dashboards.definitions import load_dashboards, parse_dashboard
from dashboards.questions import load_questions, parse_question
from loader.warehouse.errors import TerminalError

FILE = """\
title: Users
description: Who they are.
filters:
  status:
    title: Transactions
  from:
    title: From
    default: 2023-01-01
tiles:
  - heading: On the day
    at: {row: 0, col: 0, width: 24, height: 1}
  - question: active-users
    at: {row: 1, col: 0, width: 6, height: 3}
  - question: active-users-by-day
    at: {row: 1, col: 6, width: 18, height: 6}
  - question: spread-observations
    at: {row: 7, col: 0, width: 24, height: 6}
"""

MISTAKES = {
    "broken YAML": ("filters:", "filters: [", "while parsing"),
    "no mapping": (FILE, "- users", "needs keys such as title and tiles"),
    "empty": (FILE, "", "needs keys such as title and tiles"),
    "nested without end": (FILE, "tiles: " + "[" * 3000, "nested too deeply"),
    "a name of its own": ("title: Users", "title: Users\nname: mine", "its name is the file's"),
    "a key twice": ("title: Users", "title: Users\ntitle: Others", "a key stands twice"),
    "no title": ("title: Users\n", "", "title: Field required"),
    "an unknown key": ("title: Users", "title: Users\ncolour: red", "colour: Extra inputs"),
    "no tiles": (FILE[FILE.index("tiles:"):], "tiles: []", "tiles: Tuple should have at least 1"),
    "an unknown question": (
        "question: active-users\n", "question: active-user\n",
        "no such question: active-user: did you mean active-users?"),
    "a question twice": (
        "question: active-users\n", "question: active-users-by-day\n",
        "active-users-by-day has two tiles"),
    "neither question nor heading": (
        "  - heading: On the day\n    at", "  - at", "either a question or a heading"),
    "question and heading": (
        "  - heading: On the day", "  - heading: On the day\n    question: last-login",
        "either a question or a heading"),
    "off the grid": ("col: 6, width: 18", "col: 7, width: 18", "off the grid: column 7 and 18"),
    "beyond the grid": ("col: 6, width: 18", "col: 24, width: 1", "less than 24"),
    "before the grid": ("{row: 0", "{row: -1", "greater than or equal to 0"),
    "no height": ("height: 1}", "height: 0}", "greater than or equal to 1"),
    "a fraction": ("height: 1}", "height: 1.5}", "valid integer"),
    "overlapping": (
        "{row: 7,", "{row: 6,", "spread-observations overlaps active-users-by-day"),
    "overlapping a heading": (
        "{row: 1, col: 0, width: 6", "{row: 0, col: 0, width: 6",
        "active-users overlaps the heading 'On the day'"),
    "a heading with rows": (
        "  - heading: On the day", "  - heading: On the day\n    empty: Nobody.",
        "a heading has no rows"),
    "a tile without a place": (
        "    at: {row: 7, col: 0, width: 24, height: 6}\n", "", "at: Field required"),
    "an unknown key in a tile": (
        "question: active-users\n", "question: active-users\n    colour: red\n", "Extra inputs"),
    "no description": ("description: Who they are.\n", "", "description: Field required"),
    "an empty heading": ("heading: On the day", "heading: ''", "at least 1 character"),
    "a filter wired to nothing": (
        "  status:\n", "  colour:\n    title: Colour\n  status:\n",
        "the filter 'colour' is wired to nothing"),
    "a filter without title": ("    title: From\n", "", "filters: from: title: Field required"),
    "a filter with a bad default": (
        "2023-01-01", "lately", "the filter 'from': default must be a date like 2022-04-30"),
    "a choice that there is not": (
        "title: Transactions", "title: Transactions\n    default: failed",
        "default must be complete or any, not 'failed'"),
    "values of no question": (
        "title: From", "title: From\n    values: {question: day, column: day}",
        "no such question: day"),
    "ignoring what does not reach it": (
        "question: active-users\n", "question: active-users\n    ignores: [from]\n",
        "active-users ignores 'from', which would not reach it anyway"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake: str) -> None:
    old, new, said = MISTAKES[mistake]
    assert old in FILE
    with pytest.raises(TerminalError) as error:
        parse_dashboard("users", FILE.replace(old, new, 1))
    message = str(error.value)
    assert message.startswith("dashboard users: ")
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_no_text_is_told_in_one_line() -> None:
    with pytest.raises(TerminalError, match=r"^dashboard users: 'utf-8' codec can't decode[^\n]+$"):
        parse_dashboard("users", FILE.encode("utf-16"))


def test_a_filter_feeds_the_parameter_of_its_name() -> None:
    dashboard = parse_dashboard("users", FILE)
    fed = {tile.label: dashboard.filters_of(tile) for tile in dashboard.tiles}
    assert fed == {
        "the heading 'On the day'": (),
        "active-users": ("status",),
        "active-users-by-day": ("status", "from"),
        "spread-observations": ("from",),
    }
    assert dashboard.given_to(dashboard.tiles[2]) == {"status": "complete", "from": "2023-01-01"}
    assert dashboard.given_to(dashboard.tiles[3]) == {"from": "2023-01-01"}


def test_a_tile_may_ignore_a_filter() -> None:
    text = FILE.replace(
        "question: spread-observations", "question: spread-observations\n    ignores: [from]"
    )
    dashboard = parse_dashboard("users", text)
    assert dashboard.filters_of(dashboard.tiles[3]) == ()


def test_every_question_has_a_place_or_is_a_list_to_choose_from() -> None:
    shown = set()
    for dashboard in load_dashboards().values():
        shown |= {tile.question for tile in dashboard.tiles}
        shown |= {each.values.question for each in dashboard.filters.values() if each.values}
    # The observations themselves are for files: a chart of them is spread-by-second.
    assert shown - {None} == set(load_questions()) - {"spread-observations"}


QUESTION = """/*
title: Rows
description: How many rows.
display: line
chart: {x: day, y: [rows]}
columns:
  rows: {title: Rows, unit: of 9}
*/
select day, rows from marts.rows
"""

CHART_MISTAKES = {
    "a chart without one": ("chart: {x: day, y: [rows]}\n", "", "needs a chart"),
    "a table with one": ("display: line", "display: table", "nothing else has one"),
    "an unknown display": ("display: line", "display: pie", "display: Input should be"),
    "no y": ("y: [rows]", "y: []", "chart.y: Tuple should have at least 1"),
    "two y and a series": ("y: [rows]", "y: [rows, more], series: book", "has one y"),
    "dashed but not drawn": ("y: [rows]", "y: [rows], dashed: [more]", "dashed but no y: more"),
    "nothing measured": ("y: [rows]", "y: [rows], dashed: [rows]", "nothing is measured"),
    "a text that is more than another": (
        "unit: of 9", "warn: {operator: '>', value: failed}", "never >"),
    "one column twice": ("y: [rows]", "y: [day]", "only one of x, y and series"),
    "an unknown scale": ("y: [rows]", "y: [rows], scale: log", "chart.scale: Input should be"),
    "too many decimals": ("unit: of 9", "decimals: 99", "columns.rows.decimals"),
    "a warning of no kind": (
        "unit: of 9", "warn: {operator: near, value: 1}", "columns.rows.warn.operator"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CHART_MISTAKES)
def test_a_mistake_in_a_chart_is_told_in_one_line(mistake: str) -> None:
    old, new, said = CHART_MISTAKES[mistake]
    assert parse_question("rows", QUESTION).chart
    assert old in QUESTION
    with pytest.raises(TerminalError) as error:
        parse_question("rows", QUESTION.replace(old, new))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
