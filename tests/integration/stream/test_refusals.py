"""What Postgres refuses: a row is set aside, what is of the database waits, and says so."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from loader.market.rows import RawFeed
from loader.stream.spool import Spool
from loader.stream.word import word_left
from loader.stream.writer import SpoolWriter
from loader.warehouse.postgres.connection import connect
from tests.conftest import Server, Warehouse
from tests.spooled import (
    gaps,
    id_of,
    is_in_the_spool,
    loader_connection,
    second,
    with_payload,
    write_lines,
    writer,
)
from tests.waiting import LAST_RESORT_SECONDS, wait_for
from tests.watch import assert_exact

NO_JSON = '"\\u0000"'


def test_of_many_rows_the_bad_ones_alone_are_set_aside(warehouse: Warehouse, spool: Path) -> None:
    own, bad = id_of(warehouse), {("btc_mxn", 7), ("usd_mxn", 7), ("usd_mxn", 31)}
    lines = []
    for number in range(64):
        one = second(number)
        for book, of in bad:
            one = with_payload(one, book, NO_JSON) if of == number else one
        lines.append(one.encode(own))
    write_lines(spool, lines)
    copying = mock.patch.object(RawFeed, "copy", autospec=True, side_effect=RawFeed.copy)
    with copying as tries, writer(spool):
        wait_for(lambda: not spool.stat().st_size, "an empty spool")
    assert set(gaps(warehouse)) == {(book, of, of + 1, "database") for book, of in bad}
    assert_exact(warehouse)
    assert warehouse.rows(
        "select location, reason_code, raw, count(*) from ops.quarantine group by 1, 2, 3 "
        "order by 1"
    ) == [("btc_mxn", "not_storable", NO_JSON, 1), ("usd_mxn", "not_storable", NO_JSON, 2)]
    # Halving, and not one by one.
    assert tries.call_count < 50


def test_a_second_that_postgres_takes_in_no_part_is_set_aside_whole(
    warehouse: Warehouse, spool: Path
) -> None:
    own = id_of(warehouse)
    warehouse.rows("alter table ops.gaps add constraint moody check (cause <> 'stale')")
    lines = [second(number, "usd_mxn", cause="stale" if number == 9 else "resync").encode(own)
             for number in range(20)]  # fmt: skip
    write_lines(spool, lines)
    with writer(spool):
        wait_for(lambda: not spool.stat().st_size, "an empty spool")
    assert ("btc_mxn", 9, 10, "database") in gaps(warehouse)
    assert_exact(warehouse)
    [(reason, raw)] = warehouse.rows("select reason, raw from ops.quarantine")
    assert "Postgres cannot hold it" in reason
    assert raw.encode() == lines[9]


REFUSAL = """
create function ops.refuse() returns trigger language plpgsql as
$$ begin raise exception 'No space left on device' using errcode = '53100'; end $$;
create trigger refuse before insert or update on ops.{table}
for each statement execute function ops.refuse();
"""


@contextmanager
def refusing(warehouse: Warehouse, statement: str, undo: str) -> Iterator[None]:
    warehouse.rows(statement)
    try:
        yield
    finally:
        warehouse.rows(undo)


# How it begins, how it ends, and what is said of it.
KINDS = {
    "privilege": (
        "revoke insert on raw.bitso_order_books from warehouse_loader",
        "grant insert on raw.bitso_order_books to warehouse_loader",
        "permission denied for table bitso_order_books: ",
    ),
    "relation": (
        "alter table ops.gaps rename to gone", "alter table ops.gone rename to gaps",
        "run `loader init`",
    ),
    "disk": (
        REFUSAL.format(table="monitored"),
        "drop trigger refuse on ops.monitored; drop function ops.refuse()",
        "No space left on device: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("tries_again_at_once")
def test_what_is_of_the_database_waits_in_the_spool_and_is_told(
    warehouse: Warehouse,
    tmp_path: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spool = tmp_path / f"{warehouse.where.db}.jsonl"
    # Not with each call: a thread of the writer connects meanwhile.
    monkeypatch.setenv("WAREHOUSE_STREAM_SPOOL_DIR", str(tmp_path))
    statement, undo, said = KINDS[kind]
    connections = 0

    def connecting() -> Any:
        nonlocal connections
        connections += 1
        return loader_connection()

    def status() -> str:
        return warehouse.call("loader", "status", "stream").stdout

    with writer(spool, connect=connecting) as writing:
        writing.put(second(0))
        wait_for(lambda: not is_in_the_spool(spool, 0), "an empty spool")
        with refusing(warehouse, statement, undo):
            for number in range(1, 5):
                writing.put(second(number, "usd_mxn"))
            before = connections
            wait_for(lambda: connections > before + 5, "more tries")
            assert is_in_the_spool(spool, 4)
            wait_for(lambda: said in (word_left(spool) or ""), lambda: word_left(spool))
            wait_for(lambda: said in status(), status)
        wait_for(lambda: not is_in_the_spool(spool, 4), "an empty spool")
    assert_exact(warehouse)
    assert warehouse.rows("select count(*) from raw.bitso_order_books") == [(6,)]
    assert warehouse.rows("select count(*) from ops.quarantine") == [(0,)]
    assert word_left(spool) is None
    # Told when it came, and not with each try.
    assert 1 <= caplog.text.count(said) < 5


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("revoke update on ops.runs from warehouse_loader", 1, "permission denied for table runs"),
        ("drop table ops.warehouse", 1, "run `loader init`"),
        ("alter table ops.monitored rename to gone", 1, "run `loader init`"),
    ],
    ids=["privilege", "not migrated", "relation"],
)
def test_a_start_that_is_refused_says_who_can_help(
    warehouse: Warehouse, tmp_path: Path, statement: str, code: int, said: str
) -> None:
    warehouse.rows(statement.replace("{db}", warehouse.where.db))
    done = warehouse.call("loader", "stream", WAREHOUSE_STREAM_SPOOL_DIR=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert said in done.stderr


# What the stream may begin in: it knows the warehouse, which takes nothing for now.
WAITS = {
    "read only": (
        "alter database {db} set default_transaction_read_only = on",
        "alter database {db} reset default_transaction_read_only",
        "read-only",
    ),
    "disk": (
        REFUSAL.format(table="runs"),
        "drop trigger refuse on ops.runs; drop function ops.refuse()",
        "No space left on device",
    ),
}


@pytest.mark.parametrize("kind", WAITS)
@pytest.mark.usefixtures("tries_again_at_once")
def test_it_begins_with_the_spool_where_the_warehouse_takes_nothing_for_now(
    server: Server, warehouse: Warehouse, spool: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    statement, undo, said = (text.replace("{db}", warehouse.where.db) for text in WAITS[kind])
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        with closing(connect()) as here, here.cursor() as own:
            here.autocommit = True
            # A database's own setting cannot be taken back in a session that it holds for.
            (cursor if "alter database" in statement else own).execute(statement)
        with writer(spool) as writing:
            for number in range(3):
                writing.put(second(number))
            wait_for(lambda: is_in_the_spool(spool, 2), "lines in the spool")
            wait_for(lambda: said in (word_left(spool) or ""), lambda: word_left(spool))
            cursor.execute(undo) if "alter database" in undo else warehouse.rows(undo)
            wait_for(lambda: not spool.stat().st_size, "an empty spool")
    assert_exact(warehouse)
    assert warehouse.rows("select count(*) from raw.bitso_order_books") == [(6,)]
    assert caplog.text.count(said) == 1


@pytest.mark.usefixtures("tries_again_at_once")
def test_of_two_that_began_with_the_spool_one_ends(
    server: Server, warehouse: Warehouse, tmp_path: Path
) -> None:
    database = f"alter database {warehouse.where.db}"
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(f"{database} set default_transaction_read_only = on")
        writers = [SpoolWriter(Spool(tmp_path / name), loader_connection) for name in "ab"]
        for one in writers:
            one.start()
        cursor.execute(f"{database} reset default_transaction_read_only")
        wait_for(lambda: sum(one.is_alive for one in writers) == 1, "one that has ended")
    [ended] = [one for one in writers if not one.is_alive]
    assert "another stream run is at work" in str(ended.refused)
    [other] = [one for one in writers if one.is_alive]
    assert other.stop(LAST_RESORT_SECONDS)
    ended.stop(0)
