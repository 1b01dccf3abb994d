"""`dbt build` after a new snapshot, and the ten questions over what it built."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing

from dashboards.questions import load_questions
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.roles import Role
from tests.bench.figures import Table, median
from tests.bench.stage import Stage, generate, seconds
from tests.conftest import Warehouse

# What people would ask of the raw tables; the current snapshot is the only one there.
RAW = {
    "active-users": """
        select count(distinct user_id) from (
            select user_id from raw.deposits
            where tx_status = 'complete' and (event_timestamp at time zone 'UTC')::date = %(day)s
            union all
            select user_id from raw.withdrawals
            where tx_status = 'complete' and (event_timestamp at time zone 'UTC')::date = %(day)s
        ) as active""",
    "users-without-deposits": """
        select user_id from raw.users where not exists (
            select from raw.deposits
            where deposits.user_id = users.user_id and tx_status = 'complete')
        order by 1""",
    "users-with-many-deposits": """
        select user_id, count(*) from raw.deposits
        where tx_status = 'complete' and (event_timestamp at time zone 'UTC')::date <= %(day)s
        group by 1 having count(*) > 5 order by 1""",
    "last-login": """
        select user_id, max(event_timestamp) from raw.events
        where event_name = 'login' and user_id = %(user_id)s group by 1""",
    "login-count": """
        select user_id, count(*) from raw.events
        where event_name = 'login' and user_id = %(user_id)s
        and event_timestamp >= '2022-01-01' and event_timestamp < '2023-01-01' group by 1""",
    "currencies-deposited": """
        select count(distinct currency) from raw.deposits
        where tx_status = 'complete' and (event_timestamp at time zone 'UTC')::date = %(day)s""",
    "currencies-withdrawn": """
        select count(distinct currency) from raw.withdrawals
        where tx_status = 'complete' and (event_timestamp at time zone 'UTC')::date = %(day)s""",
    "amount-deposited": """
        select sum(amount) from raw.deposits where tx_status = 'complete'
        and currency = 'mxn' and (event_timestamp at time zone 'UTC')::date = %(day)s""",
    "average-deposit": """
        with latest as (
            select distinct on (user_id) user_id, level from raw.user_levels
            where jurisdiction = 'mx' order by user_id, event_timestamp desc)
        select currency, avg(amount), count(amount) from raw.deposits
        inner join latest using (user_id)
        where level = 2 and tx_status = 'complete' group by 1 order by 1""",
    "user-levels": """
        select distinct on (user_id, jurisdiction) user_id, jurisdiction, level, event_timestamp
        from raw.user_levels order by user_id, jurisdiction, event_timestamp desc""",
}


def answers(stage: Stage, *, rows: int, steps: int, users: int, runs: int) -> Iterator[Table]:
    """Both, over snapshots that grow to so many deposits in so many steps."""
    with stage.warehouse() as warehouse:
        # A tenth, a half and the whole, as far as there are steps.
        sizes = sorted({max(1, steps // 10), max(1, steps // 2), steps})
        yield _build(stage, warehouse, [rows * size // steps for size in sizes], users)
        yield _ten_questions(warehouse, runs)
        yield _other_parameters(warehouse, runs)


def _build(stage: Stage, warehouse: Warehouse, sizes: list[int], users: int) -> Table:
    """Build after each new snapshot of deposits."""
    times = {}
    for rows in sizes:
        files = generate(
            stage.directory / f"build-{rows}", "--deposits", rows, "--withdrawals", rows // 5,
            "--events", rows // 5, "--users", users, "--busiest-percent", 0, "--clean",
        )  # fmt: skip
        done = warehouse.loader("snapshots", files)
        assert done.returncode == 0, done.stderr
        times[rows] = seconds(
            lambda: warehouse.dbt("build", "--exclude", "resource_type:unit_test")
        )
    return Table(
        "dbt build (models, keys, data tests) after a new snapshot",
        [
            ("deposits", "whole", "per million"),
            *((f"{n:,}", f"{run:.0f} s", f"{run / (n / 1e6):.1f} s") for n, run in times.items()),
        ],
        {"seconds": times},
    )


def _ten_questions(warehouse: Warehouse, runs: int) -> Table:
    """Each question's time in Postgres, and plain SQL's on raw."""
    day = warehouse.rows("select max(flow_date) from marts.daily_currency_flows")[0][0]
    [(user,)] = warehouse.rows("select user_id from marts.user_logins order by event_id limit 1")
    rows: list[tuple[str, ...]] = [("question", "milliseconds", "plain SQL on raw", "times")]
    taken = {}
    for name, statement in RAW.items():
        question = load_questions()[name]
        given = {"user_id": user} if name in {"last-login", "login-count"} else {}
        ours = _explain("reader", question.statement, question.bind(given), runs)
        plain = _explain("transformer", statement, {"day": day, "user_id": user}, min(3, runs))
        taken[name] = {"marts": ours, "raw": plain}
        rows.append((name, f"{ours:.2f}", f"{plain:,.0f}", f"{plain / ours:,.0f}"))
    return Table(
        f"The ten questions, milliseconds in Postgres (median of {runs})",
        rows,
        {"milliseconds": taken},
    )


def _other_parameters(warehouse: Warehouse, runs: int) -> Table:
    """Whole lists, and days that are not the latest."""
    middle = warehouse.rows(
        "select percentile_disc(0.5) within group (order by activity_date)::text "
        "from marts.daily_active_users"
    )[0][0]
    asked: list[tuple[str, dict[str, str]]] = [
        ("last-login", {}),
        ("login-count", {}),
        ("login-count", {"from": "2020-01-01", "to": "2023-12-31"}),
        ("users-with-many-deposits", {"day": middle}),
        ("users-with-many-deposits", {"day": middle, "counting": "on_day", "more_than": "1"}),
        ("active-users", {"day": middle}),
    ]
    rows: list[tuple[str, ...]] = [("question", "parameters", "milliseconds")]
    for name, given in asked:
        question = load_questions()[name]
        taken = _explain("reader", question.statement, question.bind(given), runs)
        said = " ".join(f"{key}={value}" for key, value in given.items()) or "all users"
        rows.append((name, said, f"{taken:.2f}"))
    return Table("Whole lists and days in the middle", rows)


def _explain(role: Role, statement: str, values: Mapping[str, object], runs: int) -> float:
    """The median execution time in milliseconds, by EXPLAIN ANALYZE without per-node clocks."""
    times = []
    with closing(connect(role)) as connection, connection.cursor() as cursor:
        for _ in range(runs + 1):
            cursor.execute(f"explain (analyze, timing off, format json) {statement}", values)
            [(plan,)] = cursor.fetchall()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            times.append(float(plan[0]["Execution Time"]))
    return median(times[1:])
