"""Codes of snapshots in whatever case and with blanks around: one thing in every answer."""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import market
from tests.conftest import Warehouse
from tests.snapshot_files import HEADERS, write

CODES = ("currency", "tx_status", "interface", "event_name", "jurisdiction")
ROWS = {
    "users": ["ana", "bea"],
    "deposits": [
        f"{n},2023-01-0{1 + n % 3} 10:00:00+00,{'ana' if n % 2 else 'bea'},{n}.5,"
        f"{'btc' if n % 4 else 'mxn'},{'complete' if n % 5 else 'failed'}"
        for n in range(40)
    ],
    "withdrawals": [
        f"{n},2023-01-02 12:00:00+00,ana,{n},{'web' if n % 2 else 'app'},mxn,complete"
        for n in range(8)
    ],
    "events": [
        f"{n},2023-01-01 09:00:00.00000{n},ana,{'login' if n % 3 else '2faon'}" for n in range(9)
    ],
    "user_levels": [
        f"{user},mx,{level},2023-01-0{level} 00:00:00+00"
        for user in ("ana", "bea") for level in (1, 2, 3, 4)
    ],
}  # fmt: skip
SPELLED: tuple[Callable[[str], str], ...] = (
    str.upper, str.title, " {}".format, "{}\t ".format, str, lambda code: f" {code.upper()} ",
)  # fmt: skip
SEEDS = {
    "known_currencies": "currency", "known_event_types": "event_name",
    "known_transaction_statuses": "transaction_status",
}  # fmt: skip


def spelled(kind: str, rows: list[str]) -> list[str]:
    """The same rows, their codes in other ways."""
    names, ways = HEADERS[kind].split(","), itertools.cycle(SPELLED)
    return [
        ",".join(
            next(ways)(value) if name in CODES else value
            for name, value in zip(names, row, strict=True)
        )
        for row in csv.reader(rows)
    ]


def load(warehouse: Warehouse, directory: Path, files: dict[str, list[str]]) -> None:
    directory.mkdir()
    for kind, rows in files.items():
        write(directory, f"{kind}.csv", kind, rows)
    done = warehouse.call("loader", "snapshots", "--allow-shrink", directory)
    assert done.returncode == 0, done.stderr


def built(warehouse: Warehouse) -> dict[str, tuple[int, str]]:
    """What is built of snapshots, in digests."""
    warehouse.dbt("run", "--exclude", "resource_type:seed")
    tables = warehouse.rows(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema in ('target', 'marts') and table_type = 'BASE TABLE' order by 1"
    )
    return market.digests(warehouse, [name for (name,) in tables])


@pytest.fixture
def plain(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """With codes as they should be."""
    warehouse.dbt("seed")
    load(warehouse, tmp_path / "plain", ROWS)
    return warehouse


def test_a_code_is_one_thing_however_it_is_spelled(plain: Warehouse, tmp_path: Path) -> None:
    before = built(plain)
    assert {name for name, (rows, _) in before.items() if rows} >= {
        "target.user_levels", "target.interfaces", "marts.user_logins", "marts.deposits_by_level",
    }  # fmt: skip
    load(plain, tmp_path / "spelled", {kind: spelled(kind, rows) for kind, rows in ROWS.items()})
    # The facts stay as they came.
    asked = "select count(distinct currency) from raw.deposits where snapshot_id = %s"
    [(newest,)] = plain.rows("select max(snapshot_id) from raw.deposits")
    assert plain.rows(asked, newest)[0][0] > 4
    assert built(plain) == before
    for seed, column in SEEDS.items():
        plain.rows(f"update reference.{seed} set {column} = upper({column}) || ' '")
    assert built(plain) == before


def test_two_levels_of_one_instant_are_not_both_loaded(plain: Warehouse, tmp_path: Path) -> None:
    levels = [*ROWS["user_levels"], "ana,MX,9,2023-01-04 00:00:00+00"]
    load(plain, tmp_path / "levels", {"user_levels": levels})
    aside = plain.rows("select source, reason_code, raw from ops.quarantine")
    assert aside == [("user_levels", "repeated_key", levels[-1])]
    built(plain)
