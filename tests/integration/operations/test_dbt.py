"""dbt as a child of ours: it does not outlive its parent, and its sessions are ours."""

import re
import signal
import subprocess
import sys
from contextlib import closing
from typing import Any

import psutil
import psycopg2
import pytest

from loader.operations.dbt import run_dbt
from loader.operations.dbt_session import DbtConnection, split_state
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import SESSION, connect
from tests.conftest import Warehouse
from tests.waiting import LAST_RESORT_SECONDS, wait_for, wait_for_lock

OURS = "select query from pg_stat_activity where application_name = 'dbt' and datname = %s"


def test_it_ends_with_a_parent_that_is_killed(warehouse: Warehouse) -> None:
    """In the middle of a statement, which Postgres is told to give up."""
    code = (
        "from loader.operations.dbt import run_dbt; "
        "run_dbt('run', '--select', '+stg_snapshots__users')"
    )
    with closing(connect()) as holder, holder.cursor() as cursor:
        cursor.execute("lock table raw.users")
        parent = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_lock(warehouse, "users")
        [dbt] = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        gone, _ = psutil.wait_procs([dbt], timeout=LAST_RESORT_SECONDS)
        assert gone
        wait_for(lambda: warehouse.rows(OURS, warehouse.where.db) == [], "no session of dbt's")


def test_an_error_says_its_sqlstate(warehouse: Warehouse) -> None:
    where = warehouse.where
    options: dict[str, Any] = {
        "host": where.host,
        "user": where.user,
        "dbname": where.db,
        "connection_factory": DbtConnection,
    }
    with (
        closing(
            psycopg2.connect(**options, port=where.port, password=where.password)
        ) as connection,
        connection.cursor() as cursor,
    ):
        for name, value in SESSION.items():
            cursor.execute("select current_setting(%s)", (name,))
            [(found,)] = cursor.fetchall()
            assert found.lower().startswith(value.lower())
        with pytest.raises(psycopg2.errors.UndefinedTable) as info:
            cursor.execute("select *\nfrom nowhere")
        first, *others = str(info.value).splitlines()
        assert split_state(first) == ('relation "nowhere" does not exist', "42P01")
        assert others[0].startswith("LINE 2:")
    for wrong, state in (
        ({"port": 9, "password": ""}, "08006"),
        ({"port": where.port, "password": "wrong"}, "28000"),
    ):
        with pytest.raises(psycopg2.OperationalError) as failed:
            psycopg2.connect(**{**options, **wrong})
        assert split_state(str(failed.value).splitlines()[0])[1] == state
    assert split_state("Compilation Error in model x: [no state]")[1] == ""


def test_it_tells_its_progress_in_a_few_lines(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dbt("run", "--select", "staging")
    told = capsys.readouterr().err.splitlines()
    total = int(told[0].split()[1])
    assert told[0] == f"dbt: {total} models and tests to run"
    assert [line.split()[3] for line in told[1:-1]] == [str(total)] * 3
    # With the hooks.
    assert re.match(r"Done\. PASS=\d+ WARN=0 ERROR=0 SKIP=0 ", told[-1])
    in_its_log = (warehouse.directory / "dbt_logs" / "dbt.log").read_text()
    # Between the parts of a line stand colours.
    assert in_its_log.count("START") >= total


def test_a_threshold_of_a_book_that_nobody_knows_is_told_with_the_nearest(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dbt("build", "--select", "+book_names", "spread_thresholds", "--exclude-resource-type",
            "test", "unit_test")  # fmt: skip
    warehouse.rows(
        "insert into reference.spread_thresholds (book, threshold_pct, channel) select book, 1, "
        "'default' from unnest(array['btcmxn', 'USD_MXM', 'zzz', 'BTC_MXN', 'mxn_btc']) as book"
    )
    # No book is known yet: nobody can tell which are none.
    run_dbt("run", "--select", "book_names")
    assert "WARNING" not in capsys.readouterr().err
    warehouse.rows("insert into target.books (book) values ('btc_mxn'), ('usd_mxn')")
    run_dbt("run", "--select", "book_names")
    told = capsys.readouterr().err
    said = re.findall(r"spread_thresholds\.csv: (\w+) is no book that is known, .* opens(.*)", told)
    assert said == [
        ("btcmxn", ": did you mean btc_mxn?"), ("usd_mxm", ": did you mean usd_mxn?"), ("zzz", ""),
    ]  # fmt: skip


def test_a_failure_is_told_whole_with_the_name_of_the_model(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.rows("alter table raw.users rename column user_id to another")
    with pytest.raises(TerminalError, match="stg_snapshots__users"):
        run_dbt("run", "--select", "+stg_snapshots__users")
    told = capsys.readouterr().err
    assert "Database Error in model stg_snapshots__users" in told
    # What stands below it, to its last line.
    assert 'column "user_id" does not exist' in told
    assert "compiled code at" in told
    assert "Done. PASS=" in told
    assert "START" not in told
    assert str(warehouse.directory / "dbt_logs" / "dbt.log") in told


def test_all_of_its_lines_are_told_where_somebody_wants_them(warehouse: Warehouse) -> None:
    done = warehouse.loader("-v", "transform")
    assert done.returncode == 0, done.stderr
    assert " START sql view model" in done.stderr
    assert "connected to " in done.stderr
    quiet = warehouse.loader("-q", "transform", "--since", "2026-01-01", "--until", "2026-01-02")
    assert (quiet.returncode, quiet.stderr) == (0, "")
