"""Days: each instant is in exactly one, in every zone, where midnight comes twice or not at all."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import Warehouse
from tests.snapshot_files import write

# The days around every change of a clock since 1970 that Postgres knows of, in each of its zones,
# with what our functions say of them.
DAYS = """
create temporary table days as
with offsets as (
    select zones.name, step,
        lag(step at time zone zones.name - step at time zone 'UTC') over zone
        is distinct from step at time zone zones.name - step at time zone 'UTC' as has_changed
    from pg_timezone_names as zones
    cross join generate_series(
        timestamptz '1970-01-01 00:00+00', '2037-12-31 00:00+00', interval '120 hours'
    ) as step
    window zone as (partition by zones.name order by step)
),
dates as (
    select distinct name, cast(step at time zone 'UTC' as date) + n as day
    from offsets cross join generate_series(-7, 1) as n
    where has_changed
)
select name, day,
    marts.first_instant(cast(day as text), null, null, name) as first,
    marts.last_instant(cast(day as text), null, name) as last,
    marts.first_instant(cast(day + 1 as text), null, null, name) as next
from dates
"""


def test_the_days_of_every_zone_follow_each_other_and_the_calendar(sampled: Warehouse) -> None:
    moment = "interval '1 microsecond'"
    [found] = sampled.rows(
        f"{DAYS}; select count(distinct name), count(*) filter (where first = next), "
        "count(*) filter (where next - first not in (interval '0', interval '24 hours')), "
        # none is left out and none is in two
        f"count(*) filter (where last is distinct from next - {moment}), "
        # a day that is left out has no instant, any other one begins and ends within itself
        "count(*) filter (where next < first or (first < next "
        "and (first at time zone name)::date <> day)), "
        "count(*) filter (where first < next and (last at time zone name)::date <> day), "
        # and not a moment later
        f"count(*) filter (where ((first - {moment}) at time zone name)::date >= day) from days"
    )
    zones, left_out, uneven, *wrong = found
    assert wrong == [0, 0, 0, 0]
    assert (zones > 400, left_out > 3, uneven > 10_000) == (True, True, True)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Havana", "2023-11-05", 25),  # 01:00 -> 00:00: midnight comes twice
        ("America/Havana", "2023-03-12", 23),  # 00:00 -> 01:00: it does not come
        ("America/Sao_Paulo", "2018-02-17", 25),  # 24:00 -> 23:00
        ("Pacific/Apia", "2011-12-30", 0),  # a day that was left out
        ("Pacific/Apia", "2011-12-31", 24),
        ("Australia/Lord_Howe", "2024-04-07", 24.5),
    ],
)
def test_a_day_is_as_long_as_clocks_make_it(
    sampled: Warehouse, zone: str, day: str, hours: float
) -> None:
    [(length,)] = sampled.rows(
        "select marts.last_instant(%s, null, %s) - marts.first_instant(%s, null, null, %s)",
        day, zone, day, zone,
    )  # fmt: skip
    assert length == timedelta(hours=hours, microseconds=-1)


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("America/Havana", "2022-11-06T04:30"),  # midnight comes twice
        ("America/Havana", "2022-03-13T05:00"),  # and not at all
        ("America/Mexico_City", "2022-10-30T07:00"),
    ],
)
def test_marts_by_day_and_the_period_of_a_day_hold_the_same_rows(
    warehouse: Warehouse, tmp_path: Path, zone: str, around: str
) -> None:
    middle = datetime.fromisoformat(around).replace(tzinfo=UTC)
    instants = [middle + timedelta(minutes=15 * n) for n in range(-110, 111)]
    deposits = [
        f"{n},{at:%Y-%m-%d %H:%M:%S}+00,ana,1,mxn,complete" for n, at in enumerate(instants)
    ]
    write(tmp_path, "deposits.csv", "deposits", deposits)
    done = warehouse.call("loader", "snapshots", tmp_path)
    assert done.returncode == 0, done.stderr
    warehouse.dbt("seed")
    variables = json.dumps({"reporting_timezone": zone})
    warehouse.dbt("run", "--select", "+daily_currency_flows", "+daily_active_users",
                  "reporting_settings", "--vars", variables)  # fmt: skip
    by_day = dict(
        warehouse.rows("select flow_date, transactions from marts.daily_currency_flows order by 1")
    )
    assert sum(by_day.values()) == len(instants)
    assert len(by_day) in {3, 4}
    for day, count in by_day.items():
        assert _in_the_period_of(warehouse, zone, day) == count
    active = warehouse.rows("select distinct activity_date from marts.daily_active_users")
    assert {day for (day,) in active} == set(by_day)


def _in_the_period_of(warehouse: Warehouse, zone: str, day: date) -> int:
    [(count,)] = warehouse.rows(
        "select count(*) from target.deposits where deposited_at "
        "between marts.first_instant(%s, null, null, %s) and marts.last_instant(%s, null, %s)",
        day.isoformat(), zone, day.isoformat(), zone,
    )  # fmt: skip
    return int(count)
