"""`loader backup` and `loader restore`: all of a warehouse, as it is, in an empty place."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from psycopg2.errors import LockNotAvailable

from loader.operations.backup_entries import DUMP, MANIFEST, SPOOL, checked
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.contents import Contents, contents, is_empty
from loader.warehouse.postgres.embedded import BIN, Embedded
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import Server, Warehouse
from tests.integration.snapshots.test_faults import small_disk
from tests.spooled import gaps, id_of, second, write_lines, writer
from tests.waiting import LAST_RESORT_SECONDS, wait_for

_names = iter(range(1_000))
# What a backup and a restore write down of themselves, and what makes it another warehouse.
OF_ITS_OWN = {"ops.runs", "ops.warehouse"}
# Of so many rows, one comes with a table.
EACH = 20
SPOOLS = "WAREHOUSE_STREAM_SPOOL_DIR"


@pytest.fixture(scope="module")
def source(server: Server, _sampled: Warehouse) -> Iterator[Warehouse]:
    """The sample, with what somebody has added: all kinds of things that a database may hold."""
    warehouse = server.database("backed_up", "sampled")
    # So that the models are those of this version, and the grants those that init makes.
    assert warehouse.call("loader", "init").returncode == 0
    for statement in ODD:
        warehouse.rows(statement)
    yield warehouse
    server.drop(warehouse)
    for role in ("backup_analyst", "backup_group"):
        with closing(server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(f"drop role {role}")


@pytest.fixture(scope="module")
def entry(source: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One backup of it; only read."""
    return backed_up(source, tmp_path_factory.mktemp("backups"))


@pytest.fixture(autouse=True)
def no_spool_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(SPOOLS, str(tmp_path / "spools"))


@pytest.fixture
def place(server: Server) -> Iterator[Warehouse]:
    """An empty database."""
    warehouse = server.database(f"restored_{next(_names)}")
    yield warehouse
    server.drop(warehouse)


@pytest.fixture
def small(server: Server) -> Iterator[Warehouse]:
    """A warehouse without models, for what is not about what it holds."""
    warehouse = server.database(f"small_{next(_names)}", "migrated")
    yield warehouse
    server.drop(warehouse)


ODD = (
    "create role backup_analyst login connection limit 3",
    "alter role backup_analyst set search_path = marts, public",
    "alter role backup_analyst set statement_timeout = '5s'",
    "create role backup_group nologin",
    "grant backup_group to backup_analyst with set false",
    "grant select on marts.exchange_volumes to backup_group with grant option",
    "grant select (book) on marts.spread_alerts to backup_analyst",
    "revoke connect on database backed_up from public",
    "grant connect on database backed_up to backup_group",
    'create schema "odd ""room"" %" authorization backup_group',
    """create table "odd ""room"" %"."a 'table'" (
        a text, "%s" numeric, generated text generated always as (a || 'x') stored,
        number bigint generated always as identity, gone int
    )""",
    """alter table "odd ""room"" %"."a 'table'" drop column gone""",
    r"""insert into "odd ""room"" %"."a 'table'" (a, "%s")
        values (E'\\.', 1.00), (E'COPY a FROM stdin;\n\\.\n\t\\N', 'NaN'), ('', null), (null, 0)""",
    'create materialized view "odd ""room"" %".counted as select 1 as n',
    'create unlogged table "odd ""room"" %".nothing ()',
    'create view "odd ""room"" %".seen as select * from marts.exchange_volumes',
    r"""create function "odd ""room"" %".asked() returns text language plpgsql security definer
        set search_path = pg_catalog as $$
begin
return '
\restrict abcdefghijklmnopqrstuvwxyz
COPY a FROM stdin;
\.
';
end $$""",
    "comment on schema marts is 'what''s %s here'",
)


def held(warehouse: Warehouse) -> Contents:
    """What it holds but for the ledger's rows of backup and restore."""
    warehouse.activate()
    with closing(connect()) as connection, connection.cursor() as cursor:
        found = contents(cursor)
    return Contents({n: t for n, t in found.tables.items() if n not in OF_ITS_OWN}, found.objects)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def backed_up(source: Warehouse, folder: Path, **environment: str) -> Path:
    """A new entry of a folder."""
    source.activate()
    before = entries(folder)
    done = source.call("loader", "backup", folder, **environment)
    assert done.returncode == 0, done.stderr
    [new] = set(entries(folder)) - set(before)
    return new


def refused(place: Warehouse, source: Path, **environment: str) -> str:
    """The one line in which a restore is refused, and that it left nothing."""
    place.activate()
    was_empty = nothing_in(place)
    done = place.call("loader", "restore", source, **environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert nothing_in(place) == was_empty
    return done.stderr


def nothing_in(warehouse: Warehouse) -> bool:
    warehouse.activate()
    with closing(connect()) as connection, connection.cursor() as cursor:
        return is_empty(cursor)


def test_all_of_it_is_there_again(source: Warehouse, entry: Path, place: Warehouse) -> None:
    before, old = held(source), id_of(source)
    place.activate()
    done = place.call("loader", "restore", entry.parent)
    assert done.returncode == 0, done.stderr
    assert f"{entry}: backed_up as of " in done.stdout
    assert held(place) == before
    new = id_of(place)
    assert new != old
    [(run, detail)] = place.rows("select run_id, detail from ops.runs where job = 'restore'")
    assert detail == {"entry": entry.name, "database": "backed_up", "was_warehouse": old}
    assert place.rows("select max(run_id) from ops.runs") == [(run,)]
    assert place.rows("select count(*) from ops.runs where job = 'backup'") == [(0,)]
    # And it works: a load, with the partitions and functions that this takes.
    done = place.call("loader", "snapshots", PROJECT_ROOT / "seeds" / "sample")
    assert done.returncode == 0, done.stderr


def test_on_another_server_by_another_user(
    source: Warehouse, entry: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Roles, what they may do, and who owns what, where nobody knows any of them."""
    before = held(source)
    directory = tmp_path_factory.mktemp("elsewhere")
    embedded = Embedded(directory / "home")
    try:
        elsewhere = Server(embedded, embedded.start(), directory)
        with closing(elsewhere.admin()) as admin, admin.cursor() as cursor:
            cursor.execute("create role stranger superuser login password 'strange'")
            cursor.execute("create database moved owner stranger")
        moved = Warehouse(
            source.where._replace(
                port=elsewhere.port, user="stranger", password="strange", db="moved"
            ),
            directory,
        )
        moved.activate()
        # The one who owned it all elsewhere is nobody here.
        moved.rows("alter role warehouse rename to somebody")
        done = moved.call("loader", "restore", entry)
        assert done.returncode == 0, done.stderr
        assert held(moved) == before
        assert moved.rows(
            "select rolname, pg_roles.rolcanlogin, pg_roles.rolconnlimit, rolconfig, "
            "pg_authid.rolpassword is null from pg_roles inner join pg_authid using (rolname) "
            "where rolname like 'backup%' order by 1"
        ) == [
            (
                "backup_analyst", True, 3,
                ["search_path=marts, public", "statement_timeout=5s"], True,
            ),
            ("backup_group", False, -1, None, True),
        ]  # fmt: skip
        assert moved.rows(
            "select pg_has_role('backup_analyst', 'backup_group', 'usage'), "
            "pg_has_role('backup_analyst', 'backup_group', 'set'), "
            "has_database_privilege('backup_group', 'moved', 'connect'), "
            "has_database_privilege('public', 'moved', 'connect'), "
            "to_regrole('warehouse') is null"
        ) == [(True, False, True, False, True)]
    finally:
        embedded.stop()


def test_what_pg_restore_alone_made_is_mended_by_init(
    source: Warehouse, entry: Path, place: Warehouse
) -> None:
    """Without owners and grants, as somebody restores who has no roles."""
    at = (f"--host={place.where.host}", f"--port={place.where.port}", f"--dbname={place.where.db}")
    subprocess.run(
        [BIN / "pg_restore", "--no-owner", "--no-acl", f"--username={place.where.user}", *at,
         entry / DUMP],
        env={"PGPASSWORD": place.where.password}, check=True,
    )  # fmt: skip

    def ours(warehouse: Warehouse) -> dict[str, tuple[str | None, list[str], str]]:
        found = held(warehouse).objects
        return {
            name: what
            for name, what in found.items()
            if "odd" not in name and not any("backup_" in grant for grant in what[1])
        }

    before = ours(place)
    place.activate()
    done = place.call("loader", "init")
    assert done.returncode == 0, done.stderr
    mended, right = ours(place), ours(source)
    assert before != mended
    assert {name: mended[name] for name in right} == right


def test_what_waits_in_the_spool_is_for_the_new_warehouse(
    small: Warehouse, place: Warehouse, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    spool = ours / f"{small.where.db}.jsonl"
    small.activate()
    old = id_of(small)
    # The last one is being written.
    lines = [second(0).encode(old), b"\0damaged", second(5).encode(old), second(6).encode(old)[:50]]
    write_lines(spool, lines)
    spool.write_bytes(spool.read_bytes()[:-1])
    entry = backed_up(small, tmp_path / "backups", **{SPOOLS: str(ours)})
    place.activate()
    done = place.call("loader", "restore", entry, **{SPOOLS: str(theirs)})
    assert done.returncode == 0, done.stderr
    new = id_of(place)
    brought = theirs / f"{place.where.db}.jsonl"
    assert brought.read_bytes().splitlines() == [
        second(0).encode(new), lines[1], second(5).encode(new)
    ]  # fmt: skip
    assert [path.name for path in entries(theirs)] == [brought.name]
    place.activate()
    with writer(brought):
        wait_for(lambda: not brought.stat().st_size, "an empty spool")
    assert ("btc_mxn", 1, 2, "database") in gaps(place)
    assert place.rows("select count(*) from raw.bitso_order_books") == [(4,)]


def test_a_place_where_seconds_wait_is_refused(
    small: Warehouse, place: Warehouse, tmp_path: Path
) -> None:
    entry = backed_up(small, tmp_path / "backups")
    spool = tmp_path / f"{place.where.db}.jsonl"
    write_lines(spool, [second(0).encode("another")])
    before = spool.read_bytes()
    told = refused(place, entry, **{SPOOLS: str(tmp_path)})
    assert "holds seconds of another warehouse" in told
    assert spool.read_bytes() == before


def test_a_place_that_is_not_empty_is_refused(
    small: Warehouse, place: Warehouse, tmp_path: Path
) -> None:
    entry = backed_up(small, tmp_path / "backups")
    assert "is not empty" in refused(small, entry)
    for thing in ("create table public.somebodys ()", "create schema somebodys"):
        place.activate()
        place.rows(thing)
        assert "is not empty" in refused(place, entry)
        place.rows(thing.replace("create", "drop").replace("()", ""))
    place.activate()
    assert place.call("loader", "restore", entry).returncode == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def linked(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", [MANIFEST, DUMP, SPOOL])
@pytest.mark.parametrize(
    "harm",
    [cut, grown, changed, emptied, Path.unlink, linked, a_directory],
    ids=lambda f: f.__name__,
)
def test_an_entry_that_is_not_as_it_was_is_refused(
    small_entry: Path, place: Warehouse, tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    entry = tmp_path / small_entry.name
    shutil.copytree(small_entry, entry)
    harm(entry / name)
    assert str(entry) in refused(place, entry)
    assert str(tmp_path) in refused(place, tmp_path)


@pytest.fixture(scope="module")
def small_entry(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A backup of a warehouse without models, with a spool; only read."""
    warehouse = server.database("small_source", "migrated")
    folder = tmp_path_factory.mktemp("small")
    spool = folder / "small_source.jsonl"
    write_lines(spool, [second(0).encode(id_of(warehouse))])
    yield backed_up(warehouse, folder / "backups", **{SPOOLS: str(folder)})
    server.drop(warehouse)


def test_of_a_folder_the_newest_whole_one_is_taken(
    small_entry: Path, place: Warehouse, tmp_path: Path
) -> None:
    whole = tmp_path / "20260101T000000.000000Z"
    shutil.copytree(small_entry, whole)
    newer = tmp_path / "20270101T000000.000000Z"
    shutil.copytree(small_entry, newer)
    cut(newer / DUMP)
    for no_entry in (".20280101T000000.000000Z.part", "lost+found", "notes"):
        shutil.copytree(small_entry, tmp_path / no_entry)
    place.activate()
    done = place.call("loader", "restore", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{whole}: " in done.stdout
    assert f"{newer / DUMP}: it is not what was backed up" in done.stderr


@pytest.mark.parametrize("what", [{}, [], {"manifest": {}}, {"manifest": {"format": 2}}, None, "x"])
def test_what_others_made_is_refused(place: Warehouse, tmp_path: Path, what: object) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(what))
    (tmp_path / DUMP).write_text("x")
    assert str(tmp_path / MANIFEST) in refused(place, tmp_path)
    (tmp_path / MANIFEST).unlink()
    assert "no whole backup" in refused(place, tmp_path)
    assert "No such file" in refused(place, tmp_path / "nowhere")


def test_a_newer_schema_is_refused(small: Warehouse, place: Warehouse, tmp_path: Path) -> None:
    small.activate()
    small.rows("insert into ops.migrations (name) values ('9999_to_come.sql')")
    entry = backed_up(small, tmp_path)
    assert "a newer version made this warehouse (9999_to_come.sql)" in refused(place, entry)
    small.activate()
    done = small.call("loader", "init")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "a newer version made this warehouse (9999_to_come.sql)" in done.stderr


def test_so_many_of_this_warehouse_are_kept(
    small: Warehouse, small_entry: Path, tmp_path: Path
) -> None:
    others = tmp_path / "20200101T000000.000000Z"
    shutil.copytree(small_entry, others)
    damaged = tmp_path / "20190101T000000.000000Z"
    shutil.copytree(small_entry, damaged)
    cut(damaged / MANIFEST)
    (tmp_path / "notes").touch()
    made = [backed_up(small, tmp_path) for _ in range(2)]
    small.activate()
    done = small.call("loader", "backup", tmp_path, WAREHOUSE_BACKUPS_KEPT="2")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"dropped {made[0]}"
    [new] = set(entries(tmp_path)) - {damaged, others, tmp_path / "notes", made[1]}
    checked(new)


def test_it_is_one_moment_while_everything_runs(
    small: Warehouse, place: Warehouse, tmp_path: Path
) -> None:
    """Rows that belong together come, and tables are swapped, at every moment of it."""
    small.activate()
    small.rows("create schema busy; create table busy.one (n int); create table busy.other (n int)")
    small.rows("create view busy.seen as select * from busy.one")
    over = threading.Event()

    def work() -> None:
        with closing(connect(where=small.where)) as connection, connection.cursor() as cursor:
            # As all of us do who change a table.
            cursor.execute("set lock_timeout = '0.5s'")
            connection.commit()
            number = 0
            while not over.is_set():
                number += 1
                cursor.execute("insert into busy.one values (%s)", (number,))
                cursor.execute("insert into busy.other values (%s)", (number,))
                if number % EACH == 0:
                    cursor.execute(f"create table busy.t{number} as select {number} as n")
                connection.commit()
                with contextlib.suppress(LockNotAvailable):
                    cursor.execute(f"drop table if exists busy.t{max(number - 3 * EACH, 0)}")
                connection.commit()

    working = threading.Thread(target=work)
    working.start()
    try:
        entry = backed_up(small, tmp_path)
    finally:
        over.set()
        working.join()
    place.activate()
    done = place.call("loader", "restore", entry)
    assert done.returncode == 0, done.stderr
    [(one, highest, other)] = place.rows(
        "select count(*), max(n), (select count(*) from busy.other) from busy.one"
    )
    assert one == highest == other
    newest = highest - highest % EACH
    assert not newest or place.rows(f"select n from busy.t{newest}") == [(newest,)]


def test_who_may_not_read_all_is_told_so(small: Warehouse, tmp_path: Path) -> None:
    small.rows("create role backup_reader login password 'x' in role warehouse_loader")
    try:
        done = small.call(
            "loader", "backup", tmp_path,
            WAREHOUSE_USER="backup_reader", WAREHOUSE_PASSWORD="x",
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "back it up as its owner" in done.stderr
        assert entries(tmp_path) == []
    finally:
        small.rows("drop role backup_reader")


def test_a_full_disk_leaves_no_entry(source: Warehouse, server: Server) -> None:
    source.activate()
    with small_disk(server, 1) as full:
        done = source.loader("backup", full)
        assert (done.returncode, done.stderr.splitlines()[-1:]) == (
            75, ["loader: pg_dump: could not write to output file: No space left on device"],
        )  # fmt: skip
        assert entries(full) == []
    assert source.rows(
        "select status from ops.runs where job = 'backup' order by run_id desc limit 1"
    ) == [("failed",)]


def cut_off(number: signal.Signals, moment: int, report: Path, *command: str) -> int:
    """The exit code of a command that gets a signal at one of its moments."""
    return subprocess.run(
        [sys.executable, "-m", "tests.interrupted", str(report), number.name, "once", str(moment),
         "loader.cli.start", *command],
        cwd=PROJECT_ROOT, capture_output=True, check=False, stdin=subprocess.DEVNULL,
        timeout=LAST_RESORT_SECONDS,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ).returncode  # fmt: skip


PARTS = (0.3, 0.6, 0.8, 0.9, 0.97)
ENDS = {signal.SIGINT: 130, signal.SIGKILL: -9}


@pytest.mark.parametrize("number", ENDS)
def test_a_backup_that_is_ended_counts_only_when_whole(
    small: Warehouse, tmp_path: Path, number: signal.Signals
) -> None:
    report, folder = tmp_path / "report", tmp_path / "backups"
    assert cut_off(number, 1 << 30, report, "backup", str(folder)) == 0
    last = int(report.read_text())
    for part in PARTS:
        shutil.rmtree(folder, ignore_errors=True)
        code = cut_off(number, int(last * part), report, "backup", str(folder))
        assert code in {0, ENDS[number]}
        shown = [path for path in entries(folder) if not path.name.startswith(".")]
        for path in shown:
            checked(path)
        assert number == signal.SIGKILL or shown == entries(folder)
    # What the last of them has left is cleared away.
    (folder / ".20200101T000000.000000Z.part").mkdir()
    wait_for(lambda: small.loader("backup", folder).returncode == 0, "the end of what was killed")
    wait_for(lambda: small.loader("backup", folder).returncode == 0, "the end of what was killed")
    for path in entries(folder):
        checked(path)


@pytest.mark.parametrize("number", ENDS)
def test_a_restore_that_is_ended_leaves_an_empty_place_or_all(
    small_entry: Path, server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    report = tmp_path / "report"
    seen = set()
    last = 1 << 30
    for part in (1.0, *PARTS):
        place = server.database(f"restored_{next(_names)}")
        spools = tmp_path / place.where.db
        environment = {SPOOLS: str(spools)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(SPOOLS, str(spools))
            code = cut_off(number, int(last * part), report, "restore", str(small_entry))
        assert code in {0, ENDS[number]}
        if part == 1.0:
            last = int(report.read_text())
        wait_for(partial(is_left, server, place), "the end of what was killed")
        is_there = not nothing_in(place)
        seen.add(is_there)
        spool = spools / f"{place.where.db}.jsonl"
        if is_there:
            assert id_of(place) in spool.read_text()
            assert place.loader("init", **environment).returncode == 0
        else:
            assert number == signal.SIGKILL or not spool.exists()
            spool.unlink(missing_ok=True)
            assert place.loader("restore", small_entry, **environment).returncode == 0
        assert place.rows("select count(*) from ops.runs where job = 'restore'") == [(1,)]
        server.drop(place)
    assert seen == {False, True}


def is_left(server: Server, place: Warehouse) -> bool:
    """Whether nobody is connected to it any more."""
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("select from pg_stat_activity where datname = %s", (place.where.db,))
        return cursor.rowcount == 0
