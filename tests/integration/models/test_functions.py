"""The functions in marts: there when anybody asks, inlined, replaced while others read."""

import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import psycopg2
import pytest

from dashboards import answers
from dashboards.questions import load_questions
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse

FUNCTIONS = {
    "book_named", "code_of", "days_known", "first_instant", "hours_watched", "is_above",
    "last_instant",
    "readable_amount", "readable_boolean", "readable_instant", "readable_integer",
    "readable_number", "readable_text", "readable_whole_number",
    "highest_alerts_at", "lost_alerts_at", "spread_at", "states_at", "usual_spread",
    "backtested_alerts", "calm_or_unseen", "calm_or_unseen_now", "coverage_by_period",
    "days_observed", "delivery_by_channel", "hours_between", "period_of_book", "period_of_hour",
    "period_up_to", "quantiles_by_period", "spread_held", "spread_quality_of",
}  # fmt: skip
MAKE = ("build", "--select", "resource_type:function")


def _plan(warehouse: Warehouse, query: str) -> str:
    # Verbose: with the columns, where a call would hide.
    return "\n".join(
        line for (line,) in warehouse.rows(f"explain (verbose) {query}", role="reader")
    )


@pytest.mark.parametrize("name", load_questions())
def test_no_question_calls_a_function_for_each_row(sampled: Warehouse, name: str) -> None:
    question = load_questions()[name]
    chosen = {"book": "mxn_btc", "from": "2026-01-05", "threshold": "0.3"}
    given = {name: value for name, value in chosen.items() if name in question.parameters}
    for values in ({}, given):
        with closing(connect("reader")) as connection, connection.cursor() as cursor:
            query = cursor.mogrify(question.statement, question.bind(values)).decode()
        plan = _plan(sampled, query)
        assert not [called for called in FUNCTIONS if f"marts.{called}" in plan]
        assert "Function Scan on marts" not in plan


def test_no_view_calls_a_function_for_each_row(sampled: Warehouse) -> None:
    assert "is_above" not in _plan(sampled, "select * from marts.spread_alerts_live")


@pytest.mark.parametrize(
    "query",
    [
        (
            "select max(orderbook_timestamp) from marts.spread_observations "
            "where book = (select named.book from marts.book_named('btc_mxn') as named)"
        ),
        "select end_hour from marts.hours_between(null, null, false)",
    ],
)
def test_the_newest_is_found_by_index(sampled: Warehouse, query: str) -> None:
    plan = _plan(sampled, query)
    assert "Backward using" in plan
    for table in ("quotes", "spread_hourly"):
        assert f"Seq Scan on target.{table}" not in plan
        assert f"Seq Scan on marts.{table}" not in plan


def test_functions_let_a_query_run_in_parallel(sampled: Warehouse) -> None:
    # Postgres looks at this before it inlines anything.
    found = sampled.rows(
        "select proname, proparallel, provolatile in ('s', 'i'), "
        "pg_get_userbyid(proowner), obj_description(oid) > '' "
        "from pg_proc where pronamespace = 'marts'::regnamespace"
    )
    assert {name for name, *_ in found} == FUNCTIONS
    assert {tuple(rest) for _, *rest in found} == {("s", True, "warehouse_transformer", True)}


def test_two_runs_at_once_take_turns(sampled: Warehouse) -> None:
    codes = []
    # Two processes, as two people have them: dbt itself is not made for two threads of one.
    typed = replace(sampled, starts_dbt=True)
    for _ in range(2):
        runs = [
            threading.Thread(
                target=lambda: codes.append(
                    typed.dbt(*MAKE, "--log-path", str(sampled.directory), check=False).returncode
                )
            )
            for _ in range(2)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
    assert codes == [0] * 4


def test_they_are_replaced_while_a_reader_reads(sampled: Warehouse) -> None:
    question = load_questions()["spread-breaches"]
    with closing(connect("reader")) as connection, connection.cursor() as cursor:
        cursor.execute(question.statement, question.bind({}))
        before = cursor.fetchall()
        # The reader's transaction is still open, with its locks.
        sampled.dbt(*MAKE)
        cursor.execute(question.statement, question.bind({}))
        assert before
        assert cursor.fetchall() == before


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("last_instant('2026-01-05', null, 'UTC')", "2026-01-05T23:59:59.999999"),
        ("last_instant(null, '2026-01-05 03:00+00', 'America/Mexico_City')",
         "2026-01-05T05:59:59.999999"),
        ("last_instant('2026-01-05T01:02:03+00:00', null, 'UTC')", "2026-01-05T01:02:03"),
        ("first_instant('2026-01-05', null, null, 'Asia/Kolkata')", "2026-01-04T18:30:00"),
        ("first_instant(null, null, '2026-01-05 03:00+00', 'America/Mexico_City')",
         "2025-12-29T06:00:00"),
        ("first_instant('2026-01-05T01:02:03+00:00', null, null, 'UTC')", "2026-01-05T01:02:03"),
    ],
)  # fmt: skip
def test_a_day_is_all_of_it_and_an_instant_itself(
    sampled: Warehouse, call: str, value: str
) -> None:
    [(instant,)] = sampled.rows(f"select marts.{call}", role="reader")
    assert instant == datetime.fromisoformat(value).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "book"),
    [("BTC_MXN", "btc_mxn"), ("mxn_btc", "btc_mxn"), ("Nobody", "nobody"), (None, None)],
)
def test_a_name_stands_for_a_book(sampled: Warehouse, name: str | None, book: str | None) -> None:
    assert sampled.rows("select * from marts.book_named(%s)", name, role="reader") == [(book,)]


def test_on_the_threshold_is_not_above_it(sampled: Warehouse) -> None:
    above = "select marts.is_above(20.277, 20.481, 0.99), marts.is_above(99, 100, 1)"
    assert sampled.rows(above, role="loader") == [(True, False)]


def test_the_reader_may_not_make_functions(sampled: Warehouse) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        sampled.rows(
            "create function marts.mine() returns int language sql return 1", role="reader"
        )


def test_dbt_run_alone_makes_them(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    warehouse.dbt("run")
    with answers.reading() as connection:
        for question in load_questions().values():
            answers.ask(connection, question, question.bind({}))
    # As somebody who has not built what they read would be told.
    warehouse.rows("drop function marts.last_instant")
    asked = warehouse.run("dashboards", "ask", "pipeline-runs")
    assert asked.returncode == 1
    assert asked.stderr.endswith("run `loader init` and `loader transform` first\n")
