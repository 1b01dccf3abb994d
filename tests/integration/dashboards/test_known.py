"""A name that nobody knows is never an empty answer, and each answer says how old its data are."""

import json
import re
from datetime import date, timedelta
from typing import Any

import pytest

from dashboards.answers import reading
from dashboards.definitions import Dashboard, Tile, load_dashboards
from dashboards.known import Extent, extent
from dashboards.questions import load_questions
from dashboards.serve.chosen import Chosen
from dashboards.serve.tiles import tile_page
from loader.operations.schedule import SCHEDULE
from loader.warehouse.settings import get_settings
from tests import market
from tests.conftest import Warehouse

QUESTIONS = load_questions()
NAMED = [
    (question.name, name)
    for question in QUESTIONS.values()
    for name, parameter in question.parameters.items()
    if parameter.known
]
AGE = re.compile(
    r"data until (\d{4}-\d\d-\d\d)(T\d\d:\d\d:\d\dZ)?, "
    r"(today|yesterday|[\d,]+ (s|min|h|days) ago)\n"
)


def ask(warehouse: Warehouse, name: str, *arguments: str) -> Any:
    return warehouse.call("dashboards", "ask", name, *arguments)


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def slip(known: str) -> str:
    """A known name with a slip of the finger."""
    return known + ("x" if known.isalpha() or "_" in known else "7")


def test_each_question_knows_its_names_and_its_data() -> None:
    free = {
        name
        for question in QUESTIONS.values()
        for name, parameter in question.parameters.items()
        if parameter.type == "text" and not parameter.choices and not parameter.known
    }
    assert free == set()
    assert [name for name, question in QUESTIONS.items() if question.data is None] == []


@pytest.mark.parametrize(("question", "name"), NAMED, ids="-".join)
def test_an_unknown_name_is_wrong_usage(sampled: Warehouse, question: str, name: str) -> None:
    parameter = QUESTIONS[question].parameters[name]
    assert parameter.known is not None
    table, column = parameter.known.table, parameter.known.column
    [(known,)] = sampled.rows(f"select cast(min({column}) as text) from marts.{table}")
    is_number = parameter.type in ("integer", "number")
    for wrong in (slip(known), "987654" if is_number else "nobody's", "0" if is_number else "*"):
        if sampled.rows(f"select from marts.{table} where cast({column} as text) = %s", wrong):
            continue
        for form in ("table", "csv", "json"):
            done = ask(sampled, question, option(name), wrong, "--format", form)
            assert (done.returncode, done.stdout) == (2, ""), (wrong, form)
        assert done.stderr.count("\n") == 1, done.stderr
        assert f"{question}: {name}: " in done.stderr
        assert ("did you mean" in done.stderr or "known are" in done.stderr) != (
            parameter.known.private
        )
    assert ask(sampled, question, option(name), known).returncode == 0
    as_it_is = ask(sampled, question, option(name), known, "--format", "csv")
    shouted = ask(sampled, question, option(name), known.upper(), "--format", "csv")
    assert parameter.known.private or shouted.stdout == as_it_is.stdout


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_answer_says_how_old_its_data_are(sampled: Warehouse, question: str) -> None:
    done = ask(sampled, question)
    assert done.returncode == 0, done.stderr
    said = done.stderr.removeprefix("no rows: ")
    assert AGE.fullmatch(said) or "data exist from" in said, done.stderr
    rows = json.loads(ask(sampled, question, "--format", "json").stdout)
    assert bool(rows) == bool(AGE.fullmatch(said))


def test_a_known_name_without_data_in_that_time_says_when_there_are(sampled: Warehouse) -> None:
    done = ask(sampled, "spread-observations", "--from", "1999-01-01", "--to", "1999-01-02")
    assert done.returncode == 0
    [(first, last)] = sampled.rows(
        "select min(orderbook_timestamp), max(orderbook_timestamp) "
        "from marts.spread_observations where book = 'btc_mxn'"
    )
    assert done.stderr == (
        f"no rows: data exist from {first:%Y-%m-%dT%H:%M:%S}Z to {last:%Y-%m-%dT%H:%M:%S}Z\n"
    )
    [(never,)] = sampled.rows(
        "select min(book) from marts.observed_books where first_observed_at is null"
    )
    done = ask(sampled, "spread-observations", "--book", never, "--format", "csv")
    assert (done.returncode, done.stderr) == (0, f"no rows: there are no data of {never} yet\n")


def test_a_book_that_nobody_watches_is_said_to_be_that(sampled: Warehouse) -> None:
    [(never,)] = sampled.rows(
        "select min(book) from marts.observed_books where first_observed_at is null"
    )
    watched = [book for (book,) in sampled.rows("select book from marts.book_states order by book")]
    assert watched
    meant = f"no rows: {never} is not watched: watched are {', '.join(watched)}; "
    of_now = [question for question in QUESTIONS.values() if question.is_of_now]
    assert of_now
    for question in of_now:
        assert ask(sampled, question.name, "--book", never.upper()).stderr.startswith(meant)
        # One that is watched, long before anybody did.
        if "as_of" in question.parameters:
            done = ask(sampled, question.name, "--book", watched[0], "--as-of", "1999-01-01")
            assert done.stderr.startswith("no rows: data exist from ")
    for question in QUESTIONS.values():
        if question.calm_over_days:
            assert ask(sampled, question.name, "--book", never).stderr.startswith(meant)


def test_data_that_came_while_it_was_asked_are_not_of_the_future(sampled: Warehouse) -> None:
    question = QUESTIONS["pipeline-runs"]
    with reading() as connection, connection, connection.cursor() as cursor:
        cursor.execute("select now() from pg_sleep(1.1)")
        sampled.rows("insert into ops.runs (job) values ('later')")
        try:
            found = extent(cursor, question, question.bind({}))
        finally:
            sampled.rows("delete from ops.runs where job = 'later'")
    assert found
    assert found.in_words.endswith("0 s ago")


OF_A_DAY = [
    (dashboard, tile)
    for dashboard in load_dashboards().values()
    for tile in dashboard.tiles
    if tile.question and "day" in QUESTIONS[tile.question].parameters
]


@pytest.mark.parametrize(("dashboard", "tile"), OF_A_DAY, ids=lambda each: getattr(each, "key", ""))
def test_of_a_day_without_data_there_is_no_figure(
    sampled: Warehouse, dashboard: Dashboard, tile: Tile
) -> None:
    question = QUESTIONS[str(tile.question)]

    def shown(day: date | None) -> str:
        chosen = Chosen((("day", day.isoformat()),) if day else ())
        with reading() as connection:
            return tile_page(connection, dashboard, tile, chosen)

    with reading() as connection, connection, connection.cursor() as cursor:
        known = extent(cursor, question, question.bind({}))
    assert known
    assert isinstance(known.first, date)
    assert isinstance(known.last, date)
    one = timedelta(days=1)
    for day in (None, known.first, known.last - one, known.last):
        assert "no data " not in shown(day), day
    for day, said in (
        (known.last + one, f"no data after {known.last}"),
        (known.first - one, f"no data before {known.first}"),
    ):
        assert shown(day).count(said) == 1
        # Nothing stands there as if it were counted.
        assert '<p class="figure">' not in shown(day)
        done = ask(sampled, question.name, "--day", day.isoformat(), "--format", "csv")
        assert done.returncode == 0
        assert said in done.stderr or done.stderr.startswith("no rows: data exist from ")


def test_a_number_is_near_by_its_value(sampled: Warehouse) -> None:
    done = ask(sampled, "spread-alerts", "--threshold", "0.2")
    assert done.stderr.endswith(": did you mean 0.1?\n")


def test_a_day_that_is_not_over_is_today() -> None:
    said = [Extent(None, date(2026, 1, 5), days * 86_400 + 1).in_words for days in (-1, 0, 1, 2)]
    assert said == [f"data until 2026-01-05, {ago}" for ago in (
        "today", "today", "yesterday", "2 days ago",
    )]  # fmt: skip


@pytest.mark.parametrize("wrong", ["NaN", "inf", "-1", "1e3", "0x1", "", "0.1 %", "9" * 31])
def test_a_threshold_is_a_plain_number(sampled: Warehouse, wrong: str) -> None:
    for question in ("spread-alerts", "spread-breaches"):
        done = ask(sampled, question, "--threshold", wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert "a number of 0 or more" in done.stderr
    for same in ("0.1", "0.10", "00.1"):
        assert ask(sampled, "spread-alerts", "--threshold", same).returncode == 0


def test_marts_that_are_older_than_the_question_still_answer(sampled: Warehouse) -> None:
    sampled.rows("alter view marts.observed_books rename to not_yet")
    try:
        done = ask(sampled, "spread-observations")
    finally:
        sampled.rows("alter view marts.not_yet rename to observed_books")
    assert (done.returncode, done.stderr) == (0, "how new the data are is not known\n")


def test_what_is_watched_listed_or_scheduled_is_known_without_data(warehouse: Warehouse) -> None:
    warehouse.dbt("build", "--exclude", "resource_type:test", "resource_type:unit_test")
    warehouse.rows(
        "with run as (insert into ops.runs (job) values ('x') returning run_id) insert into "
        "ops.monitored (run_id, books, feed, interval, monitored_from, monitored_until) "
        "select run_id, '{sol_mxn}', 'ticker', '10 min', '2026-01-05', '2026-01-06' from run"
    )
    aliases = warehouse.rows("select alias, book from reference.book_aliases")
    listed = warehouse.rows("select distinct book from marts.book_names")
    names = {"sol_mxn", *get_settings().books}.union(*aliases, *listed)
    for name in names:
        done = ask(warehouse, "spread-alerts", "--book", name)
        assert (done.returncode, name) == (0, name), done.stderr
    for job in SCHEDULE:
        done = ask(warehouse, "pipeline-runs", "--job", job.name)
        assert (done.returncode, job.name) == (0, job.name), done.stderr


def test_nothing_is_called_watched_where_nothing_is(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    market.build(warehouse)
    for question in QUESTIONS.values():
        if question.is_of_now or question.calm_over_days is not None:
            said = ask(warehouse, question.name).stderr
            assert said == "no rows: no book is watched; there are no data yet\n", question.name
