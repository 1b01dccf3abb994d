"""The budget that all processes of a host share, on a real Postgres."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from loader.warehouse.errors import TransientError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.roles import Role
from loader.wire.rate_budget import RateLimits, SharedBudget
from tests.clocks import ManualClock
from tests.conftest import Warehouse
from tests.waiting import LAST_RESORT_SECONDS, wait_for

LIMITS = RateLimits(calls=50, max_wait=120)

WORKER = """
import sys, time
from loader.warehouse.postgres.connection import connect
from loader.wire.rate_budget import RateLimits, SharedBudget
budget = SharedBudget("bitso", RateLimits(calls=10, period=0.5), lambda: connect("loader"))
for _ in range(10):
    budget.take()
    print(time.time())
"""


def loader_connection() -> Connection:
    return connect("loader")


def unreachable() -> Connection:
    raise TransientError("cannot connect to nowhere")


@pytest.fixture
def budget(warehouse: Warehouse) -> Iterator[SharedBudget]:
    warehouse.activate()
    shared = SharedBudget("bitso", LIMITS, loader_connection, ManualClock())
    yield shared
    shared.close()


def _frozen_for(warehouse: Warehouse, at_least: float = 0) -> float:
    [(seconds,)] = warehouse.rows(
        "select ops.freeze_calls('bitso', %s, 60, 3600)", at_least, role="loader"
    )
    return round(float(seconds))


def _let_time_pass(warehouse: Warehouse, seconds: float) -> None:
    warehouse.rows(
        "update ops.rate_budgets set "
        "frozen_until = frozen_until - make_interval(secs => %s), "
        "calls = array(select call - make_interval(secs => %s) from unnest(calls) as call)",
        seconds,
        seconds,
    )


@pytest.mark.usefixtures("warehouse")
def test_processes_share_one_budget() -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    taken: list[float] = []
    for worker in workers:
        output, _ = worker.communicate(timeout=LAST_RESORT_SECONDS)
        assert worker.returncode == 0
        taken += map(float, output.split())
    assert len(taken) == 40
    # Ten at once, then ten more after each half of a second.
    assert max(taken) - min(taken) > 3 * 0.5 - 0.1


def test_two_who_ask_at_once_do_not_get_the_same_call(warehouse: Warehouse) -> None:
    take = "select ops.take_call('bitso', 2, 60)"
    warehouse.rows(take, role="loader")
    answers: list[float] = []

    def ask() -> None:
        answers.extend(wait for (wait,) in warehouse.rows(take, role="loader"))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    with closing(connect()) as connection, connection.cursor() as cursor:
        # Held until both stand before it.
        cursor.execute("select from ops.rate_budgets for update")
        for asker in askers:
            asker.start()
        waiting = "select count(*) from pg_locks where not granted"
        wait_for(lambda: warehouse.rows(waiting) >= [(2,)], "both before it")
        connection.commit()
        for asker in askers:
            asker.join()
    assert sorted(answer > 0 for answer in answers) == [False, True]


def test_the_call_after_the_last_free_one_waits_for_the_first(
    warehouse: Warehouse, budget: SharedBudget
) -> None:
    for _ in range(50):
        budget.take()
    _let_time_pass(warehouse, 20)
    [(wait,)] = warehouse.rows("select ops.take_call('bitso', 50, 60)", role="loader")
    assert 35 < wait <= 40
    _let_time_pass(warehouse, 41)
    budget.take()


def test_a_freeze_holds_everybody(warehouse: Warehouse, budget: SharedBudget) -> None:
    budget.take()
    budget.freeze(at_least=500)
    with closing(SharedBudget("bitso", LIMITS, loader_connection, ManualClock())) as other:
        with pytest.raises(TransientError, match=r"no call is free for another (500|499) s"):
            other.take()
        _let_time_pass(warehouse, 500)
        other.take()
    with closing(SharedBudget("elsewhere", LIMITS, loader_connection, ManualClock())) as another:
        another.take()


def test_a_shared_freeze_doubles_too_and_calm_ends_it(warehouse: Warehouse) -> None:
    lengths = []
    for _ in range(8):
        lengths.append(_frozen_for(warehouse))
        _let_time_pass(warehouse, lengths[-1] + 1)
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    _let_time_pass(warehouse, 601)
    assert _frozen_for(warehouse) == 60


def test_replies_to_calls_that_were_under_way_do_not_double_it(warehouse: Warehouse) -> None:
    assert [_frozen_for(warehouse) for _ in range(3)] == [60, 60, 60]
    assert _frozen_for(warehouse, at_least=300) == 300
    _let_time_pass(warehouse, 301)
    assert _frozen_for(warehouse) == 120


def test_a_clock_set_back_does_not_hold_calls_up(
    warehouse: Warehouse, budget: SharedBudget
) -> None:
    for _ in range(50):
        budget.take()
    _let_time_pass(warehouse, -3600)
    [(wait,)] = warehouse.rows("select ops.take_call('bitso', 50, 60)", role="loader")
    assert 59 < wait <= 60


def test_out_of_reach_a_tenth_is_left(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    budget = SharedBudget("bitso", LIMITS, unreachable, clock)
    for _ in range(10):
        budget.take()
    assert clock.slept == [60]
    [record] = caplog.records
    assert record.getMessage() == (
        "bitso: the shared rate budget is out of reach, going on with a tenth: "
        "cannot connect to nowhere"
    )


def test_out_of_reach_a_freeze_still_holds_this_process() -> None:
    budget = SharedBudget("bitso", LIMITS, unreachable, ManualClock())
    budget.freeze(at_least=300)
    with pytest.raises(TransientError, match="300 s"):
        budget.take()


def test_a_lost_store_is_asked_again_after_a_while(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    connected = 0

    def connecting() -> Connection:
        nonlocal connected
        connected += 1
        return connect("loader")

    with closing(SharedBudget("bitso", LIMITS, connecting, clock)) as budget:
        budget.take()
        warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        budget.take()
        budget.take()
        assert (connected, len(caplog.records)) == (1, 1)
        clock.sleep(SharedBudget.RETRY_STORE_SECONDS)
        budget.take()
        assert connected == 2
    calls = warehouse.rows("select cardinality(calls) from ops.rate_budgets")
    assert calls == [(2,)]


@pytest.mark.parametrize("role", ["transformer", "reader", "exporter"])
def test_nobody_else_may_take_a_call(warehouse: Warehouse, role: Role) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        warehouse.rows("select ops.take_call('bitso', 50, 60)", role=role)


def test_the_loader_may_not_help_itself(warehouse: Warehouse) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        warehouse.rows("update ops.rate_budgets set frozen_until = now()", role="loader")
