"""Every market job through every fault of the exchange: a true ledger, and nothing half done."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pytest
from psycopg2.extensions import cursor as Cursor

from loader.market import jobs as market_load
from loader.market.coingecko import Listing
from loader.warehouse.errors import TerminalError, TransientError, WarehouseError
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse
from tests.exchange.coincap import KEY
from tests.exchange.coingecko import DEMO_KEY
from tests.exchange.market import BOOKS
from tests.exchange.matrix import CASES, Case
from tests.exchange.rig import SOURCES, SourcesRig, collect
from tests.exchange.server import Simulator

FAILURES: dict[str, type[WarehouseError]] = {
    "transient": TransientError,
    "terminal": TerminalError,
    "not found": TerminalError,
}


class SourceJob(NamedTuple):
    """A job that asks a source, and what its ledger calls that part of its work."""

    load: Callable[[], Iterator[LedgerRun]]
    item: str
    table: str
    key: str


JOBS = {
    "ticker": SourceJob(
        lambda: market_load.load_tickers(["btc_mxn"]), "btc_mxn", "bitso_tickers", "book"
    ),
    "all_tickers": SourceJob(
        lambda: market_load.load_tickers(BOOKS), "all books", "bitso_tickers", "book"
    ),
    "order_book": SourceJob(
        lambda: market_load.load_order_books(["btc_mxn"]), "btc_mxn", "bitso_order_books", "book"
    ),
    "books": SourceJob(market_load.load_books, "listing", "bitso_books", "book"),
    "exchanges": SourceJob(
        market_load.load_exchanges, "exchanges", "coingecko_exchanges", "exchange_id"
    ),
    "exchange_tickers": SourceJob(
        market_load.load_exchanges, "exchange bitso", "coingecko_tickers", "exchange_id"
    ),
    "coin_tickers": SourceJob(
        market_load.load_exchanges, "coin bitcoin", "coingecko_tickers", "exchange_id"
    ),
    "exchange_volumes": SourceJob(
        market_load.load_exchange_volumes, "exchanges", "coincap_exchanges", "exchange_id"
    ),
}


@pytest.fixture(scope="module")
def simulator(simulators: Simulator) -> Simulator:
    # Bitso is the twentieth; the suite should not take ten times as long for the others.
    del simulators.coingecko.exchange_ids[30:]
    return simulators


@pytest.fixture(scope="module")
def cursor(module_warehouse: Warehouse) -> Iterator[Cursor]:
    """A look at the warehouse from outside."""
    module_warehouse.activate()
    with closing(connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        yield cursor


@pytest.fixture(scope="module")
def good(simulator: Simulator, module_warehouse: Warehouse) -> dict[str, Counter[str]]:
    """The keys that each source brings when nothing is wrong; the listing of books is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        use(SourcesRig(simulator), patch)
        [_] = market_load.load_books()
    assert module_warehouse.rows("select count(*) from raw.bitso_books") == [(len(BOOKS),)]
    found = {}
    for source in SOURCES:
        records, bad = collect(source, SourcesRig(simulator))
        assert not bad
        found[source] = Counter(record.key for record in records)
    return found


def use(rig: SourcesRig, patch: pytest.MonkeyPatch) -> None:
    """Send the jobs to a simulator, where waiting takes no time; one coin stands for all."""
    patch.setattr(market_load, "open_bitso", lambda: rig.bitso)
    patch.setattr(market_load, "open_coingecko", rig.coingecko)
    patch.setattr(market_load, "open_coincap", rig.coincap)
    patch.setattr(market_load, "coin_listings", lambda _: [Listing("coin", "bitcoin")])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_job_comes_through_a_fault(
    cursor: Cursor,
    simulator: Simulator,
    good: dict[str, Counter[str]],
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = SOURCES[case.source].path
    rig = SourcesRig(simulator, 2, path) if case.takes_time else SourcesRig(simulator)
    use(rig, monkeypatch)
    job = JOBS[case.source]
    last_run = newest_run(cursor)
    cursor.execute("truncate ops.cursors")
    error: WarehouseError | None = None
    with simulator.faults.during(case.fault, path, times=case.times, argument=case.argument):
        try:
            for _ in job.load():
                pass
        except WarehouseError as raised:
            error = raised
    runs = check_ledger(cursor, last_run)
    mine = [run for run in runs if run["detail"].get("items") == [job.item]]
    assert len(mine) == 1
    [run] = mine
    expected = good[case.source]
    if case.outcome in FAILURES:
        assert error is not None
        assert type(error) is FAILURES[case.outcome]
        assert run["status"] == "failed"
        assert run["error"]
        assert run["rows"] == Counter()
        others = {other["status"] for other in runs if other is not run}
        if case.label != "429":  # after which the source is left alone for an hour
            assert others <= {"succeeded"}
        return
    if case.code and not run["rows"]:
        # Nothing of the reply could be read: it is kept, and asked for again.
        assert (type(error), run["status"]) == (TerminalError, "failed")
        assert run["codes"] == [case.code]
        cursor.execute("select count(*) from ops.cursors where item = %s", (job.item,))
        assert cursor.fetchall() == [(0,)]
        return
    assert error is None
    assert run["status"] == "succeeded"
    if case.outcome == "stored":
        assert run["rows"] == expected
        assert run["counts"] == (
            expected.total() + (case.fault == "repeated"),
            expected.total(),
            int(case.fault == "repeated"),
            0,
        )
    else:
        assert run["codes"] == [case.code]
        assert run["rows"] < expected
        if case.code != "wrong_shape":
            assert run["rows"].total() == expected.total() - 1


def newest_run(cursor: Cursor) -> int:
    cursor.execute("select coalesce(max(run_id), 0) from ops.runs")
    [(run_id,)] = cursor.fetchall()
    return int(run_id)


def check_ledger(cursor: Cursor, after: int) -> list[dict[str, Any]]:
    """The runs since; what they say they did is what is there, and no secret is in it."""
    rows: dict[int, Counter[str]] = defaultdict(Counter)
    bad: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    tables = {job.table: job.key for job in JOBS.values()}
    union = " union all ".join(f"select run_id, {k} from raw.{t}" for t, k in tables.items())
    cursor.execute(f"select * from ({union}) as rows (run_id, key) where run_id > %s", (after,))
    for run_id, key in cursor:
        rows[run_id][key] += 1
    cursor.execute(
        "select run_id, reason_code, reason, raw from ops.quarantine where run_id > %s", (after,)
    )
    for run_id, *what in cursor:
        bad[run_id].append(tuple(what))
    cursor.execute(
        "select run_id, status, error, detail, "
        "rows_read, rows_inserted, rows_duplicate, rows_quarantined "
        "from ops.runs where run_id > %s order by run_id",
        (after,),
    )
    runs = []
    for run_id, status, error, detail, *counts in cursor:
        assert status in ("succeeded", "failed")
        if status == "succeeded":
            assert counts[0] == sum(counts[1:])
            assert (rows[run_id].total(), len(bad[run_id])) == (counts[1], counts[3])
        else:
            assert (rows[run_id].total(), counts[1]) == (0, 0)
            assert len(bad[run_id]) in (0, counts[3])
        said = f"{error} {detail} {bad[run_id]}"
        assert not any(secret in said for secret in (KEY, DEMO_KEY))
        runs.append({
            "status": status, "error": error, "detail": detail, "rows": rows[run_id],
            "counts": tuple(counts), "codes": [code for code, *_ in bad[run_id]],
        })  # fmt: skip
    return runs


@pytest.mark.parametrize("source", JOBS)
def test_after_a_failure_the_next_run_brings_everything(
    cursor: Cursor,
    simulator: Simulator,
    good: dict[str, Counter[str]],
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(SourcesRig(simulator), monkeypatch)
    job = JOBS[source]
    cursor.execute("truncate ops.cursors")
    with simulator.refusing(), suppress(TransientError):
        for _ in job.load():
            pass
    last_run = newest_run(cursor)
    assert sum(run.rows_inserted for run in job.load()) >= good[source].total()
    runs = check_ledger(cursor, last_run)
    assert good[source] in [run["rows"] for run in runs]
