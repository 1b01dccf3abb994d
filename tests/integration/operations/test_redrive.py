"""Rows set aside can be seen, mended and loaded again: once, and never past a newer snapshot."""

import csv
from pathlib import Path
from typing import Any

import pytest

from loader.operations.edited import export_rows
from loader.operations.redrive import redrive
from loader.snapshots.load import load_snapshots
from loader.warehouse.errors import RefusedError, TransientError
from loader.warehouse.text import counted
from tests.conftest import Warehouse
from tests.ledger import counts
from tests.snapshot_files import content, error_of, good_rows, write


def deposit(identifier: int, amount: str = "1.5", user: str = "u") -> str:
    return f"{identifier},2023-01-02 03:04:05+00,{user},{amount},mxn,complete"


def load(path: Path) -> None:
    list(load_snapshots([path], allow_shrink=True))


def loaded(warehouse: Warehouse) -> list[tuple[int, str]]:
    return [
        (identifier, str(amount))
        for identifier, amount in warehouse.rows(
            "select id, amount from raw.deposits inner join raw.snapshots using (snapshot_id) "
            "where is_current order by id"
        )
    ]


def edit(path: Path, texts: dict[str, str]) -> Path:
    """Export the quarantine and change the raw texts as a person would."""
    path.unlink(missing_ok=True)
    export_rows(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(texts) <= {row["raw"] for row in rows}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "raw": texts.get(row["raw"], row["raw"])} for row in rows)
    return path


def test_a_mended_row_is_loaded_once_and_the_ledger_adds_up(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1), deposit(2, "x"), deposit(3, "y")]))
    edited = edit(tmp_path / "edited.csv", {deposit(2, "x"): deposit(2, "2.5")})
    assert counts(redrive(edited)) == (2, 1, 0, 1)
    assert loaded(warehouse) == [(1, "1.5"), (2, "2.5")]
    [(line, run_is_redrive)] = warehouse.rows(
        "select line_number, job = 'quarantine redrive' from raw.deposits "
        "inner join ops.runs using (run_id) where id = 2"
    )
    assert (line, run_is_redrive) == (3, True)
    # Again, with the edits and without: nothing more happens.
    assert counts(redrive(edited)) == (1, 0, 0, 1)
    assert counts(redrive(None)) == (1, 0, 0, 1)
    assert loaded(warehouse) == [(1, "1.5"), (2, "2.5")]
    assert warehouse.rows(
        "select raw, redriven_by is not null from ops.quarantine order by quarantine_id"
    ) == [(deposit(2, "x"), True), (deposit(3, "y"), False)]
    assert warehouse.rows("select distinct status from ops.runs") == [("succeeded",)]


def test_the_mended_snapshot_stays_mended_when_its_file_comes_again(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    path = write(tmp_path, "a.csv", "deposits", [deposit(1), deposit(2, "x")])
    load(path)
    redrive(edit(tmp_path / "edited.csv", {deposit(2, "x"): deposit(2)}))
    load(path)
    assert loaded(warehouse) == [(1, "1.5"), (2, "1.5")]
    assert warehouse.rows("select status from ops.runs order by run_id desc limit 1") == [
        ("unchanged",)
    ]


@pytest.mark.parametrize(
    ("text", "expected", "is_closed"),
    [
        pytest.param(deposit(1, "1.50"), (1, 0, 1, 0), True, id="the same row as a loaded one"),
        pytest.param(deposit(1, "9"), (1, 0, 0, 1), False, id="a loaded key with other values"),
        pytest.param(deposit(1, ""), (1, 0, 0, 1), False, id="a loaded key without an amount"),
        pytest.param(deposit(5), (1, 1, 0, 0), True, id="a new key"),
        pytest.param(deposit(5, "still bad"), (1, 0, 0, 1), False, id="still bad"),
        pytest.param("", (1, 0, 0, 1), False, id="nothing"),
        pytest.param(f"{deposit(5)}\n{deposit(6)}", (1, 0, 0, 1), False, id="two rows"),
        pytest.param(deposit(5, user='"a\nb"'), (1, 1, 0, 0), True, id="a quoted line end"),
        pytest.param(deposit(5, user="x" * 1001), (1, 0, 0, 1), False, id="too long a text"),
        pytest.param(deposit(5, user="'); drop table raw.deposits; --"), (1, 1, 0, 0), True,
                     id="SQL text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("repeats", [False, True])
def test_a_redriven_row_is_loaded_known_or_still_bad(
    warehouse: Warehouse, tmp_path: Path, text: str, expected: tuple[int, ...], is_closed: bool,
    repeats: bool,
) -> None:  # fmt: skip
    # With a repeat in the file its partition has an index on the key already, without it has not.
    rows = [deposit(1), deposit(2, "x"), *([deposit(1)] if repeats else [])]
    load(write(tmp_path, "a.csv", "deposits", rows))
    edited = edit(tmp_path / "edited.csv", {deposit(2, "x"): text})
    assert counts(redrive(edited)) == expected
    is_new = expected[1] == 1
    assert loaded(warehouse) == [(1, "1.5"), *([(5, "1.5")] if is_new else [])]
    assert warehouse.rows("select redriven_by is not null from ops.quarantine") == [(is_closed,)]
    # Repeated, an open row is counted again and a closed one is not.
    assert counts(redrive(edited)) == ((0, 0, 0, 0) if is_closed else (1, 0, 0, 1))


def test_two_rows_mended_to_the_same_key_are_one_row(warehouse: Warehouse, tmp_path: Path) -> None:
    bad = [deposit(1, "x"), deposit(2, "y"), deposit(3, "z")]
    load(write(tmp_path, "a.csv", "deposits", [*bad, deposit(8)]))
    texts = {
        deposit(1, "x"): deposit(7),
        deposit(2, "y"): deposit(7, "1.500"),
        deposit(3, "z"): deposit(7, "2"),
    }
    assert counts(redrive(edit(tmp_path / "edited.csv", texts))) == (3, 1, 1, 1)
    assert loaded(warehouse) == [(7, "1.5"), (8, "1.5")]


@pytest.mark.parametrize(
    ("kind", "bad", "mended", "query"),
    [
        ("users", '""', "u9", "select user_id = 'u9' from raw.users"),
        ("events", "1,x,u,login", "1,2023-01-02 03:04:05,u,login", "select id = 1 from raw.events"),
        (
            "withdrawals",
            "1,2023-01-02 03:04:05+00,u,-2,,btc,failed",
            "1,2023-01-02 03:04:05+00,u,-2,app,btc,failed",
            "select interface = 'app' from raw.withdrawals",
        ),
        (
            "user_levels",
            "u,mx,two,2023-01-02 03:04:05+00",
            "u,mx,2,2023-01-02 03:04:05+00",
            "select level = 2 from raw.user_levels",
        ),
    ],
)
def test_every_kind_can_be_redriven(
    warehouse: Warehouse, tmp_path: Path, kind: str, bad: str, mended: str, query: str
) -> None:
    load(write(tmp_path, "a.csv", kind, [bad, *good_rows(kind, 1, first=50)]))
    assert counts(redrive(edit(tmp_path / "edited.csv", {bad: mended}))) == (1, 1, 0, 0)
    assert (True,) in warehouse.rows(query)


def test_the_columns_of_the_file_decide_how_a_mended_row_is_read(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "event_name,user_id,event_timestamp,id\nlogin,u,never,7\nlogin,u,2023-01-02 03:04:05,8\n"
    )
    load(path)
    edited = edit(tmp_path / "edited.csv", {"login,u,never,7": "login,u,2023-01-02 03:04:05,7"})
    assert counts(redrive(edited)) == (1, 1, 0, 0)
    assert warehouse.rows("select event_name, user_id from raw.events where id = 7") == [
        ("login", "u")
    ]


def test_rows_of_a_replaced_snapshot_stay_where_they_are(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1), deposit(2, "x")]))
    edited = edit(tmp_path / "edited.csv", {deposit(2, "x"): deposit(2)})
    load(write(tmp_path, "a.csv", "deposits", [deposit(1), deposit(3)]))
    run = redrive(edited)
    assert counts(run) == (0, 0, 0, 0)
    assert run.detail["replaced"] == 1
    assert loaded(warehouse) == [(1, "1.5"), (3, "1.5")]


@pytest.mark.parametrize(
    ("bad", "shown", "mended"),
    [
        (b"Pe\xf1a", "Pe\\xf1a", "Peña"),
        (b"nul\0", "nul\\x00", "nul"),
    ],
)
def test_a_text_that_postgres_cannot_hold_stays_until_it_is_edited(
    warehouse: Warehouse, tmp_path: Path, bad: bytes, shown: str, mended: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content("users", ["u1", bad]))
    load(path)
    assert counts(redrive(None)) == (1, 0, 0, 1)
    assert warehouse.rows("select user_id from raw.users") == [("u1",)]
    assert counts(redrive(edit(tmp_path / "edited.csv", {shown: mended}))) == (1, 1, 0, 0)
    assert warehouse.rows("select user_id from raw.users order by 1") == [(mended,), ("u1",)]


@pytest.mark.usefixtures("warehouse")
def test_a_very_long_row_survives_export_and_redrive(tmp_path: Path) -> None:
    load(write(tmp_path, "a.csv", "users", ["u1", "x" * 500_000]))
    edited = edit(tmp_path / "edited.csv", {"x" * 500_000: "u2"})
    assert counts(redrive(edited)) == (1, 1, 0, 0)


def test_only_the_rows_of_the_edited_file_are_tried(warehouse: Warehouse, tmp_path: Path) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1, "x"), deposit(2, "y"), deposit(3)]))
    edited = tmp_path / "edited.csv"
    edited.write_text(f'raw,quarantine_id\r\n"{deposit(2)}",2\r\n"{deposit(9)}",99\r\n')
    assert counts(redrive(edited)) == (1, 1, 0, 0)
    assert loaded(warehouse) == [(2, "1.5"), (3, "1.5")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"id,text\n1,x\n",
        b"quarantine_id,raw\none,x\n",
        b"quarantine_id,raw\n1\n",
        b"quarantine_id,raw\n1,a,b\n",
        b'quarantine_id,raw\n1,"x\n',
        b"quarantine_id,raw\n1,\xff\n",
        content("deposits", [deposit(1)]),
    ],
)
@pytest.mark.usefixtures("warehouse")
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, data: bytes) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1, "x"), deposit(2)]))
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(data)
    with pytest.raises(RefusedError, match=r"^wrong\.csv: not an export of the quarantine"):
        redrive(wrong)


def test_what_was_never_in_quarantine_is_said_and_the_rest_is_loaded(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1, "x"), deposit(2)]))
    edited = tmp_path / "edited.csv"
    rows = [f'"{deposit(1)}",1', *(f'"{deposit(number)}",{number}' for number in range(70, 95))]
    edited.write_text("raw,quarantine_id\n" + "\n".join(rows))
    # The second time its row is loaded already, which is no fault.
    for loads in (1, 0):
        done = warehouse.call("loader", "quarantine", "redrive", edited)
        assert done.stdout.startswith(f"{counted(loads, 'row')} loaded, ")
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert line.startswith("loader: 25 rows of the file never stood in this quarantine")
        assert line.endswith("quarantine_id 70, " + ", ".join(map(str, range(71, 90))) + ", ...")
    edited.write_text("\n".join(["raw,quarantine_id", rows[0]]))
    assert warehouse.call("loader", "quarantine", "redrive", edited).returncode == 0


def test_an_export_takes_the_place_of_no_file(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(write(tmp_path, "a.csv", "deposits", [deposit(1, "x"), deposit(2)]))
    path = tmp_path / "q.csv"
    assert warehouse.call("loader", "quarantine", "export", path).returncode == 0
    path.write_text("edited")
    done = warehouse.call("loader", "quarantine", "export", path)
    assert (done.returncode, path.read_text()) == (2, "edited")
    assert done.stderr == (
        f"loader: {path}: there is such a file, which may hold edits: name another one\n"
    )
    # One that fails on the way leaves nothing that would stand in the way of the next.
    path.unlink()

    def failing(*_: object) -> Any:
        raise TransientError("Postgres went away")

    with monkeypatch.context() as patch:
        patch.setattr("loader.operations.edited.quarantine.open_pages", failing)
        assert warehouse.call("loader", "quarantine", "export", path).returncode == 75
    assert not path.exists()
    assert warehouse.call("loader", "quarantine", "export", path).returncode == 0


def test_the_commands_say_what_they_do(warehouse: Warehouse, tmp_path: Path) -> None:
    bell = 'u,"\x1b[2J\x07\nnext"'
    path = write(tmp_path, "a.csv", "users", ["u1", bell, '""', "x" * 2000, "u1"])
    assert warehouse.loader("quarantine", "list").stdout == "0 rows in quarantine\n"
    assert warehouse.loader("snapshots", path).returncode == 0
    listed = warehouse.loader("quarantine", "list")
    assert listed.returncode == 0
    assert [
        code for code in ("missing_value", "too_long", "a.csv:") if code not in listed.stdout
    ] == []
    assert "\x1b" not in listed.stdout
    assert "\x07" not in listed.stdout
    *table, last = listed.stdout.splitlines()
    rows = len(warehouse.rows("select 1 from ops.quarantine"))
    assert last == f"{rows} rows in quarantine, {rows} shown"
    assert len(table) == rows + 4
    assert max(map(len, table)) < 250
    limited = warehouse.loader("quarantine", "list", "--limit", 1)
    assert limited.stdout.splitlines()[-1] == f"{rows} rows in quarantine, 1 shown"
    exported = warehouse.loader("quarantine", "export", tmp_path / "q.csv")
    assert exported.stdout == f"{rows} rows written to {tmp_path / 'q.csv'}\n"
    redriven = warehouse.loader("quarantine", "redrive", tmp_path / "q.csv")
    assert redriven.returncode == 0
    assert redriven.stdout == f"0 rows loaded, 0 were loaded already, {rows} stay in quarantine\n"
    assert len(redriven.stderr.splitlines()) == rows


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "--limit", "-1"], 2),
        (["redrive", "nowhere.csv"], 2),
        (["export", "nowhere/q.csv"], 2),
        (["forget"], 2),
    ],
)
def test_a_wrong_call_is_one_line(
    module_warehouse: Warehouse, arguments: list[str], code: int
) -> None:
    module_warehouse.activate()
    done = module_warehouse.loader("quarantine", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert error_of(done)
