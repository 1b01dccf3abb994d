"""How much of Postgres the page takes: few connections, equal questions once, none without end."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psutil
import pytest
import requests

from dashboards.serve.app import CONNECTIONS
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse
from tests.integration.dashboards.serve.conftest import Served, serving_page
from tests.waiting import wait_for

WAITING = "wait_event_type = 'Lock'"
TILE = "/dashboards/user-activity/tiles/user-levels"


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Nobody reads a table of marts for as long as the block lasts."""
    with closing(connect()) as locking, locking, locking.cursor() as cursor:
        cursor.execute(f"lock table marts.{table} in access exclusive mode")
        yield


def sessions(warehouse: Warehouse, condition: str = "true") -> int:
    """How many there are that are ours, beside this one: those of the page."""
    [(count,)] = warehouse.rows(
        "select count(*) from pg_stat_activity where datname = current_database() "
        f"and pid <> pg_backend_pid() and application_name = 'bitso-warehouse' and {condition}"
    )
    return int(count)


@pytest.fixture(scope="module")
def served(sampled: Warehouse) -> Iterator[Served]:
    """A page whose questions may take two seconds."""
    with serving_page(sampled, WAREHOUSE_QUESTION_TIMEOUT_SECONDS="2") as served:
        yield served


def get(served: Served, path: str) -> requests.Response:
    return requests.get(f"{served.address}{path}", timeout=300)


def test_equal_questions_are_asked_once(served: Served, sampled: Warehouse) -> None:
    with ThreadPoolExecutor(12) as threads:
        with locked("user_level_current"):
            asked = [threads.submit(get, served, TILE) for _ in range(12)]
            wait_for(lambda: sessions(sampled, WAITING), "the question")
            # Another one is answered meanwhile: the twelve hold one connection.
            other = get(served, "/dashboards/user-activity/tiles/last-login")
            assert other.status_code == 200
            assert sessions(sampled, WAITING) == 1
        texts = {each.result().text for each in asked}
    assert len(texts) == 1
    assert "<table>" in texts.pop()


def test_an_answer_that_is_kept_says_for_how_long(served: Served) -> None:
    first, again = get(served, TILE), get(served, TILE)
    assert first.headers["age"] in ("0", "1")
    assert again.headers["age"] in ("0", "1")
    moment = re.compile(r'datetime="([^"]+)"')

    def asked_at() -> str:
        found = moment.search(get(served, TILE).text)
        assert found
        return found[1]

    before = asked_at()
    wait_for(lambda: asked_at() != before, "an answer that was asked anew")


def test_there_are_few_connections_however_many_ask(served: Served, sampled: Warehouse) -> None:
    with ThreadPoolExecutor(30) as threads:
        with locked("user_level_current"):
            # Each another question.
            asked = [
                threads.submit(get, served, f"{TILE}?day=2023-08-{day:02d}")
                for day in range(1, 3 * CONNECTIONS + 1)
            ]
            wait_for(lambda: sessions(sampled, WAITING) == CONNECTIONS, "all connections")
            # The page itself is not held.
            assert get(served, "/dashboards/spread-monitor").status_code == 200
            assert sessions(sampled) <= CONNECTIONS + 2
        assert {each.result().status_code for each in asked} == {200}


def test_what_takes_too_long_is_ended_and_said(served: Served, sampled: Warehouse) -> None:
    with locked("user_level_current"):
        tile = get(served, f"{TILE}?currency=btc").text
        file = get(served, "/questions/user-levels.csv")
    assert "no answer in time: see WAREHOUSE_QUESTION_TIMEOUT_SECONDS" in tile
    assert file.status_code == 503
    assert get(served, f"{TILE}?currency=eth").status_code == 200
    assert sessions(sampled, WAITING) == 0


def test_only_the_reader_asks_and_nothing_is_written(served: Served, sampled: Warehouse) -> None:
    get(served, TILE)
    sampled.rows("revoke select on marts.user_level_current from warehouse_reader")
    try:
        wait_for(lambda: "error " in get(served, TILE).text, "the refusal")
    finally:
        sampled.rows("grant select on marts.user_level_current to warehouse_reader")
    assert "permission denied" in served.log


def test_a_connection_that_was_lost_is_made_anew(served: Served, sampled: Warehouse) -> None:
    get(served, TILE)
    sampled.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and state = 'idle'"
    )
    for path in (f"{TILE}?day=2023-01-01", "/healthz", "/dashboards/alerts"):
        found = get(served, path)
        assert (found.status_code, "error " in found.text) == (200, False)


def test_it_ends_while_it_is_asked(sampled: Warehouse) -> None:
    with ThreadPoolExecutor(2) as threads, locked("user_level_current"):
        with serving_page(sampled) as served:
            asked = threads.submit(get, served, TILE)
            wait_for(lambda: sessions(sampled, WAITING), "the question")
        assert not psutil.pid_exists(served.pid)
        assert sessions(sampled, WAITING) == 0
        assert asked.exception() or asked.result().status_code >= 500


def test_memory_is_bounded_while_many_ask(served: Served) -> None:
    process = psutil.Process(served.pid)
    get(served, "/dashboards/spread-monitor")
    before = process.memory_info().rss
    ends_at = time.process_time() + 2
    with ThreadPoolExecutor(8) as threads:
        while time.process_time() < ends_at:
            list(
                threads.map(
                    lambda _: get(served, "/questions/users-without-deposits.json"), range(8)
                )
            )
    assert process.memory_info().rss < before + 100 * 2**20
