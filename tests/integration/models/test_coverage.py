"""Coverage of ten minutes, against plain loops over what the stream was told to write."""

import re
from typing import Any

import pytest

from dashboards import answers
from dashboards.questions import load_questions
from tests import market
from tests.conftest import Warehouse
from tests.watch import BOOKS, Watch

TESTS = ("every_expected_second_is_observed_or_missing", "no_second_is_observed_twice")
# Of the runs that have ended.
ENDED = "join ops.runs using (run_id) where finished_at is not null"
LAST_GAP = f"(select max(gap_from) from ops.gaps {ENDED} and missing_slots < 50)"
LAST_ROW = f"(select max(received_at) from raw.bitso_order_books {ENDED})"


def ask(name: str, given: dict[str, str]) -> answers.Answer:
    question = load_questions()[name]
    with answers.reading() as connection:
        return answers.ask(connection, question, question.bind(given))


def covered(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select book, window_start, expected, observed, missing, longest_gap_seconds, causes "
        "from marts.observation_coverage order by 1, 2"
    )


@pytest.fixture(scope="module")
def life(module_warehouse: Warehouse) -> tuple[Warehouse, Watch]:
    """A stream's first half hour, with an end, a kill and a book switched off."""
    module_warehouse.activate()
    module_warehouse.dbt("seed")
    watch = Watch(4)
    watch.run(400)
    watch.sleep(130, killed=True)
    watch.run(500, stops=True)
    watch.sleep(700, BOOKS[:2], killed=False)
    watch.run(100, BOOKS[:2])
    market.build(module_warehouse, "--select", "reporting_settings")
    return module_warehouse, watch


@pytest.fixture
def watched(life: tuple[Warehouse, Watch]) -> tuple[Warehouse, Watch]:
    life[0].activate()
    return life


def test_windows_are_those_of_the_account(watched: tuple[Warehouse, Watch]) -> None:
    warehouse, watch = watched
    windows = watch.windows()
    assert covered(warehouse) == windows
    # It is a life worth counting.
    assert {row[2] for row in windows} >= {300, 600}
    assert any("not_running" in (row[6] or "") for row in windows)


def test_a_run_that_goes_on_comes_in_when_it_ends(watched: tuple[Warehouse, Watch]) -> None:
    warehouse, watch = watched
    before = covered(warehouse)
    watch.run(61 - watch.at.second, BOOKS[:2])
    market.build(warehouse)
    assert covered(warehouse) == watch.windows()
    assert covered(warehouse) != before
    watch.sleep(1500, BOOKS[:2], killed=True)
    watch.run(60 - watch.at.second, BOOKS[:2])
    market.build(warehouse)
    assert covered(warehouse) == watch.windows()
    market.build(warehouse, "--full-refresh", "--exclude", "resource_type:seed")
    assert covered(warehouse) == watch.windows()
    done = warehouse.dbt("test", "--select", *TESTS)
    assert all(f"PASS {name}" in done.stdout for name in TESTS)


def test_answers_and_alerts_carry_it(watched: tuple[Warehouse, Watch]) -> None:
    warehouse, watch = watched
    windows = watch.windows()
    answer = ask("observation-coverage", {"book": "mxn_btc", "from": "2026-11-01"})
    assert answer.columns == (
        "book", "window_start", "expected", "observed", "missing", "longest_gap_seconds",
    )  # fmt: skip
    assert answer.rows == [
        (row[0], f"{row[1]:%Y-%m-%dT%H:%M:%S+00:00}", *row[2:6])
        for row in windows
        if row[0] == "btc_mxn"
    ]
    day = ask("observation-coverage", {"from": "2026-11-02T00:05:00Z", "to": "2026-11-02T00:10Z"})
    assert {row[1] for row in day.rows} == {
        "2026-11-02T00:00:00+00:00", "2026-11-02T00:10:00+00:00",
    }  # fmt: skip
    # An hour in which nobody ran is there, for the books that were to be watched.
    hours = ask("spread-breaches", {"from": "2026-11-01"}).rows
    last = watch.at.replace(minute=0, second=0)
    seen = {row[1] for row in hours if row[0] == f"{last:%Y-%m-%dT%H:%M:%S+00:00}"}
    assert seen == set(BOOKS)
    assert warehouse


@pytest.mark.parametrize(
    ("fault", "failing"),
    [
        ("delete from ops.gaps where gap_from = {last_gap}", TESTS[0]),
        ("update ops.gaps set gap_until = gap_until + interval '2 s' where gap_from = {last_gap}",
         TESTS[0]),
        ("delete from raw.bitso_order_books where received_at = {last_row}", TESTS[0]),
        (("insert into raw.bitso_order_books select * from raw.bitso_order_books "
         "where received_at = {last_row} limit 1"), TESTS[1]),
    ],
)  # fmt: skip
def test_the_tests_of_the_mart_can_fail(
    watched: tuple[Warehouse, Watch], fault: str, failing: str
) -> None:
    warehouse, _ = watched
    tables = ("ops.gaps", "raw.bitso_order_books")
    for table in tables:
        warehouse.rows(f"create table public.kept_{table[4:]} as select * from {table}")
    before = covered(warehouse)
    try:
        warehouse.rows(fault.format(last_gap=LAST_GAP, last_row=LAST_ROW))
        warehouse.dbt("run", "--full-refresh", "--select", "observation_coverage")
        done = warehouse.dbt("test", "--select", *TESTS, check=False)
    finally:
        for table in tables:
            columns = "book, gap_from, gap_until, cause, run_id" if table == "ops.gaps" else "*"
            into = f"({columns})" if table == "ops.gaps" else ""
            warehouse.rows(f"delete from {table}")
            warehouse.rows(
                f"insert into {table} {into} select {columns} from public.kept_{table[4:]}"
            )
            warehouse.rows(f"drop table public.kept_{table[4:]}")
    for name in TESTS:
        verdict = r"FAIL \d+" if name == failing else "PASS"
        assert re.search(f"{verdict} {name}", done.stdout), done.stdout
    warehouse.dbt("run", "--full-refresh", "--select", "observation_coverage")
    assert covered(warehouse) == before
