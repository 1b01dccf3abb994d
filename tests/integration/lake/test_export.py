"""Export then import gives the same observations, in every layout and format."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loader.lake.export import export_lake
from loader.lake.layouts import PRESETS, Format, layout_of
from loader.lake.load import import_lake
from loader.stream.account import StreamAccount
from loader.stream.seconds import Second, Stop, Why
from loader.warehouse.clock import SECOND
from loader.warehouse.errors import TransientError, UsageError
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from tests import market
from tests.conftest import Server, Warehouse

LATER = datetime(2026, 11, 10, tzinfo=UTC)
PRIMARY = (
    "select orderbook_timestamp, book, bid, ask from marts.spread_observations "
    "where is_primary order by 1, 2, 3, 4"
)


@pytest.fixture(scope="module")
def modelled(module_warehouse: Warehouse) -> Warehouse:
    """Three hours of a market, modelled."""
    module_warehouse.dbt("seed")
    market.load(module_warehouse, market.market(11))
    market.build(module_warehouse)
    return module_warehouse


@pytest.fixture
def source(modelled: Warehouse) -> Warehouse:
    modelled.activate()
    modelled.rows("delete from ops.cursors")
    return modelled


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def imported(server: Server, root: Path, name: str) -> list[Any]:
    warehouse = server.database(name, "migrated")
    list(import_lake(root))
    rows = warehouse.rows(
        "select received_at, book, bid, ask from raw.spread_observations order by 1, 2, 3, 4"
    )
    server.drop(warehouse)
    return rows


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
@pytest.mark.parametrize("layout", [*PRESETS, "minutes,hour,date,book", "year"])
def test_what_is_exported_comes_back_the_same(
    source: Warehouse, server: Server, tmp_path: Path, layout: str, file_format: Format
) -> None:
    run = export_lake(str(tmp_path), layout_of(layout), file_format, now=LATER)
    expected = source.rows(PRIMARY)
    assert (run.detail["observations"], run.detail["why"]) == (
        len(expected), "the window is not over yet",
    )  # fmt: skip
    before = digests(tmp_path)
    assert len(before) == run.detail["files"]
    since = datetime.fromisoformat(run.detail["since"])
    again = export_lake(str(tmp_path), layout_of(layout), file_format, since, now=LATER)
    assert again.detail["files"] == run.detail["files"]
    assert digests(tmp_path) == before
    name = f"lake_{layout}_{file_format}".replace(",", "_")
    assert imported(server, tmp_path, name) == expected


def test_an_export_goes_on_where_the_last_one_ended(source: Warehouse, tmp_path: Path) -> None:
    assert source
    layout = layout_of("book-date")
    half = datetime(2026, 11, 2, 0, 0, tzinfo=UTC)
    first = export_lake(str(tmp_path), layout, "csv", until=half, now=LATER)
    second = export_lake(str(tmp_path), layout, "csv", now=LATER)
    assert second.detail["since"] == half.isoformat()
    third = export_lake(str(tmp_path), layout, "csv", now=LATER)
    assert [run.detail["files"] > 0 for run in (first, second, third)] == [True, True, False]
    assert len(digests(tmp_path)) == first.detail["files"] + second.detail["files"]


def test_a_window_that_is_not_modelled_waits(source: Warehouse, tmp_path: Path) -> None:
    quote = market.market(11)[-1]
    run_id = market.load(source, [quote._replace(feed="ticker")])
    run = export_lake(str(tmp_path), layout_of("book"), "csv", now=LATER)
    assert run.detail["why"] == "raw.bitso_tickers is not modelled: run dbt"
    assert run.detail["until"] <= quote.at.isoformat()
    source.rows("delete from raw.bitso_tickers where run_id = %s", run_id)


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-11-01T00:05", None), (None, "2026-11-01T00:00:01"), ("2026-11-02", "2026-11-01"),
     ("2027-01-01", None)],
)  # fmt: skip
def test_times_that_cannot_be_are_wrong_usage(
    source: Warehouse, tmp_path: Path, since: str | None, until: str | None
) -> None:
    assert source
    start, end = (
        datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
        for text in (since, until)
    )
    with pytest.raises(UsageError):
        export_lake(str(tmp_path), layout_of("book"), "csv", start, end, now=LATER)
    assert digests(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "book,book", "colour", "book,"])
def test_a_layout_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="not a layout"):
        layout_of(text)


# ------------------------------------------------------------------ a place that has an address


def test_an_address_of_files_is_written_through_pyarrow(source: Warehouse, tmp_path: Path) -> None:
    run = export_lake(str(tmp_path / "by-name"), layout_of("date"), "csv", now=LATER)
    source.rows("delete from ops.cursors")
    root = tmp_path / "by-address"
    root.mkdir()
    # As in a bucket, nobody makes directories for an object.
    for directory in {path.parent for path in (tmp_path / "by-name").rglob("*.csv")}:
        (root / directory.relative_to(tmp_path / "by-name")).mkdir(parents=True, exist_ok=True)
    export_lake(root.as_uri(), layout_of("date"), "csv", now=LATER)
    assert digests(root) == digests(tmp_path / "by-name")
    assert len(digests(root)) == run.detail["files"]


def test_a_bucket_that_refuses_is_told_without_its_keys(source: Warehouse) -> None:
    with refusing() as server:
        address = f"s3://a-key:a-secret@bucket/lake?scheme=http&region=r&endpoint_override={server}"
        with pytest.raises(TransientError, match="cannot be written") as told:
            export_lake(address, layout_of("date"), "csv", now=LATER)
    assert "a-secret" not in str(told.value)
    assert "\n" not in str(told.value)
    # Nothing counts as exported.
    assert not source.rows("select 1 from ops.cursors")


@pytest.mark.parametrize("address", ["s3://a-key:a-secret@", "nonsense://a-secret/path"])
def test_an_address_that_is_none_is_wrong_usage(source: Warehouse, address: str) -> None:
    with pytest.raises(UsageError, match="--to is not an address") as told:
        export_lake(address, layout_of("date"), "csv", now=LATER)
    assert "a-secret" not in str(told.value)
    assert not source.rows("select 1 from ops.cursors")


@contextmanager
def refusing() -> Iterator[str]:
    """Where a server takes no object."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


# ------------------------------------------------------------ seconds that are still in a spool


@contextmanager
def stream_seen_until(warehouse: Warehouse, until: datetime) -> Iterator[StreamAccount]:
    """A stream whose last second in Postgres is that, and what it does next; it is forgotten."""
    books = ("btc_mxn",)
    first = Second.missed(until - SECOND, until, books, Why("starting"))
    with (
        closing(connect("loader")) as connection,
        single_flight(connection, "stream", keeps_rows=True),
    ):
        account = StreamAccount(connection)
        account.write([first])
        yield account
    for table in ("gaps", "monitored", "monitored_time"):
        warehouse.rows(f"delete from ops.{table} where feed = 'stream'")
    warehouse.rows("delete from ops.runs where job = 'stream'")


def test_seconds_that_may_be_in_a_spool_are_waited_for_however_long(
    source: Warehouse, tmp_path: Path
) -> None:
    seen = datetime(2026, 11, 1, 23, 47, 12, tzinfo=UTC)
    layout = layout_of("book")

    def exported() -> tuple[str, str]:
        run = export_lake(str(tmp_path), layout, "csv", now=LATER)
        return run.detail["until"], run.detail["why"]

    waits = (
        "2026-11-01T23:40:00+00:00",
        "the stream has no seconds after 2026-11-01T23:47:12+00:00 yet: is it running?",
    )
    is_over = (LATER.isoformat(), "the window is not over yet")
    with stream_seen_until(source, seen) as account:
        assert exported() == waits
        # Killed: nothing says whether its spool is empty.
        source.rows("update ops.runs set started_at = '2026-11-01' where job = 'stream'")
        assert exported() == waits
        # It ends on purpose: all that it saw is here.
        account.write([Stop(seen)])
        assert exported() == is_over
        source.rows("delete from ops.cursors")
        # Another one begins, and has not written yet.
        account.reread()
        assert exported() == waits
