"""The family of formats: the same rows in each, whole or the first of them, in bounded memory."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dashboards.cli import FORMATS
from dashboards.questions import load_questions
from tests.conftest import BIN, Warehouse

# One value of each kind that Postgres has, and rows with none of it.
KINDS = """
select
    n, n % 2 = 0 as flag, cast(n as numeric) / 3 as amount, date '2022-04-30' as day,
    timestamptz '2022-04-30 04:10:26.5+00' as at, cast(n as float8) / 4 as ratio,
    'ñ, "' || n as name, jsonb '{"a": 1.10}' as object, array[n] as list, interval '1 day' as span,
    nullif(n, n) as none, '' as empty
from generate_series(1, 3) as n
"""
AMOUNTS = ["0.33333333333333333333", "0.66666666666666666667", "1.00000000000000000000"]


def sql(warehouse: Warehouse, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warehouse.call("dashboards", "sql", *arguments)


def written(warehouse: Warehouse, path: Path, *command: str) -> None:
    """What a command writes, as it is."""
    with path.open("wb") as out:
        subprocess.run([BIN / "dashboards", *command], stdout=out, cwd=warehouse.directory,
                       check=True, stderr=subprocess.DEVNULL)  # fmt: skip


def test_json_lines_and_parquet_hold_the_same_values(sampled: Warehouse, tmp_path: Path) -> None:
    rows = json.loads(sql(sampled, KINDS, "--format", "json").stdout)
    assert rows[1] == {
        "n": 2, "flag": True, "amount": AMOUNTS[1], "day": "2022-04-30",
        "at": "2022-04-30T04:10:26.5+00:00", "ratio": "0.5", "name": 'ñ, "2',
        "object": '{"a": 1.10}', "list": "{2}", "span": "1 day", "none": None, "empty": "",
    }  # fmt: skip
    lines = sql(sampled, KINDS, "--format", "jsonl").stdout.splitlines()
    assert list(map(json.loads, lines)) == rows
    written(sampled, tmp_path / "kinds", "sql", KINDS, "--format", "parquet")
    table = pq.read_table(tmp_path / "kinds")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types == {
        "n": "int64", "flag": "bool", "amount": "string", "day": "date32[day]",
        "at": "timestamp[us, tz=UTC]", "ratio": "double", "name": "string", "object": "string",
        "list": "string", "span": "string", "none": "int64", "empty": "string",
    }  # fmt: skip
    [_, second, _] = table.to_pylist()
    assert second == rows[1] | {
        "day": date(2022, 4, 30), "ratio": 0.5,
        "at": datetime(2022, 4, 30, 4, 10, 26, 500_000, tzinfo=UTC),
    }  # fmt: skip
    text = sql(sampled, KINDS, "--format", "csv").stdout
    in_csv = list(csv.DictReader(io.StringIO(text)))
    assert [row["amount"] for row in in_csv] == AMOUNTS
    assert [row["at"] for row in in_csv] == [rows[0]["at"]] * 3


@pytest.mark.parametrize("name", load_questions())
def test_each_question_has_the_same_rows_in_each_format(sampled: Warehouse, name: str) -> None:
    def asked(form: str) -> str:
        done = sampled.call("dashboards", "ask", name, "--format", form, "--limit", "50")
        assert done.returncode == 0, done.stderr
        return done.stdout

    if name == "spread-now":
        # How old it is differs from one moment to the next.
        return
    rows = json.loads(asked("json"))
    assert [json.loads(line) for line in asked("jsonl").splitlines()] == rows
    in_csv = list(csv.DictReader(io.StringIO(asked("csv"))))
    flags = {True: "t", False: "f", None: ""}
    assert in_csv == [
        {key: flags[value] if isinstance(value, bool | None) else str(value)
         for key, value in row.items()} for row in rows
    ]  # fmt: skip
    assert asked("table").count("\n") == len(rows) + 3 + bool(rows)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "parquet"])
def test_what_a_limit_leaves_out_is_said(sampled: Warehouse, form: str) -> None:
    query = "select n from generate_series(1, 1234) as n order by n desc"
    done = sql(sampled, query, "--limit", "4", "--format", form)
    assert done.returncode == 0
    assert done.stderr == "the first 4 rows; 1,230 more\n"
    assert "1234" in done.stdout
    assert "1230" not in done.stdout
    assert sql(sampled, query, "--limit", "1234", "--format", form).stderr == ""
    whole = sampled.call("dashboards", "ask", "last-login", "--format", "csv").stdout
    done = sampled.call("dashboards", "ask", "last-login", "--format", form, "--limit", "2")
    assert f"the first 2 rows; {whole.count(chr(10)) - 3} more\n" in done.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_a_limit_is_a_number_of_rows(sampled: Warehouse, limit: str) -> None:
    done = sampled.call("dashboards", "ask", "last-login", "--limit", limit)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("command", [("sql", "select 1"), ("ask", "last-login")])
def test_parquet_is_not_for_a_terminal(sampled: Warehouse, command: tuple[str, ...]) -> None:
    mine, its = os.openpty()
    try:
        done = subprocess.run(
            [BIN / "dashboards", *command, "--format", "parquet"], stdout=its, check=False,
            stderr=subprocess.PIPE, text=True, cwd=sampled.directory,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith("dashboards: parquet is nothing for a terminal")
    finally:
        os.close(its)
        os.close(mine)


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"])
@pytest.mark.parametrize("kind", ["date", "timestamptz"])
def test_a_time_that_parquet_cannot_hold_is_named(
    sampled: Warehouse, kind: str, value: str
) -> None:
    query = f"select {kind} '{value}' as \"when\""
    done = subprocess.run(
        [BIN / "dashboards", "sql", query, "--format", "parquet"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"parquet cannot hold" in done.stderr
    assert b"in the column when" in done.stderr
    # What it had begun is not taken for a file.
    assert not done.stdout.endswith(b"PAR1") or len(done.stdout) == 4
    in_json = json.loads(sql(sampled, query, "--format", "json").stdout)
    in_csv = sql(sampled, query, "--format", "csv").stdout
    assert in_csv == f"when\n{in_json[0]['when']}\n"


@pytest.mark.parametrize("form", FORMATS)
def test_two_columns_of_a_name(sampled: Warehouse, form: str) -> None:
    done = sampled.run("dashboards", "sql", "select 1 as a, now() as a", "--format", form)
    if form in ("table", "csv"):
        assert done.returncode == 0
        assert done.stdout.count("a") == 2
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot hold two columns 'a'" in done.stderr


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
def test_a_long_answer_takes_no_more_memory_than_a_short_one(sampled: Warehouse, form: str) -> None:
    sampled.activate()

    def most_kib(rows: int) -> int:
        query = f"select n, repeat('x', 200) as text from generate_series(1, {rows}) as n"
        code = (
            "import resource, subprocess, sys; "
            "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); "
            "sys.exit(done.returncode)"
        )
        command = [str(BIN / "dashboards"), "sql", query, "--format", form]
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    # Held in memory, they would be 60 MB and more.
    assert most_kib(200_000) - most_kib(20_000) < 15_000


def test_all_questions_are_answered_in_one_go(sampled: Warehouse) -> None:
    done = sampled.call("dashboards", "ask", "--all", "2")
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split("\n\n")
    assert [answer.strip().split(":")[0] for answer in answers] == list(load_questions())
    # A rule, the names, a rule, at most two rows, a rule.
    assert max(len(answer.strip().splitlines()) for answer in answers) == 1 + 6
