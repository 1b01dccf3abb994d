"""`loader prune` and `loader status`: nothing is dropped too early, nothing is late unseen."""

import json
import re
import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from loader.market.polls import INTERVAL
from loader.market.recording import replay
from loader.operations.prune import prune
from loader.operations.schedule import SCHEDULE, ScheduledJob
from loader.operations.status import JobStatus, note_schedule, statuses
from loader.warehouse.clock import DAY, HOUR, MINUTE
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import PROJECT_ROOT, get_settings
from tests.conftest import Warehouse
from tests.market_files import minutes, record

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)
TODAY = date(2026, 1, 20)


@pytest.fixture
def days(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ten days of tickers, of which ten days are kept; returns the run that brought them."""
    monkeypatch.setenv("WAREHOUSE_KEEP_DAYS_BITSO_TICKERS", "10")
    warehouse.activate()
    bodies = [body for n in range(15) for body in minutes(1, FIRST + n * DAY)]
    [run] = replay(record(tmp_path / "r.jsonl", bodies))
    return run.run_id


def say_modelled(warehouse: Warehouse, until: datetime | None, run_id: int | None) -> None:
    """Be dbt."""
    warehouse.rows(
        "create or replace view marts.modelled_until as select 'bitso_tickers'::text "
        "as table_name, %s::timestamptz as modelled_until, %s::bigint as run_id "
        # As dbt's own does, it reads the table.
        "where (select count(*) >= 0 from raw.bitso_tickers)",
        until,
        run_id,
        role="transformer",
    )


def left(warehouse: Warehouse) -> list[str]:
    """The days of tickers that are there."""
    rows = warehouse.rows(
        "select right(inhrelid::regclass::text, 2) from pg_inherits "
        "where inhparent = 'raw.bitso_tickers'::regclass order by 1"
    )
    return [day for (day,) in rows]


ALL = [f"{day:02}" for day in range(1, 16)]
LONG_DONE = datetime(2026, 1, 18, tzinfo=UTC)


def test_days_past_their_retention_are_dropped(warehouse: Warehouse, days: int) -> None:
    say_modelled(warehouse, LONG_DONE, days)
    run = prune(TODAY)
    assert left(warehouse) == ["10", "11", "12", "13", "14", "15"]
    assert run.detail["dropped"] == [f"bitso_tickers_202601{day}" for day in ALL[:9]]
    assert run.detail["kept"] == {}
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(12,)]
    assert prune(TODAY).detail["dropped"] == []
    assert (
        warehouse.rows("select job, status, rows_read from ops.runs where job = 'prune'")
        == [("prune", "succeeded", 0)] * 2
    )


@pytest.mark.parametrize(
    ("until", "seen", "dropped", "why"),
    [
        (datetime(2026, 1, 5, tzinfo=UTC), 0, 4, "modelled until 2026-01-05 00:00 UTC only"),
        (datetime(2026, 1, 4, 23, 59, tzinfo=UTC), 0, 3, "modelled until 2026-01-04 23:59"),
        (None, 0, 0, "not known to be modelled"),
        (LONG_DONE, None, 0, "not known to be modelled"),
        (LONG_DONE, -1, 0, "rows came after the last `loader transform`"),
    ],
)
def test_what_is_not_modelled_stays(
    warehouse: Warehouse, days: int, until: datetime, seen: int | None, dropped: int, why: str
) -> None:
    say_modelled(warehouse, until, None if seen is None else days + seen)
    run = prune(TODAY)
    assert left(warehouse) == ALL[dropped:]
    assert len(run.detail["kept"]) == 9 - dropped
    assert all(reason.startswith(why) for reason in run.detail["kept"].values())


def test_before_the_first_build_nothing_is_dropped(warehouse: Warehouse, days: int) -> None:
    assert days
    assert set(prune(TODAY).detail["kept"].values()) == {
        "not known to be modelled: run `loader transform` first"
    }
    assert left(warehouse) == ALL


def test_a_late_replay_protects_the_days_that_it_wrote_to(
    warehouse: Warehouse, days: int, tmp_path: Path
) -> None:
    say_modelled(warehouse, LONG_DONE, days)
    late = minutes(2, FIRST + 2 * DAY)[1:]
    assert [run.rows_inserted for run in replay(record(tmp_path / "late.jsonl", late))] == [2]
    run = prune(TODAY)
    assert left(warehouse) == ["03", *ALL[9:]]
    assert run.detail["kept"] == {
        "bitso_tickers_20260103": "rows came after the last `loader transform`: run it first"
    }


def test_a_retention_of_nothing_keeps_all(
    warehouse: Warehouse, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_modelled(warehouse, LONG_DONE, days)
    monkeypatch.setenv("WAREHOUSE_KEEP_DAYS_BITSO_TICKERS", "0")
    get_settings.cache_clear()
    assert prune(TODAY).detail == {"dropped": [], "kept": {}, "folded": 0}
    assert left(warehouse) == ALL


def test_a_table_in_use_is_left_for_the_next_time(
    warehouse: Warehouse, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loader.operations.prune.LOCK_TIMEOUT", "100ms")
    say_modelled(warehouse, LONG_DONE, days)
    with closing(connect("transformer")) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from raw.bitso_tickers_20260101")
        cursor.execute("set local statement_timeout = 0")
        run = prune(date(2026, 1, 12))
        reader.rollback()
    assert run.detail["kept"] == {"bitso_tickers_20260101": "in use: the next prune drops it"}
    assert prune(date(2026, 1, 12)).detail["dropped"] == ["bitso_tickers_20260101"]


def test_a_writer_either_comes_first_or_finds_no_day(warehouse: Warehouse, days: int) -> None:
    say_modelled(warehouse, LONG_DONE, days)
    done: list[Any] = []
    with closing(connect("loader")) as writer, writer.cursor() as cursor:
        cursor.execute(
            "insert into raw.bitso_tickers values (%s, 'b', 1, 1, '{}', %s)", (FIRST, days + 9)
        )
        thread = threading.Thread(
            target=lambda: done.append(
                warehouse.rows("select raw.drop_day('bitso_tickers', %s, %s)", FIRST.date(), days)
            )
        )
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        writer.commit()
        thread.join()
    assert done == [[(False,)]]
    assert left(warehouse) == ALL


@pytest.mark.parametrize(
    "arguments",
    ["'deposits', '2026-01-01', 1", "'bitso_tickers', '2020-01-01', 1", "'nope', '2026-01-01', 1"],
)
def test_only_days_of_market_tables_can_be_dropped(
    warehouse: Warehouse, days: int, arguments: str
) -> None:
    assert days
    with pytest.raises(psycopg2.errors.RaiseException, match="has no partition of"):
        warehouse.rows(f"select raw.drop_day({arguments})", role="loader")


def test_prune_prints_what_it_did(warehouse: Warehouse, days: int) -> None:
    say_modelled(warehouse, datetime(2026, 1, 3, tzinfo=UTC), days)
    done = warehouse.call("loader", "prune")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "dropped raw.bitso_tickers_20260101",
        "dropped raw.bitso_tickers_20260102",
        "2 days dropped, 13 kept",
    ]
    assert done.stderr.splitlines()[0] == (
        "kept raw.bitso_tickers_20260103: modelled until 2026-01-03 00:00 UTC only"
    )


# ------------------------------------------------------------------- status

NOW = datetime(2026, 1, 5, 13, tzinfo=UTC)
TICKERS = ScheduledJob("tickers", MINUTE, 5 * MINUTE, 2 * MINUTE, ("bitso_tickers",))


def ran(warehouse: Warehouse, job: str, ago: timedelta, status: str = "succeeded") -> int:
    """A run of a job that ended some time before NOW."""
    [(run_id,)] = warehouse.rows(
        "insert into ops.runs (job, started_at, finished_at, status, rows_read, rows_inserted, "
        "error) values (%s, %s, %s, %s, %s, %s, %s) returning run_id",
        job, NOW - ago, NOW - ago, status,
        *((2, 2, None) if status == "succeeded" else (0, 0, "it broke")),
    )  # fmt: skip
    return int(run_id)


def received(warehouse: Warehouse, table: str, ago: timedelta, now: datetime = NOW) -> None:
    """A row that came some time ago."""
    moment = now - ago
    warehouse.rows("select raw.ensure_day(%s, (%s at time zone 'UTC')::date)", table, moment)
    key = "book" if table.startswith("bitso") else "exchange_id"
    channel = ("channel, ", "'order_book', ") if table == "bitso_order_books" else ("", "")
    warehouse.rows(
        f"insert into raw.{table} (received_at, {key}, {channel[0]}payload, run_id) "
        f"values (%s, 'x', {channel[1]}'{{}}', 0)",
        moment,
    )


def state(*jobs: ScheduledJob) -> JobStatus:
    note_schedule()
    [status] = statuses(jobs or [TICKERS], NOW)
    return status


def test_a_job_on_time_is_fresh(warehouse: Warehouse) -> None:
    ran(warehouse, "tickers", MINUTE)
    received(warehouse, "bitso_tickers", 2 * MINUTE)
    assert state() == JobStatus(
        job="tickers", state="fresh", last_success=NOW - MINUTE, load_lag_seconds=60,
        newest_event=NOW - 2 * MINUTE, event_lag_seconds=120, next_expected=NOW,
        running_since=None, rows=2,
        quarantined_open=0, last_error=None, failing_since=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("load", "event", "expected"),
    [
        (5 * MINUTE, 5 * MINUTE, "fresh"),
        (5 * MINUTE + timedelta(seconds=1), MINUTE, "stale"),
        (MINUTE, 5 * MINUTE + timedelta(seconds=1), "stale"),
        (MINUTE, None, "stale"),
        (None, MINUTE, "never"),
    ],
)
def test_both_lags_are_limited(
    warehouse: Warehouse, load: timedelta | None, event: timedelta | None, expected: str
) -> None:
    if load:
        ran(warehouse, "tickers", load)
    if event:
        received(warehouse, "bitso_tickers", event)
    assert state().state == expected


def test_a_failure_is_no_success_and_its_error_shows_until_the_next(warehouse: Warehouse) -> None:
    received(warehouse, "bitso_tickers", MINUTE)
    ran(warehouse, "tickers", 7 * MINUTE)
    ran(warehouse, "tickers", MINUTE, "failed")
    assert (state().state, state().last_error) == ("stale", "it broke")
    ran(warehouse, "tickers", timedelta(seconds=1))
    assert (state().state, state().last_error) == ("fresh", None)


def test_one_table_that_stands_still_is_not_hidden_by_another(warehouse: Warehouse) -> None:
    job = ScheduledJob("both", DAY, DAY, HOUR, ("coingecko_exchanges", "coingecko_tickers"))
    ran(warehouse, "both", HOUR)
    received(warehouse, "coingecko_exchanges", HOUR)
    assert state(job).state == "stale"
    received(warehouse, "coingecko_tickers", 25 * HOUR)
    assert (state(job).state, state(job).event_lag_seconds) == ("stale", 25 * 3600)
    received(warehouse, "coingecko_tickers", 2 * HOUR)
    assert (state(job).state, state(job).event_lag_seconds) == ("fresh", 2 * 3600)


def test_a_row_from_the_future_does_not_hide_that_a_table_stands_still(
    warehouse: Warehouse,
) -> None:
    ran(warehouse, "tickers", MINUTE)
    received(warehouse, "bitso_tickers", -2 * DAY)
    assert (state().state, state().newest_event) == ("stale", None)
    received(warehouse, "bitso_tickers", HOUR)
    assert (state().state, state().event_lag_seconds) == ("stale", 3600)
    # An hour ahead, a clock may be.
    received(warehouse, "bitso_tickers", -MINUTE)
    assert (state().state, state().event_lag_seconds) == ("fresh", 0)


def test_a_job_that_resumes_has_succeeded_when_its_whole_list_is_done(
    warehouse: Warehouse,
) -> None:
    job = ScheduledJob("exchanges", DAY, 30 * HOUR, resumes=True)
    run_id = ran(warehouse, "exchanges", HOUR)
    assert state(job).state == "never"
    warehouse.rows(
        "insert into ops.cursors values ('exchanges', '*', %s, %s)", NOW - 31 * HOUR, run_id
    )
    assert state(job).state == "stale"
    warehouse.rows("update ops.cursors set done_at = %s", NOW - 2 * HOUR)
    assert (state(job).state, state(job).load_lag_seconds) == ("fresh", 2 * 3600)


def test_a_job_without_its_key_is_off_and_not_late(warehouse: Warehouse) -> None:
    ran(warehouse, "volumes", MINUTE, "failed")
    off = state(ScheduledJob("volumes", HOUR, HOUR, needs=lambda ours: ours.host == "nowhere"))
    assert (off.state, off.is_late, off.last_error) == ("off", False, "it broke")


def test_open_quarantine_is_counted_by_job(warehouse: Warehouse) -> None:
    run_id = ran(warehouse, "tickers", MINUTE)
    for source, redriven in (
        ("bitso_tickers", None), ("bitso_tickers", run_id), ("bitso_books", None),
    ):  # fmt: skip
        warehouse.rows(
            "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw, "
            "redriven_by) values (%s, %s, 'x', 'x', 'x', 'x', %s)",
            run_id,
            source,
            redriven,
        )
    assert state().quarantined_open == 1


def test_nothing_is_late_where_no_schedule_runs(warehouse: Warehouse) -> None:
    ran(warehouse, "tickers", DAY)
    warehouse.rows(
        "insert into ops.runs (job, started_at) values ('prune', now() - '1 day'::interval)"
    )
    done = warehouse.call("loader", "status", "books", "tickers", "transform", "alerts")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no schedule runs here" in done.stdout
    assert "nothing is wrong" in done.stdout
    # A run that hangs is one all the same.
    done = warehouse.call("loader", "status")
    assert (done.returncode, done.stderr) == (1, "loader: late: prune\n")
    note_schedule()
    done = warehouse.call("loader", "status", "books", "tickers", "transform", "alerts")
    assert (done.returncode, done.stderr) == (1, "loader: late: books, tickers, transform\n")
    assert "no schedule runs here" not in done.stdout
    assert re.search(
        r"^late: tickers: has not brought anything in time, since .* UTC: run `loader tickers`",
        done.stdout,
        re.MULTILINE,
    )
    assert "late: books: has never succeeded: run `loader books`" in done.stdout


def test_the_command_says_who_is_late(warehouse: Warehouse) -> None:
    note_schedule()
    done = warehouse.call("loader", "status")
    assert done.returncode == 1
    assert done.stderr == (
        "loader: late: books, tickers, order-books, transform, report, exchanges, prune, "
        "transform with tests\n"
    )
    off = {"exchange-volumes", "snapshots", "lake export", "alerts"}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()
    ]
    assert off | {"stream"} == {row[0] for row in rows if row[1:2] == ["off"]}
    for job in SCHEDULE:
        warehouse.rows(
            "insert into ops.runs (job, finished_at, status) values (%s, now(), 'succeeded')",
            job.name,
        )
        for table in job.tables:
            received(warehouse, table, timedelta(seconds=1), datetime.now(UTC))
    warehouse.rows(
        "insert into ops.cursors select 'exchanges', '*', now(), max(run_id) from ops.runs"
    )
    observe(warehouse, timedelta(0), rows=1)
    done = warehouse.call("loader", "status", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    jobs = json.loads(done.stdout)["jobs"]
    assert {job["job"]: job["state"] for job in jobs} == {
        job.name: "off" if job.name in off else "fresh" for job in SCHEDULE
    }
    assert datetime.fromisoformat(jobs[0]["next_expected"]).tzinfo is not None


@pytest.mark.parametrize(
    ("age", "deadline", "expected"),
    [
        (2 * MINUTE, 2 * MINUTE, "fresh"),
        (4 * MINUTE, 2 * MINUTE, "overrun"),
        (4 * MINUTE, None, "fresh"),
    ],
)
def test_a_run_that_is_out_of_time_is_noticed(
    warehouse: Warehouse, age: timedelta, deadline: timedelta | None, expected: str
) -> None:
    ran(warehouse, "prune", MINUTE)
    warehouse.rows("insert into ops.runs (job, started_at) values ('prune', %s)", NOW - age)
    found = state(ScheduledJob("prune", DAY, DAY, deadline))
    assert (found.state, found.running_since) == (expected, NOW - age)
    assert found.is_late == (expected == "overrun")


def test_some_jobs_can_be_asked_about_alone(warehouse: Warehouse) -> None:
    note_schedule()
    done = warehouse.call("loader", "status", "prune", "stream")
    assert done.stderr == "loader: late: prune\n"
    done = warehouse.call("loader", "status", "stream", "alerts")
    assert (done.returncode, done.stderr) == (0, "")
    done = warehouse.call("loader", "status", "trickers")
    assert done.returncode == 2
    assert done.stderr.startswith("loader: no such job: trickers: they are books, ")


def observe(warehouse: Warehouse, ago: timedelta, rows: int) -> None:
    """A minute of the stream, with so many observations."""
    until = datetime.now(UTC).replace(microsecond=0) - ago
    warehouse.rows(
        "with run as (insert into ops.runs (job, started_at, finished_at, status, rows_read, "
        "rows_inserted) values ('stream', %s, %s, 'succeeded', %s, %s) returning run_id) "
        "insert into ops.monitored select run_id, '{btc_mxn}', %s, %s from run",
        until, until, rows, rows, until - MINUTE, until,
    )  # fmt: skip


def stream_state(warehouse: Warehouse) -> str:
    jobs = json.loads(warehouse.call("loader", "status", "--format", "json").stdout)["jobs"]
    return next(str(job["state"]) for job in jobs if job["job"] == "stream")


def test_the_stream_is_watched_once_it_has_run(warehouse: Warehouse) -> None:
    assert stream_state(warehouse) == "off"
    observe(warehouse, 2 * MINUTE, rows=60)
    assert stream_state(warehouse) == "fresh"
    warehouse.rows("update ops.runs set finished_at = finished_at - interval '2 minutes'")
    assert stream_state(warehouse) == "stale"


def test_a_stream_that_sees_nothing_is_stale(warehouse: Warehouse) -> None:
    observe(warehouse, 4 * MINUTE, rows=60)
    observe(warehouse, MINUTE, rows=0)
    assert stream_state(warehouse) == "stale"


def test_an_older_history_does_not_slow_the_answer(warehouse: Warehouse) -> None:
    warehouse.rows(
        "insert into ops.runs (job, started_at, finished_at, status) "
        "select 'tickers', moment, moment, 'succeeded' "
        "from generate_series(%s::timestamptz - interval '50000 minutes', %s, '1 minute') "
        "as moment",
        NOW,
        NOW,
    )
    warehouse.rows("analyze ops.runs")
    [(plan,)] = warehouse.rows(
        "explain (format json) select error from ops.runs where job = 'tickers' "
        "and status in ('failed', 'refused') and started_at > %s order by started_at desc limit 1",
        NOW - MINUTE,
    )
    assert "Index Scan" in json.dumps(plan)
    assert "Seq Scan" not in json.dumps(plan)
    assert state().load_lag_seconds == 0


# ----------------------------------------------------------------- schedule


def _freshness() -> dict[str, Any]:
    found = {}
    for file in (PROJECT_ROOT / "dbt_project" / "models" / "staging").glob("*/*__sources.yml"):
        for source in yaml.safe_load(file.read_text()).get("sources", []):
            shared = source.get("config", {}).get("freshness")
            for table in source["tables"]:
                found[table["name"]] = table.get("config", {}).get("freshness") or shared
    return found


@pytest.mark.parametrize("job", [job for job in SCHEDULE if job.tables], ids=lambda job: job.name)
def test_dbt_warns_when_status_calls_it_stale(job: ScheduledJob) -> None:
    freshness = _freshness()
    for table in job.tables:
        limit = freshness[table]["warn_after"]
        assert timedelta(**{limit["period"] + "s": limit["count"]}) == job.stale_after


def test_feeds_come_as_often_as_their_jobs_run() -> None:
    jobs = {job.name: job.period for job in SCHEDULE}
    text = (PROJECT_ROOT / "seeds" / "reference" / "feeds.csv").read_text()
    feeds = dict(line.split(",") for line in text.split()[1:])
    for feed, job in (("ticker", "tickers"), ("order_book", "order-books")):
        assert timedelta(seconds=int(feeds[feed])) == jobs[job] == INTERVAL


def test_a_late_turn_is_not_yet_stale() -> None:
    # Nor is one that takes all of its time.
    assert all(job.stale_after > job.period + (job.deadline or job.period) for job in SCHEDULE)
    assert len({job.name for job in SCHEDULE}) == len(SCHEDULE)
