"""Killed, stopped, cut off and crowded out: the tables end up as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.embedded import Embedded
from tests.conftest import BIN, Server, Warehouse, migrated_server
from tests.snapshot_files import HEADERS, error_of, good_rows, write
from tests.waiting import LAST_RESORT_SECONDS, end_of, wait_for, wait_for_lock

DIED = "the process died before the run ended"
# What of the rows must be the same however often a load was interrupted.
DIGEST = (
    "select count(*), md5(string_agg(deposits::text, ';' order by line_number)) from ("
    f"select line_number, {HEADERS['deposits']} from raw.deposits "
    "inner join raw.snapshots using (snapshot_id) where is_current) as deposits"
)
BIG = 150_000


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes a moment to load, with a repeat, a differing repeat and a bad row."""
    rows = good_rows("deposits", BIG)
    rows += [rows[5], rows[6].replace("mxn", "btc"), "bad"]
    return write(tmp_path_factory.mktemp("files"), "big.csv", "deposits", rows)


@pytest.fixture(scope="module")
def undisturbed(module_warehouse: Warehouse, big_file: Path) -> list[tuple[int, str]]:
    """The digest of a load that nobody disturbs."""
    module_warehouse.activate()
    assert module_warehouse.loader("snapshots", big_file).returncode == 0
    return module_warehouse.rows(DIGEST)


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A loader at work."""
    return subprocess.Popen(
        [BIN / "loader", *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a loader said, after it ended."""
    return subprocess.CompletedProcess(process.args, *end_of(process))


def copied(warehouse: Warehouse) -> bool:
    return bool(
        warehouse.rows("select 1 from pg_stat_progress_copy where datname = current_database()")
    )


def stop_in_copy(warehouse: Warehouse, loading: subprocess.Popen[str]) -> None:
    """Stop a loader in COPY, by letting it run for moments only: it would not wait for us."""

    def is_stopped_in_copy() -> bool:
        assert loading.poll() is None, "it ended before anybody saw it copy"
        loading.send_signal(signal.SIGSTOP)
        if copied(warehouse):
            return True
        loading.send_signal(signal.SIGCONT)
        return False

    wait_for(is_stopped_in_copy, "COPY")


@contextmanager
def held_at(
    warehouse: Warehouse, point: str, *arguments: object, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A loader that stands still at a point of its work, held by a lock of another session.

    In COPY there is nothing to lock: there the process itself is stopped.
    """
    lock, statement = {
        "before COPY": ("lock table raw.deposits in access exclusive mode", "open_snapshot"),
        "during COPY": ("select 1", ""),
        "before commit": ("lock table raw.snapshots in share mode", "publish_snapshot"),
        "after commit": ("select count(*) from raw.deposits", "drop_old_snapshots"),
    }[point]
    with closing(connect()) as holder, holder.cursor() as cursor:
        cursor.execute(lock)
        process = start("snapshots", *arguments, **environment)
        try:
            if statement:
                wait_for_lock(warehouse, statement)
            else:
                stop_in_copy(warehouse, process)
            yield process
        finally:
            holder.rollback()
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                assert pipe
                pipe.close()


def load_when_free(warehouse: Warehouse, *arguments: object) -> str:
    """Load; while the session of a killed loader still lingers, the answer is 75: try again."""

    def load() -> subprocess.CompletedProcess[str] | None:
        done = warehouse.loader("snapshots", *arguments)
        return None if done.returncode == 75 else done

    done = wait_for(load, "the end of the killed session")
    assert done is not None
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs(warehouse: Warehouse) -> list[tuple[str, str | None]]:
    """How each run ended, and its error."""
    return warehouse.rows("select status, error from ops.runs order by run_id")


def stray_tables(warehouse: Warehouse) -> list[tuple[str]]:
    """Tables of snapshots that were never published, or dropped."""
    return warehouse.rows(
        r"select relname from pg_class where relnamespace = 'raw'::regnamespace "
        r"and relkind = 'r' and relname ~ '_\d+$' and not exists (select from raw.snapshots "
        "where relname = kind || '_' || snapshot_id and dropped_at is null)"
    )


POINTS = ["before COPY", "during COPY", "before commit", "after commit"]


def load_older(warehouse: Warehouse, directory: Path) -> list[tuple[int, str]]:
    older = write(directory, "older.csv", "deposits", good_rows("deposits", 3))
    assert warehouse.loader("snapshots", older).returncode == 0
    return warehouse.rows(DIGEST)


# --- killed and terminated ---------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_the_next_load_leaves_the_same_tables(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, big_file: Path, tmp_path: Path,
    point: str,
) -> None:  # fmt: skip
    before = load_older(warehouse, tmp_path)
    is_committed = point == "after commit"
    with held_at(warehouse, point, big_file, WAREHOUSE_SNAPSHOTS_KEPT="1") as loading:
        loading.kill()
        loading.wait()
    assert warehouse.rows(DIGEST) == (undisturbed if is_committed else before)
    load_when_free(warehouse, big_file)
    assert warehouse.rows(DIGEST) == undisturbed
    assert warehouse.rows("select count(*), count(distinct run_id) from ops.quarantine") == [(2, 1)]
    killed = ("succeeded", None) if is_committed else ("failed", DIED)
    again = ("unchanged" if is_committed else "succeeded", None)
    assert runs(warehouse)[1:] == [killed, again]
    assert stray_tables(warehouse) == []


@pytest.mark.parametrize("point", POINTS)
def test_on_sigterm_the_load_is_rolled_back_and_recorded(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, big_file: Path, tmp_path: Path,
    point: str,
) -> None:  # fmt: skip
    before = load_older(warehouse, tmp_path)
    is_committed = point == "after commit"
    with held_at(warehouse, point, big_file, WAREHOUSE_SNAPSHOTS_KEPT="1") as loading:
        loading.terminate()
        loading.send_signal(signal.SIGCONT)
        done = end(loading)
        # The lock is still held: nobody waited for it to go.
        assert (done.returncode, error_of(done)) == (143, "terminated")
    assert warehouse.rows(DIGEST) == (undisturbed if is_committed else before)
    ended = ("succeeded", None) if is_committed else ("failed", "Terminated")
    assert runs(warehouse)[1:] == [ended]
    load_when_free(warehouse, big_file)
    assert warehouse.rows(DIGEST) == undisturbed
    assert stray_tables(warehouse) == []


# --- the database goes away --------------------------------------------------------------------


@pytest.mark.parametrize("point", ["before COPY", "during COPY", "before commit"])
def test_a_terminated_backend_is_a_failed_run_and_try_again(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, big_file: Path, point: str
) -> None:
    with held_at(warehouse, point, big_file) as loading:
        killed = warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() "
            "and (wait_event_type = 'Lock' or query like 'copy%')"
        )
        assert killed == [(True,)]
        loading.send_signal(signal.SIGCONT)
        done = end(loading)
    assert done.returncode == 75
    error = error_of(done)
    assert error.startswith("Postgres: ")
    assert runs(warehouse) == [("failed", error)]
    load_when_free(warehouse, big_file)
    assert warehouse.rows(DIGEST) == undisturbed


def test_postgres_stopped_in_the_middle_of_copy_and_started_again(
    undisturbed: list[tuple[int, str]], server: Server, tmp_path: Path, big_file: Path
) -> None:
    assert server.embedded.running_port()  # this one goes on: the test has a server of its own
    embedded = Embedded(tmp_path / "home")
    try:
        own = migrated_server(embedded, tmp_path)
        warehouse = own.database("stopped", "migrated")
        loading = start("snapshots", big_file)
        stop_in_copy(warehouse, loading)
        assert embedded.stop()
        loading.send_signal(signal.SIGCONT)
        done = end(loading)
        assert done.returncode == 75
        assert error_of(done).startswith("Postgres: ")
        assert embedded.start() == own.port
        assert warehouse.rows("select status from ops.runs") == [("running",)]
        load_when_free(warehouse, big_file)
        assert warehouse.rows(DIGEST) == undisturbed
        assert runs(warehouse) == [("failed", DIED), ("succeeded", None)]
        assert stray_tables(warehouse) == []
    finally:
        embedded.stop()


@pytest.mark.parametrize("table", ["raw.snapshots", "raw.deposits"])
def test_no_statement_waits_longer_than_the_timeout(
    warehouse: Warehouse, tmp_path: Path, table: str
) -> None:
    path = write(tmp_path, "a.csv", "deposits", good_rows("deposits", 2))
    with closing(connect()) as holder, holder.cursor() as cursor:
        cursor.execute(f"lock table {table} in access exclusive mode")
        done = warehouse.loader("snapshots", path, WAREHOUSE_STATEMENT_TIMEOUT_SECONDS="1")
    assert done.returncode == 75
    assert error_of(done) == "Postgres: canceling statement due to statement timeout"
    assert [status for status, _ in runs(warehouse)] == ["failed"]
    load_when_free(warehouse, path)


@contextmanager
def small_disk(server: Server, megabytes: int) -> Iterator[Path]:
    """A file system of its own that the server may write to; skips where none can be made."""
    mount = shutil.which("mount")
    if sys.platform != "linux" or os.geteuid() != 0 or mount is None:
        pytest.skip("a small disk to fill can only be mounted by root on Linux")
    place = server.directory / "small"
    place.mkdir()
    owner = server.embedded.data.stat()
    options = f"size={megabytes}m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode != 0:
        place.rmdir()
        pytest.skip("this machine does not allow a mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def test_a_full_disk_is_a_failed_run_and_try_again(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, server: Server, big_file: Path
) -> None:
    db = warehouse.where.db
    with (
        small_disk(server, 4) as place,
        closing(server.admin(db)) as admin,
        admin.cursor() as cursor,
    ):
        cursor.execute("create tablespace small location %s", (str(place),))
        cursor.execute("grant create on tablespace small to public")
        cursor.execute(f"alter database {db} set default_tablespace = small")
        try:
            done = warehouse.loader("snapshots", big_file)
        finally:
            cursor.execute(f"alter database {db} reset default_tablespace")
            cursor.execute("drop tablespace small")  # which is empty: nothing was left behind
    assert done.returncode == 75
    assert "No space left on device" in error_of(done)
    assert runs(warehouse) == [("failed", error_of(done))]
    assert stray_tables(warehouse) == []
    load_when_free(warehouse, big_file)
    assert warehouse.rows(DIGEST) == undisturbed


def test_a_full_temporary_directory_is_one_line(
    warehouse: Warehouse, server: Server, tmp_path: Path
) -> None:
    rows = [*good_rows("users", 10), *["x" * 5000 + str(number) for number in range(600)]]
    path = write(tmp_path, "users.csv", "users", rows)
    with small_disk(server, 1) as place:
        place.chmod(0o777)
        done = warehouse.loader("snapshots", path, TMPDIR=str(place))
    assert done.returncode == 75
    assert error_of(done) == "No space left on device"
    assert [status for status, _ in runs(warehouse)] == ["failed"]


# --- crowded -----------------------------------------------------------------------------------


def test_a_second_loader_says_that_one_is_at_work(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, big_file: Path, tmp_path: Path
) -> None:
    other = write(tmp_path, "users.csv", "users", ["u1"])
    with held_at(warehouse, "during COPY", big_file) as loading:
        for command in (["snapshots", other], ["quarantine", "redrive"]):
            second = warehouse.loader(*command)
            assert second.returncode == 75
            assert len(second.stderr.splitlines()) == 1
            assert error_of(second).startswith("another snapshots run is at work (run 1, since ")
        assert warehouse.loader("quarantine", "list").returncode == 0
        loading.send_signal(signal.SIGCONT)
        assert end(loading).returncode == 0
    assert warehouse.rows(DIGEST) == undisturbed
    assert runs(warehouse) == [("succeeded", None)]
    assert "1 row loaded" in load_when_free(warehouse, other)


def test_of_loaders_started_together_the_rows_come_once(
    undisturbed: list[tuple[int, str]], warehouse: Warehouse, big_file: Path
) -> None:
    together = [start("snapshots", big_file) for _ in range(3)]
    codes = sorted(end(process).returncode for process in together)
    assert codes[0] == 0
    assert set(codes) <= {0, 75}
    assert warehouse.rows(DIGEST) == undisturbed
    statuses = [status for status, _ in runs(warehouse)]
    assert statuses == ["succeeded", *["unchanged"] * (codes.count(0) - 1)]


# --- the file goes away ------------------------------------------------------------------------


def test_a_file_that_grows_while_it_is_loaded_is_tried_again_later(
    warehouse: Warehouse, big_file: Path, tmp_path: Path
) -> None:
    growing = tmp_path / "growing.csv"
    shutil.copy(big_file, growing)
    with held_at(warehouse, "during COPY", growing) as loading:
        with growing.open("a") as file:
            file.write(good_rows("deposits", 1, first=BIG + 1)[0] + "\n")
        loading.send_signal(signal.SIGCONT)
        done = end(loading)
    assert done.returncode == 75
    assert error_of(done) == "growing.csv: the file changed while it was read"
    assert runs(warehouse) == [("failed", error_of(done))]
    load_when_free(warehouse, growing)
    assert warehouse.rows("select count(*) from raw.deposits") == [(BIG + 1,)]


def test_a_reader_who_leaves_ends_the_listing_quietly(warehouse: Warehouse, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "users", ["u1", *['""'] * 20])
    assert warehouse.loader("snapshots", path).returncode == 0
    process = start("quarantine", "list")
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=LAST_RESORT_SECONDS) == 128 + signal.SIGPIPE


def test_the_password_is_in_no_process_list(warehouse: Warehouse, big_file: Path) -> None:
    with held_at(warehouse, "during COPY", big_file) as loading:
        family = [psutil.Process(loading.pid)]
        with suppress(psutil.Error):
            family += family[0].children(recursive=True)
        assert family
        for process in family:
            assert os.environ["WAREHOUSE_PASSWORD"] not in " ".join(process.cmdline())
        with closing(connect()) as watcher, watcher.cursor() as cursor:
            cursor.execute("select string_agg(query, ' ') from pg_stat_activity")
            assert os.environ["WAREHOUSE_PASSWORD"] not in cursor.fetchall()[0][0]


def test_what_postgres_itself_refuses_is_one_line(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.rows("alter table raw.snapshots add constraint none check (row_count > 1000000)")
    path = write(tmp_path, "a.csv", "users", ["u1"])
    done = warehouse.loader("snapshots", path)
    assert done.returncode == 1
    assert 'violates check constraint "none"' in error_of(done)
    assert [status for status, _ in runs(warehouse)] == ["failed"]
    assert warehouse.rows("select 1 from raw.users") == []
    with pytest.raises(psycopg2.errors.CheckViolation):
        warehouse.rows("update ops.runs set rows_inserted = 1")


def test_a_file_that_changes_does_not_hold_up_the_others_of_its_folder(
    warehouse: Warehouse, big_file: Path, tmp_path: Path
) -> None:
    shutil.copy(big_file, tmp_path / "deposits.csv")
    write(tmp_path, "users.csv", "users", good_rows("users", 3))
    with held_at(warehouse, "during COPY", tmp_path) as loading:
        (tmp_path / "deposits.csv").write_bytes(b"other bytes")
        loading.send_signal(signal.SIGCONT)
        done = end(loading)
    assert (done.returncode, error_of(done)) == (75, "1 of 2 files changed while they were read")
    assert "deposits.csv: the file changed while it was read" in done.stderr.splitlines()
    assert [status for status, _ in runs(warehouse)] == ["failed", "succeeded"]
    assert warehouse.rows("select kind from raw.snapshots") == [("users",)]
    assert stray_tables(warehouse) == []
