"""Files with other columns, and with words for no value: loaded, set aside and loaded again."""

from pathlib import Path

import pytest

from tests.conftest import Warehouse
from tests.snapshot_files import error_of

HEADER = "ID,event_date,event_timestamp,user_id,amount,currency,status"
MAP = "status=tx_status,event_date="
LIKE = "2023-08-23 10:00:00.123456+00 (zone optional, then UTC; a year from 0002 to 9998)"
FIELDS = "id, (left out), event_timestamp, user_id, amount, currency, tx_status"
CURRENT = (
    "select line_number, id, currency, tx_status from raw.deposits "
    "inner join raw.snapshots using (snapshot_id) where is_current order by 1"
)


def row(number: int, status: str = "complete", day: str = "2023-01-02") -> str:
    return f"{number},{day},{day} 03:04:05,u{number},1.5,mxn,{status}"


def test_the_rows_of_a_file_with_other_columns_are_redriven_by_ours(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    path, exported = tmp_path / "theirs.csv", tmp_path / "quarantine.csv"
    short = row(4).removesuffix(",complete")
    path.write_text(
        "\n".join([HEADER, row(1), row(2, '"complete"'), row(3, day="some day"), short])
    )
    refused = warehouse.call("loader", "snapshots", path)
    assert refused.returncode == 1
    assert "unknown column 'event_date', 'status', missing column 'tx_status'" in error_of(refused)
    done = warehouse.call("loader", "snapshots", path, "--columns", MAP)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (
        0,
        [
            "theirs.csv: line 4: event_timestamp 'some day 03:04:05' is not a time like " + LIKE,
            "theirs.csv: line 5: the row has 6 fields, not 7: " + FIELDS,
        ],
    )  # fmt: skip
    # As it stands, neither is loaded: the second would be with its columns one place off.
    again = warehouse.call("loader", "quarantine", "redrive")
    assert "0 rows loaded, 0 were loaded already, 2 stay in quarantine" in again.stdout
    assert warehouse.call("loader", "quarantine", "export", exported).returncode == 0
    text = exported.read_text()
    assert '"3,some day 03:04:05,u3,1.5,mxn,complete"' in text
    mended = text.replace("some day", "2023-01-03").replace(
        short, "4,2023-01-02 03:04:05,u4,1.5,mxn,complete"
    )
    exported.write_text(mended)
    again = warehouse.call("loader", "quarantine", "redrive", exported)
    assert "2 rows loaded" in again.stdout
    assert [each[:2] for each in warehouse.rows(CURRENT)] == [(2, 1), (3, 2), (4, 3), (5, 4)]


def test_the_same_bytes_with_other_names_are_another_snapshot(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(
        "id,event_timestamp,user_id,amount,a,b,tx_status\n"
        "1,2023-01-02 03:04:05,u1,1.5,mxn,btc,complete\n"
    )
    for columns, said, currency in (
        ("a=currency,b=", "1 row loaded", "mxn"),
        ("a=currency,b=", "nothing to do", "mxn"),
        ("b=currency,a=", "1 row loaded", "btc"),
        ("B=currency,a=", "nothing to do", "btc"),
    ):
        done = warehouse.call("loader", "snapshots", path, "--columns", columns)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
        assert warehouse.rows(CURRENT) == [(2, 1, currency, "complete")]
    wrong = warehouse.call("loader", "snapshots", path, "--columns", "a=curency,b=")
    assert (wrong.returncode, error_of(wrong)) == (
        2, "--columns: 'curency' is no column here: did you mean currency?",
    )  # fmt: skip


@pytest.mark.parametrize("allowed", [False, True])
def test_words_for_no_value_are_texts_where_the_setting_says_so(
    warehouse: Warehouse, tmp_path: Path, *, allowed: bool
) -> None:
    words = ("NULL", "null", "None", "NaN", "n/a", "\\N")
    rows = [f"{n},2023-01-02 03:04:05,{word},1,{word},{word}" for n, word in enumerate(words)]
    rows += ["7,2023-01-02 03:04:05,u7,,NA,nullable"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["id,event_timestamp,user_id,amount,currency,tx_status", *rows]))
    setting = {"WAREHOUSE_ALLOW_NULL_WORDS": "true"} if allowed else {}
    done = warehouse.call("loader", "snapshots", path, **setting)
    assert done.returncode == 0, done.stderr
    taken = [*words, "NA"] if allowed else ["NA"]
    assert [currency for _, _, currency, _ in warehouse.rows(CURRENT)] == taken
    assert warehouse.rows("select distinct reason_code from ops.quarantine") == (
        [] if allowed else [("null_word",)]
    )
    # Who comes to allow them later redrives what was set aside.
    again = warehouse.call("loader", "quarantine", "redrive", WAREHOUSE_ALLOW_NULL_WORDS="true")
    assert again.stdout.startswith(f"{0 if allowed else 6} rows loaded")


def test_a_column_without_a_name_can_be_left_out(warehouse: Warehouse, tmp_path: Path) -> None:
    """As pandas writes its index."""
    path = tmp_path / "theirs.csv"
    path.write_text(",user_id\n0,u1\n1,u2\n")
    refused = warehouse.call("loader", "snapshots", path)
    assert (refused.returncode, "unknown column ''" in error_of(refused)) == (1, True)
    done = warehouse.call("loader", "snapshots", path, "--columns", "=")
    assert done.returncode == 0
    assert warehouse.rows("select user_id from raw.users order by 1") == [("u1",), ("u2",)]
