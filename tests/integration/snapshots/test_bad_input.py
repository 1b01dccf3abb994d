"""Odd and bad snapshot files: the good rows load, the bad ones are set aside, nothing is lost."""

import gzip
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from loader.snapshots.load import load_snapshots
from loader.warehouse.errors import RefusedError
from loader.warehouse.settings import get_settings
from tests.conftest import BIN, Warehouse
from tests.snapshot_files import HEADERS, content, error_of, good_rows, write

DEPOSIT = "7,2023-01-02 03:04:05+00,u7,1.5,mxn,complete"


def last_run(warehouse: Warehouse) -> dict[str, Any]:
    [(run,)] = warehouse.rows("select to_jsonb(runs) from ops.runs order by run_id desc limit 1")
    assert isinstance(run, dict)
    return run


def counts(run: dict[str, Any]) -> tuple[int, ...]:
    return tuple(run[f"rows_{what}"] for what in ("read", "inserted", "duplicate", "quarantined"))


def load(*paths: Path) -> tuple[int, ...]:
    """Load files in this process, which takes milliseconds; return the last one's counts.

    The command itself is what the tests of messages and exit codes run.
    """
    *_, run = load_snapshots(paths, allow_shrink=True)
    return run.rows_read, run.rows_inserted, run.rows_duplicate, run.rows_quarantined


@pytest.fixture
def shared(module_warehouse: Warehouse) -> Warehouse:
    """A warehouse that many tests use one after the other."""
    module_warehouse.activate()
    return module_warehouse


# --- files that are refused whole --------------------------------------------------------------

NONE = "7,2023-01-02 UTC,u7,1.5,mxn,complete"
GOOD = content("deposits", good_rows("deposits", 30_000))
PACKED = gzip.compress(GOOD)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        pytest.param("a.csv", b"", "the file is empty", id="zero bytes"),
        pytest.param("a.csv.gz", gzip.compress(b""), "the file is empty", id="zero bytes gzipped"),
        pytest.param("a.csv", b"\n" + GOOD, "blank, not a header", id="blank first line"),
        pytest.param("a.csv", GOOD.replace(b",", b";"), "comma", id="semicolons"),
        pytest.param("a.csv", GOOD.replace(b",", b"\t"), "comma", id="tabs"),
        pytest.param("a.csv", GOOD.replace(b"amount,", b""), "missing column 'amount'",
                     id="missing column"),
        pytest.param("a.csv", GOOD.replace(b"amount,", b"amount,fee,"), "unknown column 'fee'",
                     id="extra column"),
        pytest.param("a.csv", GOOD.replace(b"amount,", b"value,"), "unknown column 'value'",
                     id="renamed column"),
        pytest.param("a.csv", GOOD.replace(b"amount,", b"id,"), "repeated column 'id'",
                     id="repeated column"),
        pytest.param("a.csv", GOOD.replace(b"amount", b"monta\xf1o"), "not a CSV header in UTF-8 "
                     "(its byte 33 is 0xf1, as in Latin-1 or Windows-1252): save the file as UTF-8",
                     id="Latin-1"),
        pytest.param("a.csv", GOOD.decode().encode("utf-16")[:-1], "half-written",
                     id="UTF-16, half a character"),
        pytest.param("a.csv", GOOD.replace(b"\n", b"\r").replace(b"user3,", b'"user3",'),
                     "LF or CRLF", id="line ends of old Macs, and quotes"),
        pytest.param("a.csv", GOOD.partition(b"\n")[2], "the first line is not a header: none of "
                     "its 6 fields is the name of a column, such as user_id", id="no header"),
        pytest.param("a.csv", b"5dd9db5e033da9c6\nuser2\n", "not a header: none of its 1 field",
                     id="no header of users"),
        pytest.param("a.csv", content("deposits", [NONE] * 3), "none of its 3 rows can be read: "
                     "line 2: event_timestamp '2023-01-02 UTC' is not a time like 2023-08-23 10:00",
                     id="no row that can be read"),
        pytest.param("a.csv.gz", PACKED[: len(PACKED) // 2], "half-written", id="half a gzip"),
        pytest.param("a.csv.gz", PACKED[:-4], "half-written", id="gzip without its end"),
        pytest.param("a.csv.gz", PACKED[:-8] + bytes(8), "damaged", id="wrong checksum"),
        pytest.param("a.csv.gz", PACKED[:9000] + bytes(99) + PACKED[9099:], "damaged",
                     id="damaged in the middle"),
        pytest.param("a.csv", b"x" * (3 << 20), "too long for a header", id="one endless line"),
    ],
)  # fmt: skip
def test_a_file_is_refused_whole_with_one_line_and_a_run(
    shared: Warehouse, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RefusedError) as caught:
        load(tmp_path / name)
    error = str(caught.value)
    assert "\n" not in error
    assert error.startswith(f"{name}: ")
    assert message in error
    run = last_run(shared)
    assert (run["status"], run["rows_inserted"], run["error"]) == ("refused", 0, error)
    assert shared.rows("select * from raw.deposits") == []
    assert shared.rows("select * from raw.snapshots") == []
    assert shared.rows("select * from ops.quarantine") == []
    assert partitions(shared) == []


def partitions(warehouse: Warehouse) -> list[str]:
    """The tables of snapshots, attached or left behind."""
    return [
        name
        for (name,) in warehouse.rows(
            r"select relname from pg_class where relnamespace = 'raw'::regnamespace "
            r"and relkind = 'r' and relname ~ '_\d+$' order by oid"
        )
    ]


def make_directory(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(GOOD)
    path.symlink_to(target)


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_directory, "a directory, not a file"),
        (make_link, "a symbolic link, not a file"),
        (make_broken_link, "a symbolic link, not a file"),
        (make_pipe, "a pipe, not a file"),
    ],
)
def test_what_is_no_file_is_refused_and_does_not_hold_up_the_others(
    warehouse: Warehouse, tmp_path: Path, make: Any, message: str
) -> None:
    make(tmp_path / "deposits.csv")
    write(tmp_path, "users.csv", "users", good_rows("users", 2))
    done = warehouse.loader("snapshots", tmp_path)
    assert done.returncode == 1
    assert error_of(done) == "1 of 2 files refused"
    assert f"deposits.csv: {message}" in done.stderr.splitlines()
    assert warehouse.rows("select status, detail ->> 'file' from ops.runs order by run_id") == [
        ("refused", "deposits.csv"),
        ("succeeded", "users.csv"),
    ]
    if make is not make_directory:
        alone = warehouse.loader("snapshots", tmp_path / "deposits.csv")
        assert (alone.returncode, error_of(alone)) == (1, f"deposits.csv: {message}")


def test_an_unreadable_file_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    path = write(tmp_path, "users.csv", "users", ["u1"])
    path.chmod(0)
    command = ["loader", "snapshots", str(path)]
    if os.geteuid() == 0:
        # Root reads everything, unless it gives up the capabilities that let it.
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("as root, an unreadable file needs setpriv")
        drop = "--bounding-set=-dac_override,-dac_read_search"
        command = [setpriv, drop, str(BIN / "loader"), *command[1:]]
    done = warehouse.run(*command)
    assert (done.returncode, error_of(done)) == (1, "users.csv: Permission denied")
    assert last_run(warehouse)["status"] == "refused"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _path: None, "no such file or directory", id="nothing there"),
        pytest.param(
            make_directory,
            "no .csv file, nor a packed one (.csv.gz, .csv.zip, .csv.zst) in it",
            id="an empty directory",
        ),
    ],
)
def test_a_call_without_a_file_is_wrong_usage(
    shared: Warehouse, tmp_path: Path, make: Any, message: str
) -> None:
    make(tmp_path / "snapshots")
    done = shared.loader("snapshots", tmp_path / "snapshots")
    assert (done.returncode, error_of(done)) == (2, f"{tmp_path / 'snapshots'}: {message}")


def test_no_argument_is_wrong_usage(shared: Warehouse) -> None:
    done = shared.loader("snapshots")
    assert done.returncode == 2
    assert done.stderr == ("loader: snapshots: name a directory or files, or set WAREHOUSE_INBOX\n")


@pytest.mark.parametrize("second", ["also.csv", "again.CSV.gz"])
def test_two_files_of_one_kind_in_a_directory_are_both_refused(
    warehouse: Warehouse, tmp_path: Path, second: str
) -> None:
    write(tmp_path, "deposits.csv", "deposits", good_rows("deposits", 2))
    (tmp_path / second).write_bytes(GOOD)
    write(tmp_path, "users.csv", "users", ["u1"])
    done = warehouse.loader("snapshots", tmp_path)
    assert (done.returncode, error_of(done)) == (1, "2 of 3 files refused")
    assert done.stderr.count("holds 2 files of deposits") == 2
    assert warehouse.rows("select kind from raw.snapshots") == [("users",)]
    assert load(tmp_path / "deposits.csv") == (2, 2, 0, 0)


def test_hidden_and_other_files_of_a_directory_are_left_alone(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    write(tmp_path, "USERS.CSV", "users", ["u1"])
    for name in (".users.csv", "users.csv.part", "users.csv~", "README"):
        write(tmp_path, name, "users", ["u2"])
    load(tmp_path)
    assert warehouse.rows("select user_id from raw.users") == [("u1",)]


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"two\nlines.csv", "año ß.csv".encode()])
def test_a_file_may_have_any_name(warehouse: Warehouse, tmp_path: Path, name: bytes) -> None:
    path = write(tmp_path, os.fsdecode(name), "users", ["u1", '"'])
    done = warehouse.loader("snapshots", path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    [(shown, location)] = warehouse.rows(
        "select file_name, location from raw.snapshots inner join ops.quarantine using (run_id)"
    )
    assert location == f"{shown}:3"
    assert "\n" not in shown


# --- good rows that look odd -------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(HEADERS))
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="byte order mark"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda data: data.removesuffix(b"\n"), id="no final line end"),
        pytest.param(
            lambda data: data.replace(b"\n", b"\n\n", 1) + b"\n  \n\r\n", id="blank lines"
        ),
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(
            lambda data: b"".join(
                b'"' + line.replace(b",", b'","') + b'"\n' for line in data.splitlines()
            ),
            id="all quoted",
        ),
        pytest.param(
            lambda data: b"".join(
                b",".join(reversed(line.split(b","))) + b"\n" for line in data.splitlines()
            ),
            id="reordered columns",
        ),
    ],
)
def test_every_kind_loads_in_every_shape(
    shared: Warehouse, tmp_path: Path, kind: str, shape: Any
) -> None:
    numbers = range(1, 6)
    path = tmp_path / "some name.csv"
    path.write_bytes(shape(content(kind, good_rows(kind, 5))))
    assert load(path) in {(5, 5, 0, 0), (0, 0, 0, 0)}  # the same content may be there already
    columns = "id" if "id" in HEADERS[kind].split(",") else "null"
    rows = shared.rows(
        f"select user_id, {columns} from raw.{kind} inner join raw.snapshots using (snapshot_id) "
        "where is_current order by line_number"
    )
    assert rows == [(f"user{n}", n if columns == "id" else None) for n in numbers]


def test_each_column_gets_its_own_value(warehouse: Warehouse, tmp_path: Path) -> None:
    for kind in HEADERS:
        write(tmp_path, f"{kind}.csv", kind, good_rows(kind, 1))
    load(tmp_path)
    at = datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)
    expected: dict[str, Sequence[object]] = {
        "deposits": (
            1,
            at.replace(microsecond=600_000),
            "user1",
            Decimal("1.5"),
            "mxn",
            "complete",
        ),
        "withdrawals": (1, at, "user1", Decimal("-1.25"), "web", "btc", "failed"),
        "events": (1, at.replace(microsecond=123_456), "user1", "login"),
        "users": ("user1",),
        "user_levels": ("user1", "mx", 2, at),
    }
    for kind, values in expected.items():
        query = f"select line_number, {HEADERS[kind]} from raw.{kind}"
        assert warehouse.rows(query) == [(2, *values)]
    assert len(warehouse.rows("select 1 from raw.snapshots where is_current")) == 5


def time(text: str) -> str:
    return f"7,{text},u7,1.5,mxn,complete"


def amount(text: str) -> str:
    return f"7,2023-01-02 03:04:05+00,u7,{text},mxn,complete"


def user(text: str) -> str:
    return f"7,2023-01-02 03:04:05+00,{text},1.5,mxn,complete"


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (time("2023-01-02 03:04:05"), "event_timestamp", datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (time("2023-01-02T03:04:05Z"), "event_timestamp",
         datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (time("2023-01-01 21:04:05.5-06"), "event_timestamp",
         datetime(2023, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)),
        (time("2023-01-02 08:34:05+05:30"), "event_timestamp",
         datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (time("2023-01-02 08:34:05+0530"), "event_timestamp",
         datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (time("2024-02-29 23:59:59.999999+00"), "event_timestamp",
         datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
        (time("1850-01-01 00:00:00+00"), "event_timestamp", datetime(1850, 1, 1, tzinfo=UTC)),
        (amount(""), "amount", None),
        (amount('""'), "amount", None),
        (amount("-12.5"), "amount", Decimal("-12.5")),
        (amount("0.123456789012345678"), "amount", Decimal("0.123456789012345678")),
        (amount("99999999999999999999.999999999999999999"), "amount",
         Decimal("99999999999999999999.999999999999999999")),
        (amount("1E-18"), "amount", Decimal("0.000000000000000001")),
        (amount("1.5e3"), "amount", Decimal(1500)),
        (amount("0.00000000000000000000"), "amount", Decimal(0)),
        (user("=HYPERLINK(A1)"), "user_id", "=HYPERLINK(A1)"),
        (user("+1+1"), "user_id", "+1+1"),
        (user("@SUM(A1)"), "user_id", "@SUM(A1)"),
        (user("'; drop table raw.deposits; --"), "user_id", "'; drop table raw.deposits; --"),
        (user("\\."), "user_id", "\\."),
        (user("a\\tb\\"), "user_id", "a\\tb\\"),
        (user('"two\nlines, ""quoted"""'), "user_id", 'two\nlines, "quoted"'),
        (user('"two\r\nlines"'), "user_id", "two\r\nlines"),
        (user(" 日本 "), "user_id", " 日本 "),
        (user("nobody knows me"), "user_id", "nobody knows me"),
        (user("x" * 1000), "user_id", "x" * 1000),
        (DEPOSIT.replace("mxn", "pagx"), "currency", "pagx"),
        (DEPOSIT.replace("complete", "never seen"), "tx_status", "never seen"),
        (DEPOSIT.replace("7,", "9223372036854775807,", 1), "id", 9223372036854775807),
    ],
)  # fmt: skip
def test_an_odd_but_good_value_is_loaded_as_it_is(
    shared: Warehouse, tmp_path: Path, row: str, column: str, value: object
) -> None:
    path = write(tmp_path, "odd.csv", "deposits", [row])
    load(path)
    loaded = shared.rows(
        f"select line_number, {column} from raw.deposits "
        "inner join raw.snapshots using (snapshot_id) where is_current"
    )
    assert loaded == [(2, value)]


@pytest.mark.usefixtures("warehouse")
def test_what_the_exact_parser_lets_pass_postgres_takes(tmp_path: Path) -> None:
    times = [
        f"{day}{between}{clock}{zone}"
        for day in ("0002-01-01", "1900-01-01", "2000-02-29", "2023-12-31", "9998-12-31")
        for between in " T"
        for clock in ("00:00:00", "23:59:59.999999", "12:00:00.1")
        for zone in ("", "Z", "+00", "-00", "+14", "-1459", "+14:59", "+0000")
    ]
    wide = "é" * 500
    rows = [f"{wide[: n % 400 + 100]}{n},{wide},1,{text}" for n, text in enumerate(times)]
    rows = [row if n % 2 else f"u{n},mx,2147483647,{times[n]}" for n, row in enumerate(rows)]
    rows = [row for row in rows if len(row.partition(",")[0].encode()) <= 1000]
    path = write(tmp_path, "levels.csv", "user_levels", rows)
    assert load(path) == (len(rows), len(rows), 0, 0)


# --- bad rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (DEPOSIT.removesuffix(",complete"), "field_count"),
        (DEPOSIT + ",", "field_count"),
        (DEPOSIT + ",more", "field_count"),
        ("7", "field_count"),
        (HEADERS["deposits"], "bad_number"),
        (DEPOSIT.replace("7,", ",", 1), "missing_value"),
        (DEPOSIT.replace("7,", "x,", 1), "bad_number"),
        (DEPOSIT.replace("7,", "-7,", 1), "bad_number"),
        (DEPOSIT.replace("7,", "9223372036854775808,", 1), "bad_number"),
        (DEPOSIT.replace(",mxn,", ",,"), "missing_value"),
        (DEPOSIT.replace(",mxn,", ",  ,"), "missing_value"),
        (user(""), "missing_value"),
        (user("\\N"), "null_word"),
        (DEPOSIT.replace("mxn", "NULL"), "null_word"),
        (user('"a\nb'), "malformed"),
        (user('"a"b'), "malformed"),
        (user("x" * 1001), "too_long"),
        (user("x" * 200_000), "too_long"),
        (user("a\rb"), "malformed"),
        (amount("0.1234567890123456789"), "bad_number"),
        (amount("100000000000000000000"), "bad_number"),
        (amount("NaN"), "bad_number"),
        (amount("Infinity"), "bad_number"),
        (amount("-inf"), "bad_number"),
        (amount("1e400"), "bad_number"),
        (amount("1e99999"), "bad_number"),
        (amount('"1,5"'), "bad_number"),
        (amount("$5"), "bad_number"),
        (amount("=1+1"), "bad_number"),
        (amount(" "), "bad_number"),
        (time("now"), "bad_time"),
        (time("today"), "bad_time"),
        (time("infinity"), "bad_time"),
        (time("0001-12-31 23:59:59+00"), "bad_time"),
        (time("9999-01-01 00:00:00+00"), "bad_time"),
        (time("-infinity"), "bad_time"),
        (time("2023-02-29 00:00:00+00"), "bad_time"),
        (time("1900-02-29 00:00:00+00"), "bad_time"),
        (time("2023-01-02 24:00:00+00"), "bad_time"),
        (time("2023-01-02 03:04:05+15"), "bad_time"),
        (time("2023-01-02 03:04:05.1234567+00"), "bad_time"),
        (time("02/01/2023 03:04"), "bad_time"),
        (time(""), "missing_value"),
        (user("u\0").encode(), "nul_byte"),
        (user("Pe\xf1a").encode("latin-1"), "invalid_utf8"),
        (user("\ud800").encode(errors="surrogatepass"), "invalid_utf8"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_good_ones_load(
    shared: Warehouse, tmp_path: Path, row: str | bytes, code: str
) -> None:
    path = write(tmp_path, "bad.csv", "deposits", [*good_rows("deposits", 2), row, "", DEPOSIT])
    bad = 2 if isinstance(row, str) and "\n" in row else 1
    assert load(path) == (3 + bad, 3, 0, bad)
    run = last_run(shared)
    quarantined = shared.rows(
        "select source, location, line_number, reason_code, raw from ops.quarantine "
        "where run_id = %s order by line_number limit 1",
        run["run_id"],
    )
    raw = row if isinstance(row, str) else row.decode(errors="backslashreplace")
    raw = raw.replace("\0", "\\x00").partition("\n")[0]
    assert quarantined == [("deposits", "bad.csv:4", 4, code, raw)]
    assert shared.rows(
        "select line_number, id from raw.deposits where run_id = %s order by 1", run["run_id"]
    ) == [(2, 1), (3, 2), (5 + bad, 7)]


def test_nothing_of_a_bad_file_runs_as_sql(warehouse: Warehouse, tmp_path: Path) -> None:
    attack = "x'); drop table ops.quarantine; --"
    path = write(
        tmp_path, "a'; drop table ops.runs; --.csv", "deposits", [DEPOSIT, f"{attack},,,,,"]
    )
    load(path)
    assert warehouse.rows("select raw from ops.quarantine") == [(f"{attack},,,,,",)]
    assert len(warehouse.rows("select 1 from ops.runs")) == 1


@pytest.mark.parametrize(
    ("kind", "bad_row"),
    [
        ("withdrawals", "7,2023-01-02 03:04:05+00,u7,1.5,,btc,failed"),
        ("events", "7,2023-01-02 03:04:05,u7,"),
        ("users", '""'),
        ("user_levels", "u7,mx,two,2023-01-02 03:04:05+00"),
        ("user_levels", "u7,mx,2147483648,2023-01-02 03:04:05+00"),
    ],
)
def test_every_kind_sets_its_bad_rows_aside(
    shared: Warehouse, tmp_path: Path, kind: str, bad_row: str
) -> None:
    path = write(tmp_path, "bad.csv", kind, [*good_rows(kind, 2), bad_row, *good_rows(kind, 2, 5)])
    assert load(path) == (5, 4, 0, 1)
    run = last_run(shared)
    assert shared.rows(
        "select source, line_number, raw from ops.quarantine where run_id = %s", run["run_id"]
    ) == [(kind, 4, bad_row)]


# --- how many bad rows are too many ------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "bad", "percent", "is_loaded"),
    [
        pytest.param(21, 20, "", True, id="20 bad rows are never too many"),
        pytest.param(22, 21, "", False, id="21 of 22"),
        pytest.param(2100, 21, "", True, id="exactly 1 %"),
        pytest.param(2099, 21, "", False, id="just over 1 %"),
        pytest.param(100, 50, "50", True, id="exactly the percentage that is set"),
        pytest.param(100, 51, "50", False, id="over the percentage that is set"),
        pytest.param(1000, 21, "0", False, id="none allowed"),
        pytest.param(1000, 20, "0", True, id="none allowed, but 20 are never too many"),
        pytest.param(30, 29, "100", True, id="all allowed"),
    ],
)
@pytest.mark.parametrize("sort", ["unreadable", "repeated"])
def test_a_file_with_too_many_bad_rows_is_refused(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, bad: int,
    percent: str, is_loaded: bool, sort: str,
) -> None:  # fmt: skip
    good = rows - bad
    bad_rows = [
        "x,2023-01-02 03:04:05+00,u,1,mxn,complete"
        if sort == "unreadable" or not good
        else f"1,2023-01-02 03:04:05+00,u,{n},mxn,complete"
        for n in range(bad)
    ]
    path = write(tmp_path, "a.csv", "deposits", [*good_rows("deposits", good), *bad_rows])
    monkeypatch.setenv("WAREHOUSE_BAD_ROWS_PERCENT", percent)
    get_settings.cache_clear()
    if is_loaded:
        assert load(path) == (rows, good, 0, bad)
        assert warehouse.rows("select count(*) from ops.quarantine") == [(bad,)]
    else:
        message = f"^a.csv: {bad} of {rows} rows are bad, more than {percent or 1} %"
        with pytest.raises(RefusedError, match=rf"{message}: line {rows + 2 - bad}: "):
            load(path)
        run = last_run(warehouse)
        assert (run["status"], counts(run)) == ("refused", (rows, 0, 0, bad))
        assert warehouse.rows("select 1 from ops.quarantine") == []
    assert len(warehouse.rows("select 1 from raw.deposits")) == (good if is_loaded else 0)


@pytest.mark.parametrize("value", ["many", "-1", "101", "nan"])
def test_a_wrong_setting_is_wrong_usage(shared: Warehouse, tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "a.csv", "users", ["u1"])
    done = shared.loader("snapshots", path, WAREHOUSE_BAD_ROWS_PERCENT=value)
    assert done.returncode == 2
    assert error_of(done).startswith("WAREHOUSE_BAD_ROWS_PERCENT: ")


# --- repeats -----------------------------------------------------------------------------------


def plain(identifier: int, value: str = "1.5") -> str:
    return f"{identifier},2023-01-02 03:04:05+00,u7,{value},mxn,complete"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("order", ["id first", "id last"])
@pytest.mark.parametrize(
    ("first", "repeat", "is_identical"),
    [
        pytest.param(plain(7), plain(7), True, id="the same text"),
        pytest.param(plain(7, "1.0"), plain(7, "1.00"), True, id="the same number"),
        pytest.param(plain(7, ""), plain(7, ""), True, id="both without an amount"),
        pytest.param(plain(7), plain(7).replace("03:04:05+00", "05:04:05+02"), True,
                     id="the same instant"),
        pytest.param(plain(7), plain(7).replace("u7", '"u7"'), True, id="the same, quoted"),
        pytest.param(plain(7, "1"), plain(7, "2"), False, id="another amount"),
        pytest.param(plain(7, ""), plain(7, "0"), False, id="an amount for none"),
        pytest.param(plain(7, "0"), plain(7, ""), False, id="none for an amount"),
        pytest.param(plain(7), plain(7).replace("mxn", "btc"), False, id="another currency"),
        pytest.param(plain(7), '7,2023-01-02 03:04:05+00,"u,""8""",1.5,mxn,complete', False,
                     id="another user, quoted"),
    ],
)  # fmt: skip
def test_a_repeated_key_is_a_duplicate_or_set_aside_with_its_text(
    shared: Warehouse, tmp_path: Path, first: str, repeat: str, is_identical: bool,
    end: bytes, order: str,
) -> None:  # fmt: skip
    rows = [plain(1), first, plain(2), repeat, plain(3)]
    header = HEADERS["deposits"]
    if order == "id last":
        header = header.removeprefix("id,") + ",id"
        rows = [f"{row.partition(',')[2]},{row.partition(',')[0]}" for row in rows]
    path = tmp_path / "repeats.csv"
    path.write_bytes(b"".join(row.encode() + end for row in (header, *rows)))
    assert load(path) == (5, 4, int(is_identical), int(not is_identical))
    run = last_run(shared)
    assert shared.rows(
        "select line_number, id from raw.deposits where run_id = %s order by 1", run["run_id"]
    ) == [(2, 1), (3, 7), (4, 2), (6, 3)]
    quarantined = shared.rows(
        "select line_number, reason_code, reason, raw from ops.quarantine where run_id = %s",
        run["run_id"],
    )
    reason = "its key was already seen in line 3, with other values"
    assert quarantined == ([] if is_identical else [(5, "repeated_key", reason, rows[3])])


def test_the_first_of_many_rows_with_a_key_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [plain(7, text) for text in ("NaN", "1", "2", "1.0", "2", "1")]
    assert load(write(tmp_path, "a.csv", "deposits", rows)) == (6, 1, 2, 3)
    assert warehouse.rows("select line_number, amount from raw.deposits") == [(3, Decimal(1))]
    assert warehouse.rows("select line_number from ops.quarantine order by 1") == [(2,), (4,), (6,)]


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        ("users", ["u1", "u2", "u1", '"u1"'], (4, 2, 2, 0)),
        (
            "events",
            ["1,2023-01-02 03:04:05,u,login", "1,2023-01-02 03:04:05,u,2falogin"],
            (2, 1, 0, 1),
        ),
        ("withdrawals", [*good_rows("withdrawals", 2), *good_rows("withdrawals", 2)], (4, 2, 2, 0)),
        pytest.param(
            "user_levels",
            [
                "u1,mx,1,2023-01-02 03:04:05+00",
                "u1,us,1,2023-01-02 03:04:05+00",
                "u1,mx,2,2023-01-02 03:04:06+00",
                "u2,mx,1,2023-01-02 03:04:05+00",
                "u1,mx,1,2023-01-02 05:04:05+02",
                "u1,mx,3,2023-01-02 03:04:05+00",
            ],
            (6, 4, 1, 1),
            id="user, jurisdiction and instant together",
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("shared")
def test_every_kind_knows_its_key(
    tmp_path: Path, kind: str, rows: list[str], expected: tuple[int, ...]
) -> None:
    assert load(write(tmp_path, "a.csv", kind, rows)) == expected


def test_deposits_and_withdrawals_may_share_ids(warehouse: Warehouse, tmp_path: Path) -> None:
    for kind in ("deposits", "withdrawals"):
        write(tmp_path, f"{kind}.csv", kind, good_rows(kind, 3))
    load(tmp_path)
    assert warehouse.rows("select rows_inserted from ops.runs") == [(3,), (3,)]


def test_repeats_across_a_large_file_are_found_with_their_lines(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = good_rows("deposits", 20_000)
    rows[15_000] = rows[17]
    rows[19_999] = rows[18].replace("mxn", "btc")
    assert load(write(tmp_path, "a.csv.gz", "deposits", rows)) == (20_000, 19_998, 1, 1)
    assert warehouse.rows("select line_number, raw from ops.quarantine") == [(20_001, rows[19_999])]
