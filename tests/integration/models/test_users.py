"""The model over the life of the data: corrections, partial runs, killed runs, enforced keys."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import BIN, Server, Warehouse
from tests.snapshot_files import write
from tests.waiting import wait_for_lock

FIRST = {
    "users": ["ana", "bea", "cid"],
    "deposits": [
        "1,2023-01-01 10:00:00+00,ana,10.5,mxn,complete",
        "2,2023-01-02 10:00:00+00,ana,2,btc,failed",
        "3,2023-01-02 11:00:00+00,bea,3,mxn,complete",
    ],
    "withdrawals": ["1,2023-01-02 12:00:00+00,ana,-1,web,mxn,failed"],
    "events": ["1,2023-01-01 09:00:00.000000,ana,login"],
    "user_levels": ["ana,mx,1,2023-01-01 00:00:00+00", "ana,mx,2,2023-01-03 00:00:00+00"],
}
# The next day's files: 2 became complete, 3 vanished, 4 came late, and much is unheard of.
SECOND = {
    **FIRST,
    "deposits": [
        "1,2023-01-01 10:00:00+00,ana,10.5,mxn,complete",
        "2,2023-01-02 10:00:00+00,ana,2,btc,complete",
        "4,2023-01-01 05:59:59.999999+00,dan,4,pagx,pending",
    ],
    "events": [*FIRST["events"], "2,2023-01-05 09:00:00.000000,eve,moonwalk"],
}


def load(warehouse: Warehouse, directory: Path, files: dict[str, list[str]]) -> None:
    directory.mkdir(exist_ok=True)
    for kind, rows in files.items():
        write(directory, f"{kind}.csv", kind, rows)
    done = warehouse.call("loader", "snapshots", "--allow-shrink", directory)
    assert done.returncode == 0, done.stderr


def foreign_keys(warehouse: Warehouse) -> dict[str, int]:
    """The foreign keys of target by name, and what tells a new one from an old one."""
    return dict(
        warehouse.rows(
            "select conname, oid::int from pg_constraint "
            "where contype = 'f' and connamespace = 'target'::regnamespace and convalidated"
        )
    )


@pytest.fixture(scope="module")
def built(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The second snapshot after the first, both built; no test of the module changes it."""
    warehouse = server.database("model", "migrated")
    directory = tmp_path_factory.mktemp("model")
    load(warehouse, directory / "1", FIRST)
    warehouse.dbt("build")
    load(warehouse, directory / "2", SECOND)
    warehouse.dbt("build", "--exclude", "resource_type:unit_test")
    yield warehouse
    server.drop(warehouse)


@pytest.fixture
def copied(server: Server, built: Warehouse) -> Iterator[Warehouse]:
    """A copy of it that a test may change."""
    name = f"model_{time.monotonic_ns()}"
    warehouse = server.database(name, built.where.db)
    yield warehouse
    server.drop(warehouse)
    built.activate()


def test_a_changed_a_vanished_and_a_late_row_are_reflected(built: Warehouse) -> None:
    assert built.rows(
        "select deposit_id, user_id, trim_scale(amount)::text, currency, transaction_status "
        "from target.deposits order by 1"
    ) == [
        (1, "ana", "10.5", "mxn", "complete"),
        (2, "ana", "2", "btc", "complete"),
        (4, "dan", "4", "pagx", "pending"),
    ]


def test_unknown_codes_are_rows_of_their_own(built: Warehouse) -> None:
    assert built.rows("select currency from target.currencies where not is_known") == [("pagx",)]
    assert built.rows(
        "select transaction_status from target.transaction_statuses where not is_known"
    ) == [("pending",)]
    assert built.rows("select event_name from target.event_types where not is_known") == [
        ("moonwalk",)
    ]


def test_users_known_only_from_their_rows_are_kept_and_counted(built: Warehouse) -> None:
    assert built.rows("select user_id from target.users where not in_snapshot order by 1") == [
        ("dan",), ("eve",),
    ]  # fmt: skip
    done = built.dbt("test", "--select", "users_are_in_the_users_snapshot")
    assert "WARN 2" in done.stdout


def test_levels_are_a_history(built: Warehouse) -> None:
    assert built.rows(
        "select level, valid_from::date::text, valid_to::date::text "
        "from target.user_levels order by valid_from"
    ) == [(1, "2023-01-01", "2023-01-03"), (2, "2023-01-03", None)]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        (
            """insert into target.deposits select 9, 'nobody', currency, transaction_status,
            amount, deposited_at from target.deposits limit 1""",
            psycopg2.errors.ForeignKeyViolation,
        ),
        (
            """insert into target.deposits select 9, user_id, 'nocoin', transaction_status,
            amount, deposited_at from target.deposits limit 1""",
            psycopg2.errors.ForeignKeyViolation,
        ),
        (
            "insert into target.deposits select * from target.deposits",
            psycopg2.errors.UniqueViolation,
        ),
        ("update target.deposits set amount = 'NaN'", psycopg2.errors.CheckViolation),
        ("update target.deposits set deposited_at = null", psycopg2.errors.NotNullViolation),
        ("delete from target.users", psycopg2.errors.ForeignKeyViolation),
    ],
)
def test_postgres_itself_enforces_the_model(
    built: Warehouse, statement: str, refusal: type[psycopg2.Error]
) -> None:
    columns = built.rows(
        "select string_agg(attname, ',' order by attnum) from pg_attribute "
        "where attrelid = 'target.deposits'::regclass and attnum > 0"
    )
    assert columns == [("deposit_id,user_id,currency,transaction_status,amount,deposited_at",)]
    with pytest.raises(refusal):
        built.rows(statement)


def test_every_table_of_target_has_a_primary_key_and_every_reference_its_foreign_key(
    built: Warehouse,
) -> None:
    assert (
        built.rows(
            "select oid::regclass::text from pg_class "
            "where relnamespace = 'target'::regnamespace and relkind = 'r' and not exists ("
            "select from pg_constraint where conrelid = pg_class.oid and contype = 'p')"
        )
        == []
    )
    assert sorted(foreign_keys(built)) == [
        "deposits_currency_fkey", "deposits_transaction_status_fkey", "deposits_user_id_fkey",
        "events_event_name_fkey", "events_user_id_fkey", "markets_base_fkey",
        "markets_exchange_id_fkey", "markets_target_fkey", "quotes_book_fkey",
        "user_levels_user_id_fkey", "withdrawals_currency_fkey", "withdrawals_interface_fkey",
        "withdrawals_transaction_status_fkey", "withdrawals_user_id_fkey",
    ]  # fmt: skip


def test_the_descriptions_are_in_the_database(built: Warehouse) -> None:
    assert (
        built.rows(
            "select relation.oid::regclass::text, attname from pg_class as relation "
            "inner join pg_attribute on attrelid = relation.oid and attnum > 0 "
            "where relnamespace in ('target'::regnamespace, 'marts'::regnamespace) "
            "and relkind in ('r', 'v') and (col_description(relation.oid, attnum) is null "
            "or obj_description(relation.oid) is null)"
        )
        == []
    )


@pytest.mark.parametrize(
    ("selected", "touched"),
    [
        ("users", "_user_id_fkey"),
        ("currencies deposits", ("_currency_fkey", "deposits_")),
        ("events", "events_"),
        ("user_logins reporting_settings", ()),
    ],
)
def test_a_partial_run_leaves_all_foreign_keys_and_touches_only_its_own(
    copied: Warehouse, selected: str, touched: str | tuple[str, ...]
) -> None:
    before = foreign_keys(copied)
    copied.dbt("run", "--select", *selected.split())
    after = foreign_keys(copied)
    assert after.keys() == before.keys()
    ends = (touched,) if isinstance(touched, str) else touched
    expected = {name for name in before if any(end in name for end in ends)}
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_partial_run_stays_on_the_cut_of_the_last_whole_one(
    copied: Warehouse, tmp_path: Path
) -> None:
    newer = {"deposits": ["7,2023-02-01 10:00:00+00,new,1,mxn,complete"]}
    load(copied, tmp_path / "3", newer)
    copied.dbt("run", "--select", "deposits")
    assert copied.rows("select max(deposit_id) from target.deposits") == [(4,)]
    copied.dbt("run")
    assert copied.rows("select deposit_id, user_id from target.deposits") == [(7, "new")]


def test_a_partial_run_over_a_dropped_snapshot_refuses_to_build_nothing(
    copied: Warehouse, tmp_path: Path
) -> None:
    for number in range(3):
        newer = {"deposits": [f"{number},2023-02-01 10:00:00+00,ana,1,mxn,complete"]}
        load(copied, tmp_path / str(number), newer)
    done = copied.dbt("run", "--select", "deposits", check=False)
    assert done.returncode != 0
    assert "gone from raw" in done.stdout
    assert copied.rows("select count(*) from target.deposits") == [(3,)]
    copied.dbt("run")
    assert copied.rows("select deposit_id from target.deposits") == [(2,)]


def test_a_killed_run_leaves_the_old_tables_answering_and_the_next_one_mends(
    copied: Warehouse, tmp_path: Path
) -> None:
    load(copied, tmp_path / "3", FIRST)
    before = foreign_keys(copied)
    with closing(connect()) as blocker, blocker.cursor() as cursor:
        # The tables of target are swapped, this mart cannot be: the run stops in between.
        cursor.execute("lock table marts.user_logins in share mode")
        run = subprocess.Popen(
            [BIN / "dbt", "run", "--project-dir", PROJECT_ROOT / "dbt_project",
             "--target-path", copied.directory / "target", "--log-path", copied.directory],
            start_new_session=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_lock(copied, "user_logins")
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    for table in ("users", "deposits", "withdrawals", "events", "user_levels"):
        assert copied.rows(f"select count(*) > 0 from target.{table}") == [(True,)]
    # Those of the tables that it has swapped are gone; the market's tables are changed in place.
    left = set(foreign_keys(copied))
    assert {name for name in before if name.startswith(("markets_", "quotes_"))} <= left
    assert left < set(before)
    assert copied.call("dashboards", "ask", "active-users").returncode == 0
    copied.dbt("run")
    assert foreign_keys(copied).keys() == before.keys()
    assert copied.rows("select max(deposit_id) from target.deposits") == [(3,)]


def test_days_follow_the_reporting_time_zone(copied: Warehouse) -> None:
    def day_of_dan() -> list[tuple[str]]:
        return copied.rows(
            "select first_deposit_date::text from marts.user_deposit_history "
            "where user_id = 'dan' and status = 'any'"
        )

    assert day_of_dan() == [("2023-01-01",)]
    zone = '{"reporting_timezone": "America/Mexico_City"}'
    copied.dbt("run", "--select", "marts", "--vars", zone)
    assert day_of_dan() == [("2022-12-31",)]
    asked = ("--day", "2022-12-31", "--status", "any", "--format", "csv")
    assert copied.call("dashboards", "ask", "active-users", *asked).stdout == "active_users\n1\n"


def test_a_build_with_nothing_loaded_passes_and_every_question_answers(
    warehouse: Warehouse,
) -> None:
    warehouse.dbt("build", "--exclude", "resource_type:unit_test")
    for name in ("active-users", "users-without-deposits", "last-login", "average-deposit"):
        done = warehouse.call("dashboards", "ask", name, "--format", "csv")
        assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr


def test_unit_tests_pass_in_a_full_refresh_too(copied: Warehouse) -> None:
    done = copied.dbt(
        "build", "--full-refresh", "--exclude-resource-type", "seed", "test",
        "--exclude", "config.materialized:view",
    )  # fmt: skip
    assert "unit_test" in done.stdout
