"""`loader report`, the inbox, and the models with their tests: what cron runs beside the loads."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from loader.alerts.report import report
from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import PROJECT_ROOT, get_settings
from tests.conftest import Warehouse
from tests.market import Quote, build, load, watch
from tests.receiver import Receiver, receiver

HOUR = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = HOUR + timedelta(minutes=70)


def quote(minute: int, spread: str, book: str = "btc_mxn") -> Quote:
    ask = Decimal(100)
    return Quote(
        book, HOUR + timedelta(minutes=minute), "ticker", ask - Decimal(spread) * ask / 100, ask
    )


@pytest.fixture(scope="module")
def watched(module_warehouse: Warehouse) -> Warehouse:
    """An hour of one book in four of its six intervals, a quote before it and one after it."""
    spreads = {-1: "9", 0: "0.05", 10: "0.3", 20: "0.7", 30: "0.1", 60: "9"}
    load(module_warehouse, [quote(minute, spread) for minute, spread in spreads.items()])
    load(module_warehouse, [quote(5, "0.2", "eth_mxn")])
    every = timedelta(minutes=10)
    hour = HOUR + timedelta(hours=1)
    watch(module_warehouse, Watch("ticker", every, ("btc_mxn",), HOUR, hour, is_recorded=True))
    module_warehouse.dbt("seed")
    build(module_warehouse)
    return module_warehouse


@pytest.fixture
def told(watched: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of reports, at two addresses."""
    watched.rows("delete from ops.cursors where job = 'report'")
    with receiver() as heard:
        addresses = f'["{heard.address("/one")}", "{heard.address("/two")}"]'
        monkeypatch.setenv("WAREHOUSE_ALERT_CHANNELS", f'{{"report": {addresses}}}')
        get_settings.cache_clear()
        yield heard
    monkeypatch.undo()
    get_settings.cache_clear()


TEXT = """\
Spreads from 2026-01-05 12:00 to 13:00 UTC
btc_mxn: 2 above 0.1 %, 1 above 0.5 %, 0 above 1 % (4 observations, 66.6 % of those expected)
eth_mxn: 1 above 0.1 %, 0 above 0.5 %, 0 above 1 % (1 observation, coverage not known)
usd_mxn: not observed"""


def test_the_report_tells_breaches_and_what_nobody_saw(watched: Warehouse) -> None:
    watched.activate()
    run, text = report(NOW)
    assert text == TEXT
    assert run.detail == {"hour": HOUR.isoformat(), "sent": 0, "failed": 0}
    _, text = report(NOW + timedelta(hours=5))
    assert text.splitlines()[1:] == ["btc_mxn: not observed", "usd_mxn: not observed"]


def test_the_report_is_sent_once_to_each_address(watched: Warehouse, told: Receiver) -> None:
    told.statuses["/two"] = 500
    run, _ = report(NOW)
    assert (run.detail["sent"], run.detail["failed"]) == (1, 1)
    told.statuses.clear()
    for sent in (1, 0):
        run, _ = report(NOW)
        assert (run.detail["sent"], run.detail["failed"]) == (sent, 0)
    assert [message.path for message in told.received] == ["/one", "/two", "/two"]
    body = told.received[0].body
    assert (body["title"], body["event"], body["breaches"]) == (
        "Spreads from 2026-01-05 12:00 to 13:00 UTC", "report", "4",
    )  # fmt: skip
    assert body["message"] == "\n".join(TEXT.splitlines()[1:])
    assert report(NOW + timedelta(hours=1))[0].detail["sent"] == 2
    assert {status for (status,) in watched.rows(
        "select status from ops.runs where job = 'report'")} == {"succeeded"}  # fmt: skip


def test_an_address_that_is_not_reached_is_worth_another_try(watched: Warehouse) -> None:
    channels = '{"report": "json://127.0.0.1:9/secret"}'
    done = watched.loader("report", WAREHOUSE_ALERT_CHANNELS=channels)
    assert (done.returncode, done.stderr) == (
        75, "loader: the report did not reach 1 of its addresses\n",
    )  # fmt: skip


# -------------------------------------------------------------------- inbox


def test_the_inbox_is_loaded_and_may_be_empty(warehouse: Warehouse, tmp_path: Path) -> None:
    done = warehouse.loader(
        "snapshots", WAREHOUSE_INBOX=str(tmp_path), WAREHOUSE_INBOX_REST_SECONDS="0"
    )
    assert done.returncode == 0
    assert done.stdout == (
        f"snapshots: {tmp_path} holds no .csv file, nor a packed one (.csv.gz, "
        ".csv.zip, .csv.zst), nothing to do\n"
    )
    sample = PROJECT_ROOT / "seeds" / "sample" / "users.csv"
    (tmp_path / "users.csv").write_bytes(sample.read_bytes())
    for said in ("600 rows loaded", "nothing to do"):
        done = warehouse.loader(
            "snapshots", WAREHOUSE_INBOX=str(tmp_path), WAREHOUSE_INBOX_REST_SECONDS="0"
        )
        assert done.returncode == 0
        assert said in done.stdout
    statuses = warehouse.rows("select status from ops.runs order by run_id")
    assert statuses == [("unchanged",), ("succeeded",), ("unchanged",)]


@pytest.mark.parametrize(
    ("arguments", "inbox", "said"),
    [
        ([], "", "set WAREHOUSE_INBOX"),
        ([], "/nowhere", "/nowhere: no such file or directory"),
        (["--allow-shrink"], "/nowhere", "--allow-shrink needs the name of a file"),
    ],
)
def test_an_inbox_that_is_none(
    warehouse: Warehouse, arguments: list[str], inbox: str, said: str
) -> None:
    done = warehouse.call("loader", "snapshots", *arguments, WAREHOUSE_INBOX=inbox)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ------------------------------------------------------------------- models


def test_the_nightly_build_tests_as_well(watched: Warehouse) -> None:
    """A minute that was to be watched, of which there is neither an observation nor a gap."""
    watched.activate()
    watched.rows(
        "with run as (insert into ops.runs (job, finished_at, status) "
        "values ('stream', now(), 'succeeded') returning run_id) "
        "insert into ops.monitored select run_id, '{btc_mxn}', %s, %s from run",
        HOUR, HOUR + timedelta(minutes=1),
    )  # fmt: skip
    watched.transform()
    done = watched.loader("transform", "--tests")
    assert done.returncode == 1
    begun = re.match(r"dbt: (\d+) models and tests to run\n", done.stderr)
    assert begun, done.stderr
    assert int(begun[1]) > 100
    assert re.fullmatch(
        r"loader: dbt: Failure in test \w*observ\w* .*: Got \d+ results?, .*",
        done.stderr.splitlines()[-1],
    )
    assert watched.rows("select status from ops.runs where job = 'transform with tests'") == [
        ("failed",)
    ]


def test_one_dbt_at_a_time(watched: Warehouse) -> None:
    watched.activate()
    with closing(connect("loader")) as other, single_flight(other, "transform"):
        done = watched.loader("transform", "--tests")
    assert done.returncode == 75
    assert "another transform run is at work" in done.stderr
