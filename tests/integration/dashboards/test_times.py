"""Times told from now, in the reporting time zone, where people type times."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboards.questions import load_questions
from loader.warehouse import relative
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.reporting import reporting_now
from tests.conftest import Warehouse

TIMES = [
    (question.name, name, parameter)
    for question in load_questions().values()
    for name, parameter in question.parameters.items()
    if parameter.type in ("date", "instant")
]
# Never the day that it is in UTC, at one end of the day or the other.
ZONES = ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]


@contextlib.contextmanager
def days_cut_in(warehouse: Warehouse, zone: str) -> Iterator[None]:
    """The settings that the models leave, with another time zone."""
    warehouse.rows(
        "alter view marts.reporting_settings rename to hidden;"
        "create table marts.reporting_settings as select * from marts.hidden;"
        f"update marts.reporting_settings set reporting_timezone = '{zone}';"
        "grant select on marts.reporting_settings to warehouse_reader, warehouse_loader"
    )
    try:
        yield
    finally:
        warehouse.rows(
            "drop table marts.reporting_settings;"
            "alter view marts.hidden rename to reporting_settings"
        )


@pytest.fixture(params=ZONES)
def zone(sampled: Warehouse, request: pytest.FixtureRequest) -> Iterator[str]:
    """A time zone in which days are cut."""
    with days_cut_in(sampled, request.param):
        yield request.param


def test_now_is_told_in_the_zone_of_the_answers(zone: str) -> None:
    for role in ("reader", "loader"):
        now = reporting_now(role)
        assert now.tzinfo == ZoneInfo(zone)
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=10)


@pytest.mark.parametrize("text", ["today", "yesterday", "7d", "2h"])
def test_every_day_and_instant_takes_them(sampled: Warehouse, zone: str, text: str) -> None:
    now = reporting_now("reader")
    assert len(TIMES) > 20
    for question, name, parameter in TIMES:
        value = load_questions()[question].bind({name: text}, lambda: now)[name]
        if text == "2h" and parameter.type == "instant":
            assert datetime.fromisoformat(str(value)) == now - timedelta(hours=2)
        else:
            assert value == relative.day(text, now)
    typed = ("ask", "spread-observations", "--from", text, "--to", "0h", "--format", "csv")
    done = sampled.call("dashboards", *typed)
    assert (done.returncode, done.stdout) == (0, "orderbook_timestamp,book,bid,ask,spread\n")
    wrong = sampled.call("dashboards", "ask", "login-count", "--from", "today", "--to", "7d")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "from must not be after to" in wrong.stderr
    assert zone in ZONES


def test_the_loader_takes_them_too(sampled: Warehouse) -> None:
    for text in ("today", "yesterday", "7d", "2h"):
        done = sampled.call("loader", "lake", "export", "--to", "lake", "--since", text)
        assert done.returncode == 0, done.stderr
    done = sampled.call("loader", "lake", "export", "--to", "lake", "--since", "2w")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "today, yesterday, 7d or 2h (ago)" in done.stderr


def test_a_zone_that_this_machine_does_not_know_is_named(sampled: Warehouse) -> None:
    with (
        days_cut_in(sampled, "EST5EDT4,M3"),
        pytest.raises(TerminalError, match="the time zone EST5EDT4,M3"),
    ):
        reporting_now("reader")


def test_the_zone_is_asked_only_where_it_is_needed(sampled: Warehouse) -> None:
    done = sampled.call(
        "dashboards", "ask", "active-users", "--day", "2022-02-30", WAREHOUSE_PORT="9"
    )
    assert done.returncode == 2
    done = sampled.call("dashboards", "ask", "active-users", "--day", "7d", WAREHOUSE_PORT="9")
    assert done.returncode == 75


def test_without_models_days_are_those_of_utc(sampled: Warehouse) -> None:
    sampled.rows("alter table marts.reporting_settings rename to hidden")
    try:
        assert reporting_now("reader").tzinfo == UTC
    finally:
        sampled.rows("alter table marts.hidden rename to reporting_settings")
