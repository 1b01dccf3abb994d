"""`loader transform` builds what is new, all that is new, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest

from loader.market.recording import replay
from loader.operations import dbt_project, transform, whats_new
from loader.operations.whats_new import EVERYTHING
from loader.warehouse.errors import TerminalError
from loader.warehouse.ledger.builds import News
from loader.warehouse.ledger.partitions import tables_over_time
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import Warehouse
from tests.market_files import NOON, minutes, record
from tests.snapshot_files import good_rows, write

Told = list[tuple[str, ...]]
DAY = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def told(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What dbt is told, which does nothing; all was built just now."""
    warehouse.activate()
    orders: Told = []
    monkeypatch.setattr(transform, "run_dbt", lambda *arguments: orders.append(arguments))
    assert transform.transform().status == "succeeded"
    assert orders.pop() == EVERYTHING
    return orders


def next_orders(told: Told) -> Told:
    """What the next transform tells dbt; the one after it has nothing to tell."""
    run = transform.transform()
    assert run.status == ("succeeded" if told else "unchanged")
    orders = list(told)
    told.clear()
    again = transform.transform()
    assert (again.status, again.detail["reason"], told) == ("unchanged", "nothing is new", [])
    return orders


def fed(orders: Told) -> set[str]:
    """The tables of raw that the one order names."""
    [order] = orders
    assert order[0] == "run"
    named = order[order.index("source:pipeline.gaps+") + 1 : order.index("--exclude")]
    return {name.removeprefix("source:*.").removesuffix("+") for name in named}


def ran(warehouse: Warehouse, job: str, status: str = "succeeded", rows: int = 0) -> int:
    """A run of the loader's that has ended."""
    [(run_id,)] = warehouse.rows(
        "insert into ops.runs (job, status, finished_at, rows_read, rows_inserted) "
        "values (%s, %s, now(), %s, %s) returning run_id",
        job, status, rows, rows,
    )  # fmt: skip
    return int(run_id)


def receive(warehouse: Warehouse, table: str, run_id: int) -> None:
    """A row of a table over time, that came with a run."""
    names = {
        "received_at": "%(at)s", "run_id": "%(run_id)s", "payload": "'{}'", "channel": "'x'",
        "book": "'x'", "exchange_id": "'x'", "bid": "1", "ask": "1", "file_id": "1",
        "line_number": "1",
    }  # fmt: skip
    columns = warehouse.rows(
        "select attname from pg_attribute where attrelid = cast(%s as regclass) "
        "and attnum > 0 and attnotnull and not attisdropped",
        f"raw.{table}",
    )
    chosen = [name for (name,) in columns]
    query = (
        f"insert into raw.{table} ({', '.join(chosen)}) "
        f"values ({', '.join(names[name] for name in chosen)})"
    )
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("select raw.ensure_day(%s, %s)", (table, DAY.date()))
        cursor.execute(query, {"at": DAY, "run_id": run_id})


def over_time(warehouse: Warehouse) -> list[str]:
    assert warehouse
    with connect("loader") as connection, connection.cursor() as cursor:
        return tables_over_time(cursor)


# ------------------------------------------------------------------- decided


def test_with_nothing_new_dbt_is_not_started(warehouse: Warehouse, told: Told) -> None:
    assert next_orders(told) == []
    done = warehouse.call("loader", "transform")
    assert (done.returncode, done.stderr, told) == (0, "", [])
    assert done.stdout.startswith("transform: nothing is new, nothing to do (run ")
    [(statuses,)] = warehouse.rows("select array_agg(status order by run_id) from ops.runs")
    assert statuses == ["succeeded", "unchanged", "unchanged", "unchanged"]


def test_what_brings_nothing_is_nothing_new(warehouse: Warehouse, told: Told) -> None:
    for status in ("unchanged", "refused", "failed", "succeeded"):
        ran(warehouse, "tickers", status)
    # Its rows are messages.
    ran(warehouse, "alerts", rows=3)
    assert next_orders(told) == []


def test_new_rows_of_each_table_build_what_they_go_into(warehouse: Warehouse, told: Told) -> None:
    tables = over_time(warehouse)
    assert len(tables) >= 7
    for table in tables:
        receive(warehouse, table, ran(warehouse, "replay", rows=1))
        assert fed(next_orders(told)) == {table}
    for table in tables:
        receive(warehouse, table, ran(warehouse, "replay", rows=1))
    assert fed(next_orders(told)) == set(tables)


def test_a_run_that_ends_after_a_later_one_is_new(warehouse: Warehouse, told: Told) -> None:
    [(early,)] = warehouse.rows("insert into ops.runs (job) values ('books') returning run_id")
    receive(warehouse, "bitso_tickers", ran(warehouse, "tickers", rows=1))
    assert fed(next_orders(told)) == {"bitso_tickers"}
    receive(warehouse, "bitso_books", early)
    assert next_orders(told) == []
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = started_at, rows_read = 1, "
        "rows_inserted = 1 where run_id = %s",
        early,
    )
    assert fed(next_orders(told)) == {"bitso_books"}


def test_what_ends_while_dbt_is_at_work_is_new_the_next_time(
    warehouse: Warehouse, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(warehouse, "bitso_tickers", ran(warehouse, "tickers", rows=1))
    meanwhile = mock.Mock(
        side_effect=lambda *_: receive(warehouse, "bitso_books", ran(warehouse, "books", rows=1))
    )
    with monkeypatch.context() as patched:
        patched.setattr(transform, "run_dbt", meanwhile)
        transform.transform()
    assert fed([meanwhile.call_args.args]) == {"bitso_tickers"}
    assert fed(next_orders(told)) == {"bitso_books"}


def test_time_that_was_watched_is_new_without_a_row(warehouse: Warehouse, told: Told) -> None:
    warehouse.rows(
        "insert into ops.monitored (run_id, books, monitored_from, monitored_until) "
        "values (%s, '{btc_mxn}', %s, %s)",
        ran(warehouse, "stream"), DAY, DAY + timedelta(minutes=1),
    )  # fmt: skip
    assert fed(next_orders(told)) == set()


Change = Callable[[Warehouse, Path], object]


def publish(warehouse: Warehouse, scratch: Path) -> None:
    done = warehouse.call(
        "loader", "snapshots", write(scratch, "users.csv", "users", good_rows("users", 3))
    )
    assert done.returncode == 0, done.stderr


def fail(_: Warehouse, __: Path) -> None:
    with (
        mock.patch.object(transform, "run_dbt", side_effect=TerminalError("dbt: no")),
        pytest.raises(TerminalError),
    ):
        transform.transform(tests=True)


CHANGES: dict[str, Change] = {
    "a snapshot": publish,
    "a run that failed": fail,
    "a run that was killed": lambda warehouse, _: warehouse.rows(
        "insert into ops.runs (job) values ('transform')"
    ),
    "a table made anew": lambda warehouse, _: warehouse.rows(
        "create table target.users as select", role="transformer"
    ),
    "a view replaced in place": lambda warehouse, _: warehouse.rows(
        "create or replace view marts.a_view as select 2 as one", role="transformer"
    ),
    "a key gone": lambda warehouse, _: warehouse.rows(
        "alter table marts.a_table drop constraint a_table_one_check", role="transformer"
    ),
    "a table gone": lambda warehouse, _: warehouse.rows(
        "drop table marts.a_table", role="transformer"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_may_have_changed_everything_builds_everything(
    warehouse: Warehouse, told: Told, tmp_path: Path, change: str
) -> None:
    warehouse.rows("create view marts.a_view as select 1 as one", role="transformer")
    warehouse.rows("create table marts.a_table (one int check (one > 0))", role="transformer")
    assert next_orders(told) == [EVERYTHING]
    CHANGES[change](warehouse, tmp_path)
    assert next_orders(told) == [EVERYTHING]


def test_each_file_that_dbt_reads_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    files = [
        project / name
        for name in ("dbt_project.yml", "models/marts/a.sql", "macros/m.sql", "functions/f.sql")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one {{ env_var('HOW_MANY', '1') }}")
    known = {dbt_project.digest(project)}

    def is_another() -> bool:
        digest = dbt_project.digest(project)
        is_new = digest not in known
        known.add(digest)
        return is_new

    for file in files:
        file.write_text("two {{ env_var('HOW_MANY', '1') }}")
        assert is_another()
    files[1].rename(project / "models" / "a.sql")
    assert is_another()
    monkeypatch.setenv("HOW_MANY", "2")
    assert is_another()
    monkeypatch.setenv("HOW_FEW", "2")
    (project / "target").mkdir()
    for name in ("target/manifest.json", "profiles.yml", ".user.yml"):
        (project / name).write_text("written")
        assert not is_another()


@pytest.mark.parametrize("directory", ["DBT_PROJECT", "SEEDS"])
def test_another_project_or_seed_builds_everything(
    told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: str
) -> None:
    monkeypatch.setattr(dbt_project, directory, tmp_path)
    assert next_orders(told) == [EVERYTHING]


def test_tests_and_a_stretch_always_build(told: Told) -> None:
    transform.transform(tests=True)
    assert told == [("build",)]
    told.clear()
    transform.transform(DAY, DAY + timedelta(hours=1))
    [order] = told
    assert order[: len(EVERYTHING)] == EVERYTHING
    told.clear()
    assert next_orders(told) == []


def test_every_table_is_reached_by_what_it_is_made_from(warehouse: Warehouse) -> None:
    """A model that reads raw another way would never be built."""

    def listed(*selection: str) -> set[str]:
        done = warehouse.dbt(
            "ls", "--quiet", "--resource-type", "model", *selection,
            "--exclude", "config.materialized:view",
        )  # fmt: skip
        names = [word.partition("bitso_warehouse.") for word in done.stdout.split()]
        return {name for before, found, name in names if found and not before}

    news = News(tuple(over_time(warehouse)), has_watched_time=True)
    order = whats_new._market(news)
    reached = listed(*order[1 : order.index("--exclude")])
    # The models themselves write to these.
    of_nobody = {
        f"staging.pipeline.stg_pipeline__{name}"
        for name in ("progress", "aliases_taken_in", "thresholds_taken_in")
    }
    of_snapshots = listed("--select", "source:snapshots+")
    assert listed() == reached | of_snapshots | of_nobody
    assert listed("--select", "source:pipeline+") <= reached
    assert {"target.users", "marts.activity.user_logins"} <= of_snapshots - reached


# --------------------------------------------------------------------- built


@pytest.fixture(scope="module")
def built(module_warehouse: Warehouse) -> Warehouse:
    """The sample's snapshots, and some minutes of a market; built."""
    done = module_warehouse.call("loader", "snapshots", PROJECT_ROOT / "seeds" / "sample")
    assert done.returncode == 0, done.stderr
    list(replay(record(module_warehouse.directory / "first.jsonl", minutes(3))))
    assert module_warehouse.transform().status == "succeeded"
    return module_warehouse


def relations(warehouse: Warehouse) -> dict[str, int]:
    return dict(
        warehouse.rows(
            "select oid::regclass::text, oid::bigint from pg_class "
            "where relnamespace in ('staging'::regnamespace, 'target'::regnamespace, "
            "'marts'::regnamespace, 'reference'::regnamespace) and relkind in ('r', 'p', 'v')"
        )
    )


def test_new_rows_leave_alone_what_they_do_not_go_into(built: Warehouse) -> None:
    built.activate()
    before = relations(built)
    late = NOON + timedelta(days=1)
    list(replay(record(built.directory / "second.jsonl", minutes(2, late))))
    run = built.transform()
    assert run.status == "succeeded"
    assert built.rows("select count(*) from target.quotes where quoted_at >= %s", late) == [(4,)]
    assert built.rows(
        "select max(orderbook_timestamp) from marts.spread_observations"
    ) == [(late + timedelta(minutes=1),)]  # fmt: skip
    assert relations(built) == before
    assert built.transform().status == "unchanged"


def zone(warehouse: Warehouse) -> list[tuple[str]]:
    return warehouse.rows("select reporting_timezone from marts.reporting_settings")


def test_what_was_built_by_hand_otherwise_is_built_again(built: Warehouse) -> None:
    built.activate()
    assert built.transform().status == "unchanged"
    built.dbt("run", "-s", "reporting_settings", "--vars", '{"reporting_timezone": "Asia/Tokyo"}')
    assert zone(built) == [("Asia/Tokyo",)]
    assert built.transform().status == "succeeded"
    assert zone(built) == [("UTC",)]
    assert built.transform().status == "unchanged"


def test_a_new_snapshot_is_built_and_new_rows_with_it(built: Warehouse, tmp_path: Path) -> None:
    built.activate()
    file = write(tmp_path, "users.csv", "users", good_rows("users", 2, 90001))
    assert built.call("loader", "snapshots", "--allow-shrink", file).returncode == 0
    late = NOON + timedelta(days=2)
    list(replay(record(tmp_path / "third.jsonl", minutes(1, late))))
    assert built.transform().status == "succeeded"
    assert built.rows("select count(*) from target.users where user_id = 'user90002'") == [(1,)]
    assert built.rows("select count(*) from target.quotes where quoted_at >= %s", late) == [(2,)]
    assert built.transform().status == "unchanged"
