"""What grows with the years is kept short, and says the same: days dropped from raw, old runs."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dashboards import answers
from dashboards.questions import load_questions
from loader.market.recording import replay
from loader.operations.prune import prune
from loader.warehouse.ledger.partitions import drop_partition, dropped_within
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.migrate import migrate
from tests import market
from tests.conftest import Server, Warehouse
from tests.market_files import minutes, record

DAY = timedelta(days=1)
TODAY = date(2026, 5, 1)
# Of ninety days back.
FIRST_KEPT = date(2026, 1, 31)
_numbers = count()
ZONE = "America/Mexico_City"
MIGRATIONS = resources.files("loader.warehouse.postgres") / "migrations"


# -------------------------------------------------------------- dropped days


def dropped(warehouse: Warehouse) -> dict[str, str]:
    return dict(warehouse.rows("select table_name, dates::text from ops.dropped_days"))


def gone(since: str, until: str) -> list[str]:
    with closing(connect("loader")) as connection, connection.cursor() as cursor:
        return dropped_within(
            cursor,
            *(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (since, until)),
        )


def test_days_that_follow_each_other_are_one_range(warehouse: Warehouse) -> None:
    days = [date(2026, 1, 30) + n * DAY for n in range(5)]
    chosen = [("bitso_tickers", day) for day in days if day != days[3]]
    chosen.append(("spread_observations", days[0]))
    random.Random(1).shuffle(chosen)
    for table, day in chosen:
        with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
            cursor.execute("select raw.ensure_day(%s, %s)", (table, day))
            assert drop_partition(cursor, table, day, 0)
    assert dropped(warehouse) == {
        "bitso_tickers": "{[2026-01-30,2026-02-02),[2026-02-03,2026-02-04)}",
        "spread_observations": "{[2026-01-01,2026-02-01)}",
    }
    assert gone("2026-01-31T23:00", "2026-02-01T00:00") == [
        "bitso_tickers_20260131", "spread_observations_202601",
    ]  # fmt: skip
    assert gone("2026-01-31T23:00", "2026-02-01T00:01") == [
        "bitso_tickers_20260131", "bitso_tickers_20260201", "spread_observations_202601",
    ]  # fmt: skip
    assert gone("2026-02-02", "2026-02-03") == []
    # What has come again is there.
    warehouse.rows("select raw.ensure_day('bitso_tickers', '2026-01-31')")
    assert gone("2026-01-31T23:00", "2026-02-01") == ["spread_observations_202601"]


def test_what_stays_is_not_noted(warehouse: Warehouse) -> None:
    warehouse.rows("select raw.ensure_day('bitso_books', %s)", TODAY)
    warehouse.rows("insert into raw.bitso_books values (%s, 'x', '{}', 7)", TODAY)
    with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
        assert not drop_partition(cursor, "bitso_books", TODAY, 6)
    assert dropped(warehouse) == {}


def test_the_upgrade_brings_what_was_dropped_before(server: Server) -> None:
    warehouse = server.database("dropped_before")
    older = sorted(
        (file for file in MIGRATIONS.iterdir() if file.name < "0012"), key=lambda file: file.name
    )
    warehouse.rows("create schema ops")
    warehouse.rows("create table ops.migrations (name text primary key, applied_at timestamptz)")
    for file in older:
        warehouse.rows(file.read_text())
        warehouse.rows("insert into ops.migrations values (%s, now())", file.name)
    for names in (
        '["bitso_tickers_20260131", "bitso_tickers_20260130"]', "[]",
        '["bitso_tickers_20260131", "spread_observations_202601", "bitso_tickers_20260301"]',
    ):  # fmt: skip
        warehouse.rows(
            "insert into ops.runs (job, status, finished_at, detail) "
            "values ('prune', 'succeeded', now(), jsonb_build_object('dropped', %s::jsonb))",
            names,
        )
    assert {"0012_dropped_days.sql", "0013_run_days.sql"} <= set(migrate())
    assert dropped(warehouse) == {
        "bitso_tickers": "{[2026-01-30,2026-02-01),[2026-03-01,2026-03-02)}",
        "spread_observations": "{[2026-01-01,2026-02-01)}",
    }
    server.drop(warehouse)


# ---------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def year(module_warehouse: Warehouse) -> Warehouse:
    """Runs of a year, each with a few rows; the models over them, with days of a zone."""
    chance = random.Random(2)
    jobs = ("tickers", "stream", "alerts")
    for n in range(900):
        at = datetime(2025, 7, 1, tzinfo=UTC) + timedelta(hours=8 * n + chance.random() * 8)
        status = chance.choice(("succeeded", "succeeded", "unchanged", "failed", "refused"))
        rows = chance.randint(1, 9) if status == "succeeded" else 0
        bad = chance.randint(0, 2)
        module_warehouse.rows(
            "insert into ops.runs (job, started_at, finished_at, status, rows_read, "
            "rows_inserted, rows_quarantined) values (%s, %s, %s, %s, %s, %s, %s)",
            chance.choice(jobs), at, at, status, rows + bad, rows, bad,
        )  # fmt: skip
    # Seldom run, long ago.
    module_warehouse.rows(
        "insert into ops.runs (job, started_at, finished_at, status) "
        "values ('replay', '2025-07-02', '2025-07-02', 'succeeded')"
    )
    module_warehouse.dbt(
        "run", "--select", "+marts.pipeline", "reporting_settings",
        "--vars", f'{{"reporting_timezone": "{ZONE}"}}',
    )  # fmt: skip
    return module_warehouse


@pytest.fixture
def pruned(server: Server, year: Warehouse) -> Iterator[Callable[..., Warehouse]]:
    """Makes a copy of it, in which dbt has modelled up to some run."""
    copies = []

    def copy(newest_modelled: int = 10**9) -> Warehouse:
        warehouse = server.database(f"pruned_{next(_numbers)}", year.where.db)
        copies.append(warehouse)
        warehouse.rows(
            "create or replace view marts.modelled_until as select 'bitso_tickers'::text "
            "as table_name, null::timestamptz as modelled_until, %s::bigint as run_id",
            newest_modelled, role="transformer",
        )  # fmt: skip
        return warehouse

    yield copy
    for warehouse in copies:
        server.drop(warehouse)


SPAN = {"from": "2025-06-01", "to": "2026-06-01"}


def ask(name: str, **given: str) -> list[tuple[object, ...]]:
    question = load_questions()[name]
    with answers.reading() as connection:
        return list(answers.ask(connection, question, question.bind(given)).rows)


def figures() -> list[object]:
    """What is counted by day: of all jobs, of one, of the last days of a month."""
    return [
        ask("runs-by-day", **SPAN),
        ask("runs-by-day", **SPAN, job="stream"),
        ask("runs-by-day", to="2025-10-31"),
    ]


def by_day(warehouse: Warehouse) -> list[object]:
    return warehouse.rows("select * from marts.pipeline_runs_by_day order by 1, 2, 3")


def test_days_say_the_same_before_and_after(pruned: Callable[..., Warehouse]) -> None:
    warehouse = pruned()
    before, days = figures(), by_day(warehouse)
    [(runs, rows)] = warehouse.rows("select count(*), sum(rows_inserted) from ops.runs")
    folded = prune(TODAY).detail["folded"]
    assert folded > 500
    assert (figures(), by_day(warehouse)[:-1]) == (before, days)
    # The run of prune itself is there now.
    assert warehouse.rows("select count(*) from ops.runs") == [(runs - folded + 1,)]
    assert warehouse.rows("select sum(runs) from ops.run_days") == [(folded,)]
    assert warehouse.rows(
        "select sum(rows) from (select rows_inserted as rows from ops.runs "
        "union all select rows_inserted from ops.run_days) as all_rows"
    ) == [(rows,)]  # fmt: skip
    # Another prune, days later, goes on.
    assert prune(TODAY + 3 * DAY).detail["folded"] > 0
    assert (figures(), by_day(warehouse)[: len(days)]) == (before, days)


def test_what_is_asked_of_jobs_is_the_same(pruned: Callable[..., Warehouse]) -> None:
    warehouse = pruned()
    before = warehouse.rows("select * from marts.pipeline_runs where job = 'replay'")
    # Each with its last success and its last failure.
    jobs = [row[:3] for row in ask("jobs")]
    assert prune(TODAY).detail["folded"] > 500
    assert [row[:3] for row in ask("jobs") if row[0] != "prune"] == jobs
    assert warehouse.rows("select * from marts.pipeline_runs where job = 'replay'") == before


def test_a_day_is_one_of_the_answers(pruned: Callable[..., Warehouse]) -> None:
    warehouse = pruned()
    limit = datetime.combine(FIRST_KEPT, time(), ZoneInfo(ZONE))
    for at in (limit, limit - timedelta(microseconds=1)):
        warehouse.rows(
            "insert into ops.runs (job, started_at, finished_at, status) "
            "values ('books', %s, %s, 'succeeded')",
            at, at,
        )  # fmt: skip
    warehouse.rows(
        "insert into ops.runs (job, finished_at, status) values ('books', now(), 'succeeded')"
    )
    prune(TODAY)
    assert warehouse.rows(
        "select began_on, runs from ops.run_days where job = 'books'"
    ) == [(FIRST_KEPT - DAY, 1)]  # fmt: skip
    assert warehouse.rows(
        "select min(started_at) from ops.runs where job = 'books'"
    ) == [(limit,)]  # fmt: skip


def test_what_somebody_points_at_stays(pruned: Callable[..., Warehouse]) -> None:
    warehouse = pruned()
    [(bad,), (redriven,), (cursor,), (open_run,)] = warehouse.rows(
        "select run_id from ops.runs where status = 'succeeded' and job = 'tickers' "
        "order by started_at limit 4"
    )
    warehouse.rows(
        "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw, "
        "redriven_by) values (%s, 'x', 'x', 'x', 'x', 'x', %s)",
        bad, redriven,
    )  # fmt: skip
    warehouse.rows("insert into ops.cursors values ('exchanges', 'x', now(), %s)", cursor)
    warehouse.rows(
        "update ops.runs set status = 'running', finished_at = null where run_id = %s", open_run
    )
    assert prune(TODAY).detail["folded"] > 500
    assert warehouse.rows(
        "select count(*) from ops.runs where run_id = any(%s)", [bad, redriven, cursor, open_run]
    ) == [(4,)]  # fmt: skip


@pytest.mark.parametrize("newest", [0, 100])
def test_what_is_not_modelled_stays(pruned: Callable[..., Warehouse], newest: int) -> None:
    warehouse = pruned(newest)
    folded = prune(TODAY).detail["folded"]
    assert (folded > 0) == (newest > 0)
    assert warehouse.rows("select count(*) from ops.runs where run_id > 100") == [(901 + 1 - 100,)]
    assert all(
        upper <= 101
        for (upper,) in warehouse.rows("select upper(unnest(run_ids)) from ops.folded_runs")
    )


@pytest.mark.parametrize("without", ["marts.modelled_until", "marts.reporting_settings"])
def test_before_the_first_build_all_runs_stay(
    pruned: Callable[..., Warehouse], without: str
) -> None:
    warehouse = pruned()
    warehouse.rows(f"drop view {without} cascade")
    assert prune(TODAY).detail["folded"] == 0


def test_a_retention_of_nothing_keeps_all_runs(pruned: Callable[..., Warehouse]) -> None:
    done = pruned().call("loader", "prune", WAREHOUSE_KEEP_DAYS_RUNS="0")
    assert done.stdout == "0 days dropped, 0 kept\n"


def test_rows_of_folded_runs_are_modelled_again(warehouse: Warehouse, tmp_path: Path) -> None:
    """Whoever loses all that dbt has made gets it again from raw."""
    for n in range(4):
        at = datetime(2025, 12, 1 + n, 12, tzinfo=UTC)
        list(replay(record(tmp_path / f"{n}.jsonl", minutes(2, at))))
    warehouse.rows("update ops.runs set started_at = '2025-12-05', finished_at = '2025-12-05'")
    warehouse.transform()
    quotes = market.digests(warehouse, ["target.quotes", "marts.spread_hourly"])
    assert quotes["target.quotes"][0] == 16
    run = warehouse.call("loader", "prune", WAREHOUSE_KEEP_DAYS_BITSO_TICKERS="0")
    assert run.stdout.endswith("\n3 runs folded into counts by day\n")
    for schema in ("staging", "target", "marts", "reference"):
        warehouse.rows(f"drop schema {schema} cascade")
        warehouse.rows(f"create schema {schema} authorization warehouse_transformer")
    assert warehouse.transform().status == "succeeded"
    assert market.digests(warehouse, ["target.quotes", "marts.spread_hourly"]) == quotes
