"""The inbox: looked at again and again, files taken whole, when they have rested, and once."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Warehouse
from tests.packing import PACKED
from tests.snapshot_files import content, good_rows, write

LONG = "100000"


def look(
    warehouse: Warehouse, inbox: Path, *arguments: object, rest: str = "0"
) -> tuple[int, list[str], list[str]]:
    """One look into the inbox: its exit code, what it printed, what it logged."""
    done = warehouse.call(
        "loader", "snapshots", *arguments,
        WAREHOUSE_INBOX=str(inbox), WAREHOUSE_INBOX_REST_SECONDS=rest,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def runs(warehouse: Warehouse) -> list[Any]:
    return warehouse.rows("select status, detail ->> 'file' from ops.runs order by run_id")


def test_an_inbox_with_nothing_new_is_a_run_and_reads_no_file(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = "no .csv file, nor a packed one (.csv.gz, .csv.zip, .csv.zst)"
    assert look(warehouse, tmp_path) == (
        0, [f"snapshots: {tmp_path} holds {nothing}, nothing to do"], [],
    )  # fmt: skip
    users = write(tmp_path, "users.csv", "users", good_rows("users", 3))
    write(tmp_path, "events.csv", "events", good_rows("events", 2))
    code, said, _ = look(warehouse, tmp_path)
    assert (code, len(said)) == (0, 2)
    with monkeypatch.context() as patch:
        patch.setattr("loader.snapshots.load._load_file", lambda *_: pytest.fail("it was read"))
        assert look(warehouse, tmp_path) == (
            0, [f"snapshots: {tmp_path} holds no new snapshot, nothing to do"], [],
        )  # fmt: skip
    # The same bytes under another stamp are read, and are no news either.
    os.utime(users)
    assert look(warehouse, tmp_path)[1] == [
        "users.csv: users: the same bytes as the current snapshot, nothing to do"
    ]
    write(tmp_path, "users.csv", "users", good_rows("users", 4))
    assert look(warehouse, tmp_path)[1][0].startswith("users.csv: users: 4 rows loaded")
    assert [status for status, _ in runs(warehouse)] == [
        "unchanged", "succeeded", "succeeded", "unchanged", "unchanged", "succeeded",
    ]  # fmt: skip


def test_what_another_file_has_replaced_is_taken_again(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """The inbox says what is current: a file that somebody typed holds until the next look."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    write(inbox, "users.csv", "users", good_rows("users", 3))
    by_hand = write(tmp_path, "other.csv", "users", good_rows("users", 2))
    assert look(warehouse, inbox)[0] == 0
    assert look(warehouse, inbox, by_hand)[1][0].startswith("other.csv: users: 2 rows loaded")
    assert look(warehouse, inbox)[1][0].startswith("users.csv: users: 3 rows loaded")


def test_a_file_is_taken_when_it_has_rested_but_one_that_is_typed_at_once(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    path = write(tmp_path, "users.csv", "users", good_rows("users", 3))
    # A copy may have the time of its original: what counts is when it was written here.
    os.utime(path, (0, 0))
    write(tmp_path, "events.csv", "events", good_rows("events", 2))
    code, said, logged = look(warehouse, tmp_path, rest=LONG)
    assert (code, said) == (0, [f"snapshots: {tmp_path} holds no new snapshot, nothing to do"])
    assert [line.partition(":")[0] for line in logged] == ["events.csv", "users.csv"]
    assert all(line.endswith("s ago, taken after 100000 s of rest") for line in logged)
    assert warehouse.rows("select 1 from raw.snapshots") == []
    for typed in (path, tmp_path):
        assert look(warehouse, tmp_path, typed, rest=LONG)[0] == 0
    assert warehouse.rows("select count(*) from raw.snapshots") == [(2,)]


def test_what_is_being_written_or_is_no_snapshot_is_left_alone_and_named(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """By its name, in the inbox and in a folder that is typed alike."""
    beside = (
        "deposits.csv.part", "deposits.csv.tmp", "deposits.csv.crdownload", ".deposits.csv",
        ".deposits.csv.crc", ".DS_Store", "_SUCCESS", "README", "deposits.csv~", "backup.tar.gz",
    )  # fmt: skip
    for name in beside:
        (tmp_path / name).write_bytes(content("deposits", good_rows("deposits", 2))[:-9])
    (tmp_path / "folder").mkdir()
    users = content("users", good_rows("users", 3))
    for name, shape in (
        ("users.csv", "plain"), ("USERS.CSV.GZ", "gzip"), ("users.csv.zip", "zip"),
        ("users.zip", "zip"), ("users.csv.zst", "zstd"),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(PACKED[shape](users))
        for arguments in ([], [tmp_path]):
            code, said, logged = look(warehouse, tmp_path, *arguments)
            assert (code, len(said)) == (0, 1)
            [left] = [line for line in logged if "left alone" in line]
            assert left.startswith(f"{tmp_path}: left alone: ")
            assert left.endswith(f" and {len(beside) - 4} more")
        path.unlink()
    assert {status for status, _ in runs(warehouse)} == {"succeeded", "unchanged"}
    assert warehouse.rows("select count(*) from raw.snapshots") == [(1,)]
    named = set()
    for name in beside:
        only = tmp_path / "only"
        only.mkdir()
        shutil.copy(tmp_path / name, only)
        code, said, logged = look(warehouse, only)
        assert code == 0
        named |= {line.rpartition(" ")[2] for line in logged}
        shutil.rmtree(only)
    assert named == set(beside)


def test_a_bad_file_fails_each_look_and_does_not_hold_up_the_others(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "deposits.csv").mkdir()
    os.mkfifo(tmp_path / "events.csv")
    (tmp_path / "withdrawals.csv").symlink_to("withdrawals.csv")
    write(tmp_path, "users.csv", "users", good_rows("users", 3))
    expected = {
        "deposits.csv: a directory, not a file", "events.csv: a pipe, not a file",
        "withdrawals.csv: a symbolic link, not a file",
    }  # fmt: skip
    for total in (4, 3):
        code, said, logged = look(warehouse, tmp_path)
        assert code == 1
        assert len(said) == total - 3
        assert expected <= set(logged)
        assert logged[-1] == f"loader: 3 of {total} files refused"


def test_two_files_of_a_kind_are_refused_also_where_one_is_loaded_already(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    write(tmp_path, "users.csv", "users", good_rows("users", 3))
    assert look(warehouse, tmp_path)[0] == 0
    write(tmp_path, "users-2.csv.gz", "users", good_rows("users", 4))
    code, _, logged = look(warehouse, tmp_path)
    assert code == 1
    assert sum("holds 2 files of users (users-2.csv.gz, users.csv)" in line for line in logged) == 2
    assert warehouse.rows("select count(*) from raw.snapshots") == [(1,)]
