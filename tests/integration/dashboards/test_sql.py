"""`dashboards sql`: one query of marts that changes nothing, whatever is typed."""

import pytest

from tests.conftest import Warehouse
from tests.hostile import TEXTS


def sql(warehouse: Warehouse, query: str, *arguments: str) -> tuple[int, str, str]:
    done = warehouse.call("dashboards", "sql", query, *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "query",
    [
        "select 1 as one", "select 1 as one;", " select 1 as one ; \n;", "values (1)",
        "with x as (select 1 as one) select * from x", "select 1 as one -- the last line",
        "/* ; */ select 1 as one", "table marts.spread_alerts",
        "select '%s' as x, '%%' as y, ':a' as z",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_query_is_answered(sampled: Warehouse, query: str, form: str) -> None:
    code, out, err = sql(sampled, query, "--format", form)
    assert (code, err) == (0, ""), (out, err)
    assert out


def test_no_rows_are_said(sampled: Warehouse) -> None:
    assert sql(sampled, "select 1 as one where false", "--format", "csv") == (
        0, "one\n", "no rows\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("selec 1", 2, 'sql: syntax error at or near "selec"'),
        ("", 2, "one query is wanted"),
        ("/* nothing */", 2, "one query is wanted"),
        ("select 1; select 2", 2, "one query is wanted"),
        ("select 1) as answer; drop table raw.users; select * from (select 2", 2, "syntax error"),
        ("select 1; reset role; select 2", 2, "one query is wanted"),
        ("reset role", 2, "one query is wanted"),
        ("set statement_timeout = 0", 2, "one query is wanted"),
        ("commit", 2, "one query is wanted"),
        ("copy (select 1) to '/tmp/x'", 2, "one query is wanted"),
        ("explain select 1", 2, "one query is wanted"),
        ("select 1 into temp x", 2, "one query is wanted"),
        ("delete from marts.spread_alerts returning 1", 2, "one query is wanted"),
        ("insert into marts.spread_alerts default values", 2, "one query is wanted"),
        ("with x as (delete from marts.spread_alerts returning 1) select * from x", 1, ""),
        ("create table marts.x ()", 2, "one query is wanted"),
        ("select nextval('raw.snapshots_snapshot_id_seq')", 1, ""),
        ("select * from raw.users", 1, "sql: permission denied"),
        ("select * from target.users", 1, "sql: permission denied"),
        ("select * from ops.runs", 1, "sql: permission denied"),
        ("select * from marts.nothing", 1, 'sql: relation "marts.nothing" does not exist'),
        ("select nothing from marts.spread_alerts", 1, 'sql: column "nothing" does not exist'),
        ("select 1 / 0", 1, "division by zero"),
    ],
)
def test_anything_else_is_refused_in_one_line(
    sampled: Warehouse, query: str, code: int, said: str
) -> None:
    alerts = sampled.rows("select count(*) from marts.spread_alerts")
    for form in ("table", "csv"):
        found, out, err = sql(sampled, query, "--format", form)
        assert (found, out, err.count("\n")) == (code, "", 1), err
        assert said in err
        # It is the query that is wrong, not what stands in the warehouse.
        assert "loader init" not in err
    assert sampled.rows("select count(*) from marts.spread_alerts") == alerts
    assert sampled.rows("select to_regclass('marts.x'), to_regclass('raw.users')") != [(None, None)]


def test_a_query_that_takes_too_long_is_ended(sampled: Warehouse) -> None:
    done = sampled.call(
        "dashboards", "sql", "select pg_sleep(600)", WAREHOUSE_QUESTION_TIMEOUT_SECONDS="1"
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    assert "no answer within 1 s" in done.stderr


def test_whatever_is_typed_gets_one_line(sampled: Warehouse) -> None:
    for text in TEXTS:
        code, _, err = sql(sampled, text)
        assert (code, err.count("\n")) == (2, 1), (text, err)
