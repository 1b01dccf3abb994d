"""How answers leave: the formats of `ask`, the files of `export`, and what errors say."""

import csv
import io
import json
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dashboards import answers, export
from dashboards.questions import load_questions
from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.postgres.connection import connect
from tests.conftest import BIN, Warehouse

# Marts as dbt builds them, with little in them, and two target tables with awkward values.
TABLES = """
    create table marts.reporting_settings as
    select 'UTC' as reporting_timezone, 120 as blind_after_seconds;
    create table marts.daily_active_users (activity_date date, status text, active_users bigint);
    create table marts.user_deposit_history (
        status text, user_id text, in_snapshot boolean, deposits bigint,
        first_deposit_date date, last_deposit_date date, deposit_dates date []
    );
    create table marts.user_logins (event_id bigint, user_id text, logged_in_at timestamptz);
    insert into marts.user_logins values
    (1, 'b', '2022-04-30 04:10:26+00'), (2, 'a, "quoted" ñ', '2022-04-30 04:10:26.5+00');
    create table marts.daily_currency_flows (
        flow_date date, kind text, currency text, transaction_status text,
        transactions bigint, transactions_without_amount bigint, amount numeric
    );
    insert into marts.daily_currency_flows values
    ('2022-04-30', 'deposit', 'mxn', 'complete', 1, 0, 9007199254740993.10),
    ('2022-04-30', 'deposit', 'btc', 'complete', 1, 1, null);
    create table marts.user_level_current (
        user_id text, jurisdiction text, level integer, since timestamptz
    );
    create table marts.deposits_by_level (
        jurisdiction text, level integer, currency text, status text,
        deposits bigint, amount numeric
    );
    insert into marts.deposits_by_level values ('mx', 2, 'mxn', 'complete', 3, 100);
    create table marts.book_names (book_name text, book text);
    create table marts.spread_observations (
        orderbook_timestamp timestamptz, book text, bid numeric, ask numeric,
        spread numeric, feed text, is_primary boolean
    );
    create table marts.spread_alerts (
        book text, threshold_pct numeric, opened_at timestamptz, closed_at timestamptz,
        last_observed_at timestamptz, peak_spread numeric, observations bigint, close_reason text
    );
    create view marts.spread_alerts_live as
    select *, closed_at as blind_at from marts.spread_alerts;
    create view marts.observed_books as
    select
        book, orderbook_timestamp as first_observed_at, orderbook_timestamp as last_observed_at
    from marts.spread_observations;
    create table marts.observed_exchanges (
        exchange_id text, first_observed_at timestamptz, last_observed_at timestamptz
    );
    create view marts.known_thresholds as select threshold_pct from marts.spread_alerts;
    create table marts.muted_books (
        book text, muted_from timestamptz, muted_until timestamptz
    );
    create table marts.book_thresholds (book text, threshold_pct numeric, channels text);
    create table marts.spread_histogram (
        book text, hour timestamptz, step integer, observations bigint
    );
    create table marts.book_states (book text, is_blind boolean, last_seen_at timestamptz);
    create view marts.latest_observations as
    select book, orderbook_timestamp as observed_at, feed, bid, ask, spread
    from marts.spread_observations;
    create table marts.feed_limits (
        feed text, interval_seconds numeric, blind_after_seconds integer
    );
    create table marts.watched_intervals (
        feed text, books text [], interval_seconds integer, monitored_from timestamptz,
        monitored_until timestamptz
    );
    create table marts.alert_messages (
        book text, threshold_pct numeric, opened_at timestamptz, episode_event text,
        channel text, address integer, attempts bigint, times_told bigint,
        told_at timestamptz, last_status text
    );
    create table marts.spread_hourly (
        book text, hour timestamptz, threshold_pct numeric, observations bigint,
        breaches bigint, coverage numeric
    );
    create table marts.observation_coverage (
        book text, window_start timestamptz, expected integer, observed integer,
        missing integer, longest_gap_seconds integer
    );
    create table marts.shared_markets (exchange_id text, base text, target text);
    create table marts.similar_exchanges (
        exchange_id text, exchange_name text, trust_score integer, trust_score_rank integer,
        shared_markets bigint
    );
    create table marts.exchange_volumes (
        exchange_id text, observed_at timestamptz, exchange_name text, exchange_rank integer,
        volume_usd numeric, percent_total_volume numeric, trading_pairs integer,
        has_socket boolean, exchange_url text, updated_at timestamptz
    );
    create view marts.pipeline_runs as select * from ops.runs;
    create table marts.unreadable_records (source text, reason text, records bigint);
    create view marts.pipeline_runs_by_day as
    select cast(null as date) as began_on, job, status, 1 as runs from ops.runs;

    create table target.plain (
        a integer, b text, at timestamptz, amount numeric, primary key (b, a)
    );
    insert into target.plain values
    (2, 'x', '2022-04-30 04:10:26.5+00', 1.50), (1, 'x', null, null), (1, '', null, -1e-8);
    create table target."odd name" (a integer);
    insert into target."odd name" values (2), (null), (1);
    create table target.plain__dbt_backup (a integer);
    grant select on all tables in schema marts to warehouse_reader, warehouse_exporter;
    grant select on all tables in schema target to warehouse_exporter;
"""


@pytest.fixture(scope="module")
def marts(module_warehouse: Warehouse) -> Warehouse:
    """A warehouse with hand-made marts."""
    module_warehouse.rows(TABLES)
    module_warehouse.dbt("build", "--select", "resource_type:function")
    return module_warehouse


def ask(warehouse: Warehouse, *arguments: str, **environment: str) -> Any:
    return warehouse.call("dashboards", "ask", *arguments, **environment)


def test_json_holds_exact_amounts_and_iso_instants(marts: Warehouse) -> None:
    done = ask(marts, "amount-deposited", "--format", "json")
    # 2^53 + 1 and a tenth: a float could not hold it.
    assert json.loads(done.stdout) == [{"amount": "9007199254740993.1"}]
    done = ask(marts, "last-login", "--format", "json")
    assert json.loads(done.stdout) == [
        {"user_id": 'a, "quoted" ñ', "last_login_at": "2022-04-30T04:10:26.5+00:00"},
        {"user_id": "b", "last_login_at": "2022-04-30T04:10:26+00:00"},
    ]
    assert ask(marts, "user-levels", "--format", "json").stdout == "[]\n"


def test_csv_is_quoted_and_has_a_header(marts: Warehouse) -> None:
    done = ask(marts, "last-login", "--format", "csv")
    assert done.stdout == (
        "user_id,last_login_at\n"
        '"a, ""quoted"" ñ",2022-04-30T04:10:26.5+00:00\n'
        "b,2022-04-30T04:10:26+00:00\n"
    )
    assert ask(marts, "user-levels", "--format", "csv").stdout == (
        "user_id,jurisdiction,level,since\n"
    )


def test_the_table_is_all_that_stdout_carries(marts: Warehouse) -> None:
    done = ask(marts, "average-deposit")
    assert done.returncode == 0
    assert done.stdout == (
        "+----------+-----------------------+----------+\n"
        "| currency | average_amount        | deposits |\n"
        "+----------+-----------------------+----------+\n"
        "| mxn      | 33.333333333333333333 |        3 |\n"
        "+----------+-----------------------+----------+\n"
    )


def test_questions_over_nothing(marts: Warehouse) -> None:
    """Marts that are built and empty: counts and sums are 0, lists have no rows."""
    for name, rows in {
        "active-users": [(0,)],
        "currencies-withdrawn": [(0,)],
        "users-without-deposits": [],
        "users-with-many-deposits": [],
        "user-levels": [],
    }.items():
        question = load_questions()[name]
        with answers.reading() as connection:
            assert answers.ask(connection, question, question.bind({})).rows == rows, name
    btc = ask(marts, "amount-deposited", "--currency", "btc", "--format", "csv")
    assert btc.stdout == "amount\n0\n"


def test_values_are_bound_not_pasted(marts: Warehouse) -> None:
    for value in ("x' or true --", "%(user_id)s", "%s", ":user_id", "\\'; drop table x; --"):
        done = ask(marts, "last-login", "--user-id", value, "--format", "csv")
        assert (done.returncode, done.stdout, done.stderr) == (
            2,
            "",
            "dashboards: last-login: user_id: nobody is known by that name\n",
        ), value


def test_the_session_can_only_read(marts: Warehouse) -> None:
    for statement in ("create table marts.x ()", "delete from marts.user_logins"):
        with pytest.raises(TransientError, match="read-only"), answers.reading() as connection:
            connection.cursor().execute(statement)
    with (
        pytest.raises(TerminalError, match="permission denied"),
        answers.reading() as connection,
    ):
        connection.cursor().execute("select * from target.plain")
    assert marts.rows("select count(*) from marts.user_logins") == [(2,)]


def test_a_question_that_takes_too_long_is_ended(marts: Warehouse) -> None:
    with closing(connect()) as other, other.cursor() as cursor:
        cursor.execute("lock table marts.user_logins")
        done = ask(marts, "last-login", WAREHOUSE_QUESTION_TIMEOUT_SECONDS="1")
    assert done.returncode == 75
    assert done.stderr == (
        "dashboards: no answer within 1 s: try again, or raise WAREHOUSE_QUESTION_TIMEOUT_SECONDS\n"
    )


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_a_reader_that_goes_away_gets_no_traceback(marts: Warehouse, form: str) -> None:
    with subprocess.Popen(
        [BIN / "dashboards", "ask", "last-login", "--format", form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=marts.directory,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_mart_that_is_not_built_gets_one_line(marts: Warehouse) -> None:
    marts.rows("alter table marts.user_logins rename to hidden")
    try:
        done = ask(marts, "last-login")
    finally:
        marts.rows("alter table marts.hidden rename to user_logins")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "marts.user_logins" in done.stderr
    assert "loader transform" in done.stderr


def test_a_wrong_connection_gets_one_line(marts: Warehouse) -> None:
    done = ask(marts, "last-login", WAREHOUSE_PASSWORD="wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "password authentication failed" in done.stderr


def files(directory: Path) -> dict[str, bytes]:
    """Everything below a directory, hidden files too."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_export_writes_every_table_and_question(marts: Warehouse, tmp_path: Path) -> None:
    done = marts.run("dashboards", "export", str(tmp_path / "new" / "out"))
    assert done.returncode == 0, done.stderr
    exported = files(tmp_path / "new" / "out")
    assert set(exported) == {
        "target/plain.csv", "target/odd name.csv",
        *(f"questions/{name}.csv" for name in load_questions()),
    }  # fmt: skip
    # By primary key; an empty string is not a missing value.
    assert exported["target/plain.csv"].decode() == (
        "a,b,at,amount\n"
        '1,"",,-0.00000001\n'
        "1,x,,\n"
        "2,x,2022-04-30T04:10:26.5+00:00,1.50\n"
    )  # fmt: skip
    assert exported["target/odd name.csv"] == b"a\n1\n2\n\n"
    for name, question in load_questions().items():
        asked = marts.call("dashboards", "ask", name, "--format", "csv").stdout
        assert exported[f"questions/{name}.csv"].decode() == asked, question.title
    rows = list(csv.reader(io.StringIO(exported["questions/last-login.csv"].decode())))
    assert [row[0] for row in rows] == ["user_id", 'a, "quoted" ñ', "b"]


def test_export_twice_gives_the_same_bytes(marts: Warehouse, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert marts.run("dashboards", "export", str(tmp_path / name)).returncode == 0
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_a_file_is_whole_or_not_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"old\n")

    def write_half() -> None:
        with export.whole_file(path) as out:
            out.write(b"new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert files(tmp_path) == {"table.csv": b"old\n"}


@pytest.mark.usefixtures("marts")
def test_the_files_show_one_moment(module_warehouse: Warehouse) -> None:
    """Rows that come later are not seen, and dbt cannot swap a table meanwhile.

    A table swapped in would be found by its name and look empty: its rows are too new.
    """
    with closing(connect("exporter")) as connection:
        targets = export._begin(connection)
        assert targets == ["odd name", "plain"]
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from target.plain")
            [before] = cursor.fetchall()
            module_warehouse.rows("insert into marts.user_logins values (3, 'late', now())")
            cursor.execute("select count(*) from marts.user_logins where user_id = 'late'")
            assert cursor.fetchall() == [(0,)]
        for table in ("target.plain", "marts.user_logins"):
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                module_warehouse.rows(
                    f"set lock_timeout = '100ms'; alter table {table} rename to swapped"
                )
        assert before == (3,)
    module_warehouse.rows("delete from marts.user_logins where user_id = 'late'")


def test_export_without_any_target_table_says_what_to_do(marts: Warehouse, tmp_path: Path) -> None:
    marts.rows("alter schema target rename to elsewhere; create schema target")
    try:
        done = marts.run("dashboards", "export", str(tmp_path))
    finally:
        marts.rows("drop schema target; alter schema elsewhere rename to target")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dashboards: there is no target table yet: run `loader transform` first\n"


def test_a_directory_that_cannot_be_made_gets_one_line(marts: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = marts.run("dashboards", "export", str(tmp_path / "file" / "below"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Not a directory" in done.stderr
