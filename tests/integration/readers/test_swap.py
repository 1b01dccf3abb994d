"""What a run of dbt makes anew, and what it leaves alone: ids, grants, comments, readers."""

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest import mock

import pytest

from dashboards import answers
from dashboards.preview import hold_marts
from loader.operations import transform
from loader.operations.dbt import run_dbt
from loader.warehouse.postgres.connection import connect
from tests import market
from tests.conftest import Server, Warehouse
from tests.readers import RestlessReader
from tests.waiting import wait_for

RELATIONS = """
select oid::regclass::text, oid, obj_description(oid, 'pg_class'), reloptions::text,
    array(select acl::text from unnest(relacl) as acl order by 1),
    array(
        select concat_ws(' ', attname, atttypid::regtype, attacl, col_description(oid, attnum))
        from pg_attribute where attrelid = pg_class.oid and attnum > 0 and not attisdropped
        order by attnum
    )
from pg_class where relkind in ('r', 'v') and relnamespace in (
    select oid from pg_namespace where nspname in ('reference', 'staging', 'target', 'marts'))
"""
TABLES = "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = %s"
LEFT_BEHIND = (
    r"select oid::regclass::text from pg_class where relname like '%\_\_dbt\_%' and relkind <> 'i'"
)
_numbers = itertools.count()
BUILD = ("build", "--exclude-resource-type", "test", "unit_test")
PATIENCE = "swap_patience_seconds"
# What the loader did, and when.
OF_THE_RUNS = {
    "marts.alerts_judged", "marts.modelled_until", "marts.pipeline_runs",
    "marts.pipeline_runs_by_day", "marts.spread_alerts_live",
}  # fmt: skip


@pytest.fixture(scope="module")
def copied(server: Server, sampled: Warehouse) -> Iterator[Warehouse]:
    """What `make run` leaves behind, under another name."""
    warehouse = server.database("swapped", sampled.where.db)
    # dbt puts the name of its database into them.
    warehouse.dbt("run-operation", "make_functions")
    yield warehouse
    server.drop(warehouse)


@pytest.fixture
def built(server: Server, copied: Warehouse) -> Iterator[Warehouse]:
    """The same, to be changed by one test."""
    warehouse = server.database(f"swapped_{next(_numbers)}", copied.where.db)
    yield warehouse
    server.drop(warehouse)


def relations(warehouse: Warehouse) -> dict[str, tuple[Any, ...]]:
    """Id, and comment, options, grants and columns of each."""
    return {name: tuple(rest) for name, *rest in warehouse.rows(RELATIONS)}


def ids(found: dict[str, tuple[Any, ...]]) -> dict[str, int]:
    return {name: rest[0] for name, rest in found.items()}


def all_but_ids(found: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {name: rest[1:] for name, rest in found.items()}


def contents(warehouse: Warehouse) -> dict[str, tuple[int, str]]:
    """Rows and checksum of each relation that is the same whenever it is built."""
    names = {
        name
        for (schema, name) in warehouse.rows(
            "select table_schema, table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ('reference', 'target', 'marts')"
        )
    }
    return market.digests(warehouse, sorted(names - OF_THE_RUNS))


def test_what_has_not_changed_is_left_alone(built: Warehouse) -> None:
    before, rows = relations(built), contents(built)
    built.dbt(*BUILD)
    after = relations(built)
    made_anew = {name for name, known in ids(before).items() if known != ids(after)[name]}
    tables = {
        name
        for schema in ("target", "marts")
        for (name,) in built.rows(TABLES.replace("%s", f"'{schema}'::regnamespace"))
    }
    # Of tables that are rebuilt there must be some, or nothing was tried here.
    assert made_anew
    assert made_anew <= tables
    assert all_but_ids(after) == all_but_ids(before)
    assert contents(built) == rows


CHANGED = [
    # Descriptions.
    "comment on view marts.book_names is null",
    "comment on column marts.book_names.book is 'another one'",
    "comment on column target.quotes.bid is null",
    "comment on table reference.feeds is 'another one'",
    # A view that says something else, with the same columns, with more, with an option.
    (
        "create or replace view marts.reporting_settings as "
        "select 'UTC' as reporting_timezone, 7 as blind_after_seconds"
    ),
    (
        "create or replace view marts.book_names as "
        "select book as book_name, book, 1 as one from target.books"
    ),
    "alter view staging.stg_bitso__books set (security_barrier)",
    # A seed with other rows, with fewer, with one twice, with none, with another column.
    "update reference.known_currencies set name = 'another one' where currency = 'ada'",
    "delete from reference.known_event_types where is_login",
    "insert into reference.book_aliases select * from reference.book_aliases limit 1",
    "truncate reference.known_transaction_statuses",
    "alter table reference.spread_thresholds add column another integer",
    # A table with another column.
    "alter table marts.user_logins add column another integer",
]  # fmt: skip


def test_what_differs_becomes_what_it_should_be(built: Warehouse) -> None:
    before, rows = relations(built), contents(built)
    for change in CHANGED:
        built.rows(change)
    assert all_but_ids(relations(built)) != all_but_ids(before)
    assert contents(built) != rows
    built.dbt(*BUILD)
    assert all_but_ids(relations(built)) == all_but_ids(before)
    assert contents(built) == rows
    # Of the seeds, only the one with another column is another table.
    after = relations(built)
    assert [
        name
        for name in before
        if name.startswith("reference.") and before[name][0] != after[name][0]
    ] == ["reference.spread_thresholds"]


KINDS = [
    pytest.param("shared_markets", "r", id="a table"),
    pytest.param("spread_hourly", "r", id="an incremental one"),
    pytest.param("book_names", "v", id="a view"),
]


@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_what_was_of_another_kind_is_swapped_as_well(
    built: Warehouse, model: str, kind: str
) -> None:
    before, rows = relations(built), contents(built)
    other = "table" if kind == "v" else "view"
    built.rows(
        f"""
        set role warehouse_transformer;
        alter table marts.{model} rename to origin;
        create {other} marts.{model} as select * from marts.origin;
        create view marts.reader as select * from marts.{model}
        """
    )
    reads = "select count(*) from marts.reader"
    found = built.rows(reads)
    with RestlessReader(built) as reader:
        # All of them: whatever read the one before reads this one afterwards.
        built.dbt(*BUILD)
    assert reader.misses == []
    assert built.rows(reads) == found
    built.rows("drop view marts.reader")
    built.rows(f"drop {'view' if kind == 'v' else 'table'} marts.origin")
    assert all_but_ids(relations(built)) == all_but_ids(before)
    assert contents(built) == rows
    assert built.rows(LEFT_BEHIND) == []


def test_grants_and_options_given_by_hand_are_kept(built: Warehouse) -> None:
    for change in (
        "grant select on marts.user_logins to public",
        "grant select on marts.user_logins to warehouse_maintainer with grant option",
        "revoke all on marts.user_logins from warehouse_exporter",
        "grant select (user_id), references (user_id) on marts.user_logins to warehouse_maintainer",
        "revoke all on target.quotes from warehouse_exporter",
        "grant select (book) on marts.spread_observations to warehouse_maintainer",
        "alter view marts.spread_observations set (security_barrier)",
    ):
        built.rows(change)
    before = relations(built)
    built.dbt("run", "--full-refresh", "--select", "user_logins", "quotes")
    after = relations(built)
    assert all_but_ids(after) == all_but_ids(before)
    assert ids(after)["marts.user_logins"] != ids(before)["marts.user_logins"]
    assert ids(after)["target.quotes"] != ids(before)["target.quotes"]
    assert ids(after)["marts.spread_observations"] == ids(before)["marts.spread_observations"]


def test_views_of_others_go_with_the_table_that_they_read(built: Warehouse) -> None:
    built.rows(
        """
        set role warehouse_transformer;
        create view marts.deep as select user_id from marts.user_logins;
        create view marts.deeper as
        select deep.user_id, count(*) as logins from marts.deep
        inner join marts.user_logins using (user_id) group by 1;
        """
    )
    before = relations(built)
    assert built.rows("select count(*) > 0 from marts.deeper") == [(True,)]
    built.rows("delete from marts.user_logins")
    built.dbt("run", "--select", "user_logins")
    # They read the new rows, and are still the same views.
    assert built.rows("select count(*) > 0 from marts.deeper") == [(True,)]
    after = relations(built)
    assert after["marts.deep"] == before["marts.deep"]
    assert after["marts.deeper"] == before["marts.deeper"]
    assert built.rows(LEFT_BEHIND) == []


MISFITS = [
    # A column that is gone, one of another type, a copy, a view that is not ours to change.
    pytest.param(
        "alter table marts.user_logins add column gone integer default 7; "
        "set role warehouse_transformer; "
        "create view marts.misfit as select user_id, gone from marts.user_logins",
        id="a column is gone",
    ),
    pytest.param(
        "alter table marts.user_logins alter column logged_in_at type text; "
        "set role warehouse_transformer; "
        "create view marts.misfit as select logged_in_at from marts.user_logins",
        id="a column has another type",
    ),
    pytest.param(
        "set role warehouse_transformer; "
        "create materialized view marts.misfit as select user_id from marts.user_logins",
        id="a materialized view",
    ),
    pytest.param(
        "create view marts.misfit as select user_id from marts.user_logins", id="of somebody else"
    ),
]


@pytest.mark.parametrize("made", MISFITS)
def test_what_does_not_fit_stays_with_the_old_rows_and_is_told_of(
    built: Warehouse, made: str
) -> None:
    built.rows(made)
    before = built.rows("select * from marts.misfit order by 1 limit 3")
    assert before
    for _ in range(2):
        done = built.dbt("run", "--select", "user_logins")
        assert built.rows("select * from marts.misfit order by 1 limit 3") == before
        [(backup,)] = built.rows(LEFT_BEHIND)
        told = " ".join(done.stdout.split())
        assert f"marts.misfit still reads {backup}, which is no longer filled" in told
    [(kind,)] = built.rows("select relkind from pg_class where relname = 'misfit'")
    built.rows(f"drop {'materialized ' if kind == 'm' else ''}view marts.misfit")
    built.dbt("run", "--select", "reporting_settings")
    assert built.rows(LEFT_BEHIND) == []


# What a reader has read in a transaction that is still open, and the run that would replace it.
HELD = [
    pytest.param("marts.user_logins", ["run", "--select", "user_logins"], id="a table"),
    pytest.param(
        "marts.exchange_volumes", ["run", "--full-refresh", "--select", "exchange_volumes"],
        id="an incremental one",
    ),
    pytest.param("marts.book_thresholds", ["run", "--select", "book_thresholds"], id="a view"),
    pytest.param(
        "marts.spread_alerts_live", ["run", "--select", "book_thresholds"], id="what reads a view"
    ),
    pytest.param("target.deposits", ["run", "--select", "users"], id="a foreign key"),
    pytest.param("reference.feeds", ["seed", "--full-refresh"], id="a seed"),
]  # fmt: skip
TRYING = (
    "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
)


@pytest.mark.parametrize(("held", "command"), HELD)
def test_who_reads_for_long_delays_the_swap_and_nobody_else(
    built: Warehouse, held: str, command: list[str]
) -> None:
    # So that there is something to swap.
    built.rows("alter view marts.book_thresholds set (security_barrier)")
    built.rows("alter table reference.feeds add column another integer")
    before = relations(built)
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"select * from {held} limit 1")
        with RestlessReader(built) as others:
            done = built.dbt(*command, "--vars", json.dumps({PATIENCE: 2}), check=False)
        assert others.misses == []
        assert done.returncode == 1
        told = " ".join(done.stdout.split())
        found = re.search(r"is held by others \(processes ([\d, ]+)\) and stays as it was", told)
        assert found, told
        assert str(connection.info.backend_pid) in found[1].split(", ")
        assert relations(built) == before
        # Now it has the patience, and the reader goes.
        runs = threading.Thread(target=built.dbt, args=command)
        runs.start()
        wait_for(lambda: built.rows(TRYING), "a swap that tries again")
        connection.rollback()
        runs.join()
    after = relations(built)
    assert ids(after) != ids(before)
    assert built.rows(LEFT_BEHIND) == []


def test_a_transform_that_readers_hold_up_may_be_tried_again(built: Warehouse) -> None:
    def impatient(*arguments: str) -> None:
        run_dbt(*arguments, "--select", "user_logins", "--vars", json.dumps({PATIENCE: 1}))

    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("select * from marts.user_logins limit 1")
        with mock.patch.object(transform, "run_dbt", impatient):
            done = built.call("loader", "transform")
    assert done.returncode == 75
    [*_, last] = done.stderr.splitlines()
    assert last.startswith("loader: dbt: Database Error in model user_logins")
    assert last.endswith("try again later")
    assert built.rows("select status from ops.runs order by run_id desc limit 1") == [("failed",)]


def test_a_page_that_shows_one_moment_does_not_lose_a_table_to_a_swap(built: Warehouse) -> None:
    swap = threading.Thread(
        target=built.dbt, args=("run", "--full-refresh", "--select", "user_logins", "quotes")
    )
    with answers.reading() as connection, connection.cursor() as cursor:
        hold_marts(connection)
        cursor.execute("select count(*) from marts.daily_active_users")
        swap.start()
        wait_for(
            lambda: not swap.is_alive() or len(built.rows(TRYING)) == 2, "swaps that try again"
        )
        for table in ("user_logins", "spread_observations"):
            cursor.execute(f"select count(*) > 0 from marts.{table}")
            assert cursor.fetchall() == [(True,)]
    swap.join()
    assert built.rows(LEFT_BEHIND) == []


def test_who_reads_one_moment_sees_the_rows_of_a_seed_as_they_were(built: Warehouse) -> None:
    built.rows("update reference.feeds set interval_seconds = 7")
    paces = "select distinct interval_seconds from reference.feeds"
    with closing(connect()) as connection, connection.cursor() as cursor:
        connection.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("select 1 from target.quotes limit 1")
        built.dbt("seed")
        cursor.execute(paces)
        assert cursor.fetchall() == [(7,)]
    assert (7,) not in built.rows(paces)
