"""Loading snapshots: the ledger, what is current and what is kept, readers, roles and memory."""

import gzip
import os
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from loader.warehouse.postgres.connection import connect
from tests.conftest import BIN, Warehouse
from tests.snapshot_files import HEADERS, content, error_of, good_rows, write
from tests.waiting import LAST_RESORT_SECONDS, wait_for_lock

CURRENT_USERS = (
    "select user_id from raw.users inner join raw.snapshots using (snapshot_id) "
    "where is_current order by line_number"
)


def load(warehouse: Warehouse, *arguments: object, **environment: str) -> str:
    done = warehouse.call("loader", "snapshots", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def statuses(warehouse: Warehouse) -> list[str]:
    return [status for (status,) in warehouse.rows("select status from ops.runs order by run_id")]


def partitions(warehouse: Warehouse) -> set[str]:
    """Every table that holds rows of a snapshot, attached or left behind."""
    query = (
        r"select relname from pg_class where relnamespace = 'raw'::regnamespace "
        r"and relkind = 'r' and relname ~ '_\d+$'"
    )
    return {name for (name,) in warehouse.rows(query)}


# --- what is current ---------------------------------------------------------------------------


def test_the_same_content_again_is_a_no_op_that_says_so(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    data = content("users", good_rows("users", 50))
    names = ("users.csv", "other name.csv", "users.csv.gz", "two members.csv.gz")
    packed = gzip.compress(data[:40]) + gzip.compress(data[40:])
    for name, shape in zip(names, (data, data, gzip.compress(data), packed), strict=True):
        (tmp_path / name).write_bytes(shape)
    assert "50 rows loaded" in load(warehouse, tmp_path / names[0])
    before = warehouse.rows("select * from raw.users order by user_id")
    for name in names:
        output = load(warehouse, tmp_path / name)
        assert output == f"{name}: users: the same bytes as the current snapshot, nothing to do\n"
    assert warehouse.rows("select * from raw.users order by user_id") == before
    assert len(partitions(warehouse)) == 1
    assert statuses(warehouse) == ["succeeded", *["unchanged"] * 4]
    assert warehouse.rows(
        "select distinct rows_read, rows_inserted, rows_duplicate, rows_quarantined "
        "from ops.runs where status = 'unchanged'"
    ) == [(0, 0, 0, 0)]


def test_a_corrected_file_is_a_new_snapshot_and_an_older_one_may_come_back(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    versions = {"first": ["u1", "u2"], "corrected": ["u1", "u3", "u4"]}
    for name in ("first", "corrected", "first"):
        load(warehouse, write(tmp_path, "users.csv", "users", versions[name]))
        assert warehouse.rows(CURRENT_USERS) == [(user,) for user in versions[name]]
    assert warehouse.rows("select count(*) from raw.snapshots") == [(3,)]


def test_a_header_alone_is_a_valid_empty_snapshot(warehouse: Warehouse, tmp_path: Path) -> None:
    for kind in HEADERS:
        write(tmp_path, f"{kind}.csv", kind, [])
    assert load(warehouse, tmp_path).count(": 0 rows loaded, 0 duplicate, 0 quarantined") == 5
    assert warehouse.rows("select kind, row_count from raw.snapshots order by kind") == [
        (kind, 0) for kind in sorted(HEADERS)
    ]


def test_the_blank_second_line_of_users_is_no_user(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", ["", "u1", "u2"]))
    assert warehouse.rows("select line_number, user_id from raw.users order by 1") == [
        (3, "u1"),
        (4, "u2"),
    ]
    assert warehouse.rows("select count(*) from ops.quarantine") == [(0,)]


@pytest.mark.parametrize(("rows", "is_refused"), [(5, False), (4, True), (0, True)])
def test_a_snapshot_of_less_than_half_is_refused_unless_allowed(
    warehouse: Warehouse, tmp_path: Path, rows: int, is_refused: bool
) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", good_rows("users", 10)))
    path = write(tmp_path, "users.csv", "users", good_rows("users", rows))
    done = warehouse.loader("snapshots", path)
    if is_refused:
        assert done.returncode == 1
        assert error_of(done) == (
            f"users.csv: {rows} rows, less than half of the current 10: "
            "use --allow-shrink if that is right"
        )
        assert len(warehouse.rows(CURRENT_USERS)) == 10
        assert len(partitions(warehouse)) == 1
        load(warehouse, path, "--allow-shrink")
    assert len(warehouse.rows(CURRENT_USERS)) == rows


@pytest.mark.parametrize(("setting", "kept"), [("", 3), ("1", 1), ("2", 2)])
def test_the_last_snapshots_are_kept_and_older_partitions_dropped(
    warehouse: Warehouse, tmp_path: Path, setting: str, kept: int
) -> None:
    for version in range(1, 6):
        path = write(tmp_path, "users.csv", "users", good_rows("users", 2, first=version))
        load(warehouse, path, WAREHOUSE_SNAPSHOTS_KEPT=setting)
    load(warehouse, write(tmp_path, "events.csv", "events", good_rows("events", 1)))
    snapshots = warehouse.rows(
        "select snapshot_id, dropped_at is null from raw.snapshots where kind = 'users' order by 1"
    )
    ids = [snapshot for snapshot, _ in snapshots]
    assert [is_kept for _, is_kept in snapshots] == [False] * (5 - kept) + [True] * kept
    assert {name for name in partitions(warehouse) if name.startswith("users")} == {
        f"users_{snapshot}" for snapshot in ids[5 - kept :]
    }
    assert warehouse.rows(CURRENT_USERS) == [("user5",), ("user6",)]


# --- readers -----------------------------------------------------------------------------------


def test_readers_see_the_old_snapshot_until_the_whole_new_one_is_there(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", good_rows("users", 3)))
    path = write(tmp_path, "users.csv", "users", good_rows("users", 9, first=100))
    with closing(connect("reader")) as reader, closing(connect()) as holder:
        reader.set_session(isolation_level="REPEATABLE READ")
        with holder.cursor() as cursor:
            cursor.execute("lock table raw.snapshots in share mode")
        with subprocess.Popen(
            [BIN / "loader", "snapshots", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as loading:
            wait_for_lock(warehouse, "publish_snapshot")
            assert len(warehouse.rows(CURRENT_USERS)) == 3
            assert len(warehouse.rows("select 1 from raw.users")) == 3
            holder.rollback()
            _, errors = loading.communicate(timeout=LAST_RESORT_SECONDS)
            assert loading.returncode == 0, errors
    assert len(warehouse.rows(CURRENT_USERS)) == 9


def test_a_transaction_that_began_before_keeps_its_snapshot(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", good_rows("users", 3)))
    with closing(connect()) as reader, reader.cursor() as cursor:
        reader.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("select 1")
        load(warehouse, write(tmp_path, "users.csv", "users", good_rows("users", 9, first=100)))
        cursor.execute(CURRENT_USERS)
        assert len(cursor.fetchall()) == 3


def test_a_reader_of_an_old_snapshot_delays_its_drop_and_not_the_load(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", good_rows("users", 3)))
    path = write(tmp_path, "users.csv", "users", good_rows("users", 4))
    with closing(connect()) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from raw.users")
        done = warehouse.loader("snapshots", path, WAREHOUSE_SNAPSHOTS_KEPT="1")
        assert done.returncode == 0
        assert "users: old snapshots are in use, the next load drops them" in done.stderr
        assert len(warehouse.rows(CURRENT_USERS)) == 4
        cursor.execute("select count(*) from raw.users where snapshot_id = 1")
        assert cursor.fetchall() == [(3,)]
    assert partitions(warehouse) == {"users_1", "users_2"}
    assert "nothing to do" in load(warehouse, path, WAREHOUSE_SNAPSHOTS_KEPT="1")
    assert partitions(warehouse) == {"users_2"}


# --- ledger and roles --------------------------------------------------------------------------


def test_every_run_has_its_row_with_what_it_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = ["u1", "u2", "u1", '""', '"']
    load(warehouse, write(tmp_path, "good.csv", "users", rows))
    load(warehouse, write(tmp_path, "good.csv", "users", rows))
    warehouse.loader("snapshots", write(tmp_path, "bad.csv", "users", ['""'] * 30))
    runs = warehouse.rows(
        "select job, status, rows_read, rows_inserted, rows_duplicate, rows_quarantined, "
        "error is null, detail ->> 'file', finished_at >= started_at from ops.runs order by run_id"
    )
    assert runs == [
        ("snapshots", "succeeded", 5, 2, 1, 2, True, "good.csv", True),
        ("snapshots", "unchanged", 0, 0, 0, 0, True, "good.csv", True),
        ("snapshots", "refused", 30, 0, 0, 30, False, "bad.csv", True),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "rows_read = rows_read + 1",
        "rows_inserted = rows_inserted + 1",
        "rows_quarantined = 5",
        "rows_duplicate = -1",
        "status = 'refused'",
        "status = 'done'",
        "status = 'running'",
        "finished_at = null",
    ],
)
def test_the_database_refuses_a_run_that_does_not_add_up(
    module_warehouse: Warehouse, change: str
) -> None:
    module_warehouse.activate()
    [(run,)] = module_warehouse.rows(
        "insert into ops.runs (job, status, finished_at, rows_read, rows_inserted, "
        "rows_duplicate, rows_quarantined) values ('by hand', 'succeeded', now(), 6, 3, 2, 1) "
        "returning run_id"
    )
    with pytest.raises(psycopg2.errors.CheckViolation):
        module_warehouse.rows(f"update ops.runs set {change} where run_id = %s", run)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from raw.users",
        "update raw.users set user_id = ''",
        "truncate raw.users",
        "drop table raw.users_1",
        "alter table raw.users detach partition raw.users_1",
        "update raw.snapshots set is_current = false",
        "insert into raw.snapshots overriding system value select * from raw.snapshots",
        "delete from ops.runs",
        "delete from ops.quarantine",
        "update ops.quarantine set raw = ''",
        "create table raw.mine ()",
    ],
)
def test_the_loader_may_not_change_what_is_loaded(
    module_warehouse: Warehouse, tmp_path: Path, statement: str
) -> None:
    module_warehouse.activate()
    load(module_warehouse, write(tmp_path, "users.csv", "users", ["u1"]))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        module_warehouse.rows(statement, role="loader")


def test_a_published_snapshot_is_not_taken_apart_again(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, write(tmp_path, "users.csv", "users", ["u1", "u2"]))
    with pytest.raises(psycopg2.errors.RaiseException, match="published already"):
        warehouse.rows("select * from raw.take_repeats('users', 1, null)", role="loader")
    with pytest.raises(psycopg2.errors.RaiseException, match="no such kind"):
        warehouse.rows("select raw.open_snapshot('nothing', 1)", role="loader")


def test_the_rows_loaded_are_those_that_postgres_took(warehouse: Warehouse, tmp_path: Path) -> None:
    # A rule that swallows rows stands for whatever may lose them between COPY and the commit.
    warehouse.rows(
        "create function public.skip() returns event_trigger language plpgsql as $$ begin "
        "execute (select format('create trigger skip before insert on raw.%I for each row "
        "when (new.line_number = 3) execute function public.nothing()', relname) from pg_class "
        "where relname ~ '^users_' order by oid desc limit 1); end $$;"
        "create function public.nothing() returns trigger language plpgsql as "
        "$$ begin return null; end $$;"
        "create event trigger skip on ddl_command_end when tag in ('CREATE TABLE') "
        "execute function public.skip()"
    )
    done = warehouse.loader("snapshots", write(tmp_path, "a.csv", "users", ["u1", "u2", "u3"]))
    assert done.returncode == 1
    assert "runs_conservation" in error_of(done)
    assert warehouse.rows("select status, rows_read, rows_inserted from ops.runs") == [
        ("failed", 3, 0)
    ]
    assert partitions(warehouse) == set()


def test_a_database_without_the_tables_says_what_to_do(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.rows("drop schema ops cascade")
    for command in (
        ["snapshots", write(tmp_path, "a.csv", "users", ["u1"])],
        ["quarantine", "list"],
    ):
        done = warehouse.loader(*command)
        assert done.returncode == 1
        assert "run `loader init`" in error_of(done)


@pytest.mark.parametrize(
    ("setting", "value", "code", "message"),
    [
        ("WAREHOUSE_PASSWORD", "not the secret", 1, "password authentication failed"),
        ("WAREHOUSE_DB", "nowhere", 1, 'database "nowhere" does not exist'),
        ("WAREHOUSE_PORT", "1", 75, "Connection refused"),
    ],
)
def test_a_database_out_of_reach_is_one_line_without_the_secret(
    warehouse: Warehouse, tmp_path: Path, setting: str, value: str, code: int, message: str
) -> None:
    path = write(tmp_path, "a.csv", "users", ["u1"])
    done = warehouse.loader("snapshots", path, **{setting: value})
    assert done.returncode == code
    assert message in error_of(done)
    assert "not the secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


# --- the machine -------------------------------------------------------------------------------


def test_time_zone_and_locale_of_the_machine_change_nothing(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    times = ["2023-04-02 02:30:00", "2023-04-02 02:30:00+00", "2022-10-30 01:30:00.5-06"]
    rows = [f"{number},{text},ñ,login" for number, text in enumerate(times)]
    seen = set()
    for zone in ("UTC", "America/Mexico_City", "Asia/Kolkata"):
        load(warehouse, write(tmp_path, "other.csv", "events", rows[:2]), "--allow-shrink")
        elsewhere = {"TZ": zone, "PGTZ": zone, "PGDATESTYLE": "German", "LC_ALL": "C"}
        if zone != "UTC":
            elsewhere["PGCLIENTENCODING"] = "LATIN1"
        done = warehouse.loader("snapshots", write(tmp_path, "a.csv", "events", rows), **elsewhere)
        assert done.returncode == 0, done.stderr
        [(digest,)] = warehouse.rows(
            "select md5(string_agg(format('%s %s %s', line_number, user_id, "
            "extract(epoch from event_timestamp)), ';' order by line_number)) "
            "from raw.events inner join raw.snapshots using (snapshot_id) where is_current"
        )
        seen.add(digest)
    assert len(seen) == 1


def most_memory(command: list[Any]) -> float:
    """Run a command to its end; return the most memory it held, in MiB."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ)) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                # Until it is the command, it is a copy of this process and as large.
                if watched.cmdline()[1:] == list(map(str, command)):
                    most = max(most, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        assert process.wait() == 0
    assert most
    return most / 2**20


@pytest.mark.parametrize("shape", ["different ids", "every row twice", "ids far apart"])
def test_memory_does_not_grow_with_the_file(
    warehouse: Warehouse, tmp_path: Path, shape: str
) -> None:
    step = 10**11 if shape == "ids far apart" else 1
    row = "{},2023-01-02 03:04:05.6+00,0a1b2c3d4e5f60718293a4b5c6d7e8f9,{}.5,mxn,complete\n"
    used = []
    for count in (40_000, 400_000):
        path = tmp_path / f"{count}.csv"
        with path.open("w") as file:
            file.write(HEADERS["deposits"] + "\n")
            for number in range(count):
                key = number // 2 if shape == "every row twice" else number * step
                file.write(row.format(key, key % 1000))
        used.append(most_memory([BIN / "loader", "snapshots", path]))
    assert warehouse.rows("select rows_read from ops.runs order by run_id") == [
        (40_000,),
        (400_000,),
    ]
    small, large = used
    assert large < 120
    assert large - small < 20
