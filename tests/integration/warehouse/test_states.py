"""What an administrator does to a database: every command says what it makes of it."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import psycopg2
import pytest

from loader.cli.main import main as loader
from loader.operations.dbt import run_dbt
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.postgres.connection import SESSION, connect, interruptible
from loader.warehouse.postgres.failures import cause_of, database_error
from loader.warehouse.postgres.roles import ROLE_PREFIX, ROLES
from tests.conftest import Server, Warehouse
from tests.environment import settings
from tests.snapshot_files import error_of, good_rows, write

NOWHERE = {
    **{f"WAREHOUSE_{name}_URL": "http://127.0.0.1:9" for name in ("BITSO", "COINGECKO", "COINCAP")},
    "WAREHOUSE_COINCAP_KEY": "a-key-of-theirs", "WAREHOUSE_HTTP_ATTEMPTS": "1",
}  # fmt: skip
# What a command needs behind its name. `stop` is of the embedded server, `stream` has tests of its
# own, and so has `restore`, which wants an empty database.
ARGUMENTS: dict[str, list[tuple[str, ...]]] = {
    "init": [()],
    "snapshots": [("users.csv",)],
    "tickers": [()], "order-books": [()], "books": [()], "exchanges": [()],
    "exchange-volumes": [()],
    "replay": [("recording",)],
    "transform": [()],
    "prune": [()],
    "status": [()],
    "lake": [("export", "--to", "lake"), ("import", "lake.csv")],
    "alerts": [(), ("mute", "all", "--for", "1h"), ("mutes",)],
    "report": [()],
    "backup": [("copies",)],
    "quarantine": [("list",), ("export", "bad.csv"), ("redrive", "bad.csv")],
}  # fmt: skip
ONLY_READ = {("status",), ("alerts", "mutes"), ("quarantine", "list"), ("quarantine", "export")}
COMMANDS = [
    pytest.param((name, *more), id=" ".join((name, *more)))
    for name, each in ARGUMENTS.items()
    for more in each
]


def test_every_command_is_tried() -> None:
    assert set(loader.commands) == {*ARGUMENTS, "stop", "stream", "restore", "completion"}


@pytest.fixture(scope="module")
def tried(module_warehouse: Warehouse) -> Warehouse:
    """A database, and files for each command."""
    directory = module_warehouse.directory
    write(directory, "users.csv", "users", good_rows("users", 3))
    (directory / "recording").mkdir()
    (directory / "recording" / "a.jsonl").write_text("")
    (directory / "lake.csv").write_text("orderbook_timestamp,book,bid,ask,spread\n")
    (directory / "bad.csv").write_text("")
    return module_warehouse


@contextmanager
def altered(warehouse: Warehouse, *settings: str) -> Iterator[None]:
    """Defaults of the database, for as long as the block lasts."""
    name = f'"{warehouse.where.db}"'
    for setting in settings:
        warehouse.rows(f"alter database {name} set {setting}")
    try:
        yield
    finally:
        # Also where it may not be written to.
        warehouse.rows(
            "set transaction read write; "
            + "; ".join(
                f"alter database {name} reset {each.partition(' ')[0]}" for each in settings
            )
        )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    [line] = done.stderr.splitlines()
    return line


# ------------------------------------------------------------ to be waited for


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_is_read_only_is_waited_for(
    tried: Warehouse, command: tuple[str, ...]
) -> None:
    tried.activate()
    with altered(tried, "default_transaction_read_only = on"):
        done = tried.call("loader", *command, **NOWHERE)
    if command[:2] in ONLY_READ or command[:1] in ONLY_READ:
        assert "read-only" not in done.stderr
        return
    assert done.returncode == 75, done.stderr
    assert one_line(done).startswith("loader: Postgres: cannot execute ")
    assert one_line(done).endswith(
        "in a read-only transaction: the server takes no writes: it is a standby, "
        "or set to read only"
    )


@pytest.fixture(scope="module")
def limited(server: Server, tried: Warehouse) -> Iterator[Warehouse]:
    """The same database by way of a login that is no superuser, whom limits hold."""
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("create role limited login password 'secret'")
        for role in ROLES:
            cursor.execute(f"grant {ROLE_PREFIX}{role} to limited")
    where = tried.where._replace(user="limited", password="secret")
    yield Warehouse(where, tried.directory)
    tried.activate()
    with closing(server.admin(tried.where.db)) as admin, admin.cursor() as cursor:
        cursor.execute("drop owned by limited; drop role limited")


@pytest.mark.parametrize(
    ("take", "give"),
    [
        ("alter role limited connection limit 0", "alter role limited connection limit -1"),
        ("alter database {db} connection limit 0", "alter database {db} connection limit -1"),
    ],
    ids=["of the role", "of the database"],
)
def test_a_limit_of_connections_is_waited_for(
    server: Server, limited: Warehouse, take: str, give: str
) -> None:
    limited.activate()
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(take.format(db=limited.where.db))
        try:
            for command in (("loader", "books"), ("dashboards", "ask", "books")):
                done = limited.call(*command, **NOWHERE)
                assert done.returncode == 75
                assert "too many connections for" in one_line(done)
        finally:
            cursor.execute(give.format(db=limited.where.db))


# ------------------------------------------------------- what breaks nothing


HOSTILE = {
    "timezone": "'Asia/Kathmandu'",
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "sql_standard",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "lock_timeout": "'1ms'",
    "idle_session_timeout": "'50ms'",
    "idle_in_transaction_session_timeout": "'50ms'",
    "transaction_timeout": "'100ms'",
    "statement_timeout": "'200ms'",
}


def test_what_an_administrator_sets_for_all_breaks_no_transform(tried: Warehouse) -> None:
    """dbt, in a process of its own, included."""
    assert set(HOSTILE) == {*SESSION, "statement_timeout"}
    tried.activate()
    assert tried.call("loader", "books", **NOWHERE).returncode == 75
    with altered(tried, *(f"{name} = {value}" for name, value in HOSTILE.items())):
        done = tried.loader("transform")
        assert done.returncode == 0, done.stderr[-3000:]
        asked = tried.call("dashboards", "ask", "books")
        assert asked.returncode == 0, asked.stderr
    for role in (None, *ROLES):
        with closing(connect(role)) as connection, connection.cursor() as cursor:
            for name, value in SESSION.items():
                cursor.execute("select current_setting(%s)", (name,))
                [(found,)] = cursor.fetchall()
                assert found.lower().startswith(value.lower()), name


# ------------------------------------------------------------ not to be waited


def test_a_missing_right_says_who_can_give_it(tried: Warehouse) -> None:
    """To us, and to dbt."""
    tried.activate()
    tried.rows("revoke select on ops.monitored, ops.runs from warehouse_transformer")
    tried.rows("revoke insert on ops.runs from warehouse_loader")
    who = "run `loader init` as the owner of the database, which grants what is needed"
    done = tried.call("loader", "books", **NOWHERE)
    assert done.returncode == 1
    assert one_line(done) == f"loader: Postgres: permission denied for table runs: {who}"
    tried.rows("grant insert on ops.runs to warehouse_loader")
    with pytest.raises(TerminalError, match="^dbt: Database Error in model .*: " + who):
        run_dbt("run", "--select", "pipeline_runs")
    assert tried.call("loader", "init").returncode == 0


def test_a_dbt_that_cannot_get_in_is_tried_again(server: Server, limited: Warehouse) -> None:
    """The limit lets `loader` in, and not the dbt that it starts."""
    limited.activate()
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("alter role limited connection limit 1")
        try:
            with (
                closing(connect("loader")),
                pytest.raises(TransientError, match=r"^dbt: .* too many connections for role"),
            ):
                run_dbt("run", "--select", "pipeline_runs")
        finally:
            cursor.execute("alter role limited connection limit -1")


# ------------------------------------------------------------ each class of error


@pytest.mark.parametrize(
    ("cause", "exit_code", "statement"),
    [
        ("row", 1, "select 'x'::integer"),
        ("row", 1, "select 1 / 0"),
        ("row", 1, "insert into ops.migrations select name from ops.migrations"),
        ("row", 1, "select (select 1 union select 2)"),
        ("row", 1, ("insert into ops.migrations select string_agg(md5(n::text), '') "
                   "from generate_series(1, 1000) as n")),
        ("database", 1, "select from nowhere"),
        ("database", 1, "select nothing()"),
        ("database", 1, "set role warehouse_reader; select from ops.runs"),
        ("database", 1, "select nothing from ops.runs"),
        ("passing", 75, "set transaction read only; create schema mine"),
        ("passing", 75, "set local statement_timeout = '1ms'; select pg_sleep(60)"),
        ("passing", 75, "select pg_terminate_backend(pg_backend_pid())"),
        ("passing", 75, "select pg_cancel_backend(pg_backend_pid())"),
        ("passing", 75, "set transaction_timeout = '1ms'; select pg_sleep(60)"),
        ("database", 75, ("set local temp_file_limit = 0; set local work_mem = '64kB'; "
                         "select count(*) from (select distinct generate_series(1, 200000)) as a")),
    ],
)  # fmt: skip
def test_whose_fault_an_error_is(
    tried: Warehouse, cause: str, exit_code: int, statement: str
) -> None:
    tried.activate()
    with pytest.raises(psycopg2.Error) as info:
        tried.rows(statement)
    assert cause_of(info.value) == cause
    known = database_error(info.value)
    assert known.exit_code == exit_code
    assert "\n" not in str(known)


def test_a_lock_and_a_conflict_pass(tried: Warehouse) -> None:
    tried.activate()
    with closing(connect()) as first, closing(connect()) as second:
        with first.cursor() as mine, second.cursor() as other:
            mine.execute("lock table ops.cursors")
            other.execute("set local lock_timeout = '1ms'")
            with pytest.raises(psycopg2.Error) as info:
                other.execute("lock table ops.cursors")
        assert cause_of(info.value) == "passing"
        for connection in (first, second):
            connection.rollback()
            connection.set_session(isolation_level="SERIALIZABLE")
        with first.cursor() as mine, second.cursor() as other:
            for cursor in (mine, other):
                cursor.execute("select count(*) from ops.runs")
            mine.execute("insert into ops.runs (job) values ('conflict')")
            first.commit()
            with pytest.raises(psycopg2.Error) as info:
                other.execute("insert into ops.runs (job) values ('conflict')")
        assert cause_of(info.value) == "passing"
    tried.rows("delete from ops.runs where job = 'conflict'")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"password": "wrong"}, TerminalError),
        ({"user": "nobody_known"}, TerminalError),
        ({"db": "no_such_database"}, TerminalError),
        ({"port": 9}, TransientError),
        ({"host": "nowhere.invalid"}, TransientError),
    ],
    ids=str,
)
def test_who_is_not_let_in_is_told_whether_to_wait(
    tried: Warehouse, wrong: dict[str, object], error: type[Exception]
) -> None:
    names = {f"WAREHOUSE_{name.upper()}": str(value) for name, value in wrong.items()}
    tried.activate()
    for waiting in (nullcontext(), interruptible()):
        with (
            settings(names), waiting,
            pytest.raises(error, match=r"^cannot connect to .* as ") as info,
        ):  # fmt: skip
            connect()
        assert "\n" not in str(info.value)
        assert "environment" not in str(info.value)


# What libpq reads from the environment, and refuses by itself or has the server refuse.
ODD_ENVIRONMENTS = {
    **dict.fromkeys((
        "PGSSLMODE", "PGSERVICE", "PGCHANNELBINDING", "PGGSSENCMODE", "PGTARGETSESSIONATTRS",
        "PGREQUIREAUTH", "PGSSLMINPROTOCOLVERSION", "PGSSLCERTMODE", "PGLOADBALANCEHOSTS",
        "PGHOSTADDR", "PGOPTIONS", "PGTZ", "PGDATESTYLE",
    ), "weird"),
    "PGSSLMAXPROTOCOLVERSION": "TLSv1", "PGSSLNEGOTIATION": "direct",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_ENVIRONMENTS)
def test_what_the_environment_tells_libpq_wrong_does_not_pass(
    tried: Warehouse, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, ODD_ENVIRONMENTS[name])
    tried.activate()
    for waiting in (nullcontext(), interruptible()):
        with waiting, pytest.raises(TerminalError, match=r"^cannot connect to .* as ") as info:
            connect()
        assert "\n" not in str(info.value)


def test_each_command_says_so(tried: Warehouse) -> None:
    for command in (("loader", "status"), ("loader", "init"), ("dashboards", "ask", "books")):
        done = tried.call(*command, PGSSLMODE="weird")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert 'invalid sslmode value: "weird" (told by the environment: PG' in done.stderr


@pytest.fixture
def small_disk(server: Server, warehouse: Warehouse, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse whose new tables are on a disk of 2 MiB."""
    owner = server.embedded.home.stat()
    mounted = subprocess.run(
        [
            "mount", "-t", "tmpfs", "-o", f"size=2m,mode=0700,uid={owner.st_uid}", "tmpfs",
            str(tmp_path),
        ],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f"create tablespace small location '{tmp_path}'")
            cursor.execute("grant create on tablespace small to public")
            cursor.execute(f"alter database {warehouse.where.db} set default_tablespace = small")
            yield warehouse
            server.drop(warehouse)
            cursor.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_waited_for(small_disk: Warehouse) -> None:
    file = write(small_disk.directory, "users.csv", "users", good_rows("users", 100_000))
    done = small_disk.call("loader", "snapshots", file)
    assert done.returncode == 75, done.stderr
    last = error_of(done)
    assert "No space left on device" in last
    assert last.endswith(": make room on the disk of the server")
    assert small_disk.rows("select status, rows_inserted from ops.runs") == [("failed", 0)]
