"""A question that is planned once, for all values, answers as one that is planned each time."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
from psycopg2.extensions import connection as Connection

from dashboards.answers import ask, glimpse, open_reader, planned
from dashboards.parameters import Parameter
from dashboards.prepared import execute
from dashboards.questions import Question, load_questions
from dashboards.serve.pool import ReaderPool
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse

QUESTIONS = load_questions()
# In the sample.
TYPED = {
    "date": "2022-04-30", "instant": "2026-01-05T13:30:00Z", "integer": "2", "number": "0.1",
}  # fmt: skip
PLANS = (
    "select coalesce(sum(generic_plans), 0), coalesce(sum(custom_plans), 0) "
    "from pg_prepared_statements"
)


def typed(warehouse: Warehouse, parameter: Parameter) -> str:
    """A value that somebody might give."""
    if known := parameter.known:
        query = f"select min(cast({known.column} as text)) from marts.{known.table}"
        return str(warehouse.rows(query)[0][0])
    return parameter.choices[-1] if parameter.choices else TYPED.get(parameter.type, "mxn")


def given_to(warehouse: Warehouse, question: Question) -> Iterator[dict[str, str]]:
    """Nothing, each parameter by itself, and all of them."""
    yield {}
    values = {name: typed(warehouse, each) for name, each in question.parameters.items()}
    for name, value in values.items():
        yield {name: value}
    yield values


@pytest.fixture
def planning_once(sampled: Warehouse) -> Iterator[Connection]:
    assert sampled.where.db
    with closing(open_reader()) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("set plan_cache_mode = force_generic_plan")
        yield connection


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_plan_for_all_values_answers_the_same(
    sampled: Warehouse, planning_once: Connection, name: str
) -> None:
    question = QUESTIONS[name]
    has_rows = False
    for given in given_to(sampled, question):
        values = question.bind(given)
        # In one transaction it is one moment.
        with planning_once, planning_once.cursor() as cursor:
            cursor.execute(question.statement, values)
            expected = cursor.fetchall(), cursor.description
            execute(cursor, *planned(question, values))
            assert (cursor.fetchall(), cursor.description) == expected, given
        has_rows = has_rows or bool(expected[0])
    assert has_rows or name == "open-alerts"


def asked_of_a_page(name: str, *chosen: dict[str, str]) -> tuple[int, int]:
    """How many plans the page made for all values, and how many for single ones."""
    question, pool = QUESTIONS[name], ReaderPool(1, "test")

    def look(connection: Connection, given: dict[str, str]) -> None:
        with connection, connection.cursor() as cursor:
            glimpse(cursor, question, question.bind(given), 10)

    def plans(connection: Connection) -> tuple[int, int]:
        with connection, connection.cursor() as cursor:
            cursor.execute(PLANS)
            [(for_all, for_one)] = cursor.fetchall()
        return int(for_all), int(for_one)

    async def run() -> tuple[int, int]:
        for given in chosen:
            await pool.run(partial(look, given=given))
        return await pool.run(plans)

    try:
        return asyncio.run(run())
    finally:
        pool.close()


def test_a_page_plans_for_all_values_but_those_of_a_user(sampled: Warehouse) -> None:
    books = [{"book": "btc_mxn"}, {"book": "usd_mxn"}, {}]
    assert asked_of_a_page("spread-breaches", *books) == (len(books), 0)
    [(user,)] = sampled.rows("select min(user_id) from marts.user_level_current")
    assert asked_of_a_page("user-levels", {}, {"user_id": user}) == (1, 1)


def test_a_session_that_is_another_one_is_prepared_anew(sampled: Warehouse) -> None:
    assert sampled.where.db
    question = QUESTIONS["books"]
    with closing(open_reader()) as connection:
        first = ask(connection, question, question.bind({}))
        # As a pooler may do it, which gives each transaction another session.
        with connection, connection.cursor() as cursor:
            cursor.execute("deallocate all")
        assert ask(connection, question, question.bind({})) == first


def test_what_was_made_anew_with_other_types_is_read_anew(warehouse: Warehouse) -> None:
    assert warehouse.where.db
    with closing(connect()) as connection, connection.cursor() as cursor:
        for value in ("cast(1 as integer)", "'100 %'", "null", "cast(2 as numeric)"):
            cursor.execute("drop view if exists marts.changing")
            cursor.execute(f"create view marts.changing as select {value} as value")
            connection.commit()
            cursor.execute(f"select {value}")
            expected = cursor.fetchall()
            for _ in range(2):
                execute(cursor, "select value from marts.changing where $1 <> '%'", [("text", "")])
                assert cursor.fetchall() == expected
            connection.commit()
