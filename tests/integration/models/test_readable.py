"""What raw takes, the models hold: every field of every source, with every odd value."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.market import coincap, coingecko
from loader.snapshots.grammar import KINDS
from loader.stream.account import JOB, StreamAccount
from loader.stream.frames import BadFrame, read_frame, read_snapshot
from loader.stream.order_book import Diff
from loader.stream.seconds import Second, Stop, Why
from loader.stream.tracked_book import TrackedBook
from loader.warehouse.clock import SECOND
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from loader.warehouse.text import is_storable
from loader.warehouse.values import BadValueError
from loader.wire.json_text import read_json
from loader.wire.records import ReadValue
from tests.conftest import Warehouse
from tests.market_files import record
from tests.odd_records import (
    FRAME,
    LAKE_ROW,
    NOON,
    SNAPSHOT,
    as_csv,
    odd_lake_rows,
    odd_records,
    odd_snapshot_rows,
    variants,
)
from tests.snapshot_files import HEADERS
from tests.staged import assert_all_modelled

BUILD = ("build", "--exclude", "resource_type:unit_test")


class Fed(NamedTuple):
    """A warehouse that was given everything, and how much by source."""

    warehouse: Warehouse
    given: Counter[str]


@pytest.fixture(scope="module")
def fed(module_warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Fed:
    """Everything through the loader, then one build with its tests."""
    warehouse, directory = module_warehouse, tmp_path_factory.mktemp("odd")
    warehouse.activate()
    given: Counter[str] = Counter()
    given += feed_replies(warehouse, directory / "replies")
    given += feed_stream()
    given += feed_lake(warehouse, directory / "lake")
    given += feed_snapshots(warehouse, directory / "snapshots")
    warehouse.dbt(*BUILD)
    return Fed(warehouse, given)


def feed_replies(warehouse: Warehouse, directory: Path) -> Counter[str]:
    """The JSON sources."""
    directory.mkdir()
    by_source: dict[str, list[Any]] = {}
    for odd in odd_records():
        by_source.setdefault(odd.source, []).append(odd.body)
    for source, bodies in by_source.items():
        record(directory / f"{source}.jsonl", bodies)
    done = warehouse.call("loader", "replay", directory)
    assert done.returncode == 0, done.stderr
    return Counter({source: len(bodies) for source, bodies in by_source.items()})


def feed_stream() -> Counter[str]:
    """Frames and snapshots, through what the daemon reads them with, a second each."""
    good_frame, good_snapshot = json.dumps(FRAME), json.dumps(SNAPSHOT)
    messages = [
        *((good_snapshot, frame) for _, frame in variants(FRAME)),
        *((snapshot, good_frame) for _, snapshot in variants(SNAPSHOT)),
    ]
    start = NOON + timedelta(days=1)
    with (
        closing(connect("loader")) as connection,
        single_flight(connection, JOB, keeps_rows=True),
    ):
        account = StreamAccount(connection)
        account.write(
            watched(start + number * SECOND, *each) for number, each in enumerate(messages)
        )
        account.write([Stop(start + len(messages) * SECOND)])
    return Counter({"stream": len(messages)})


def watched(at: datetime, snapshot: str, message: str) -> Second:
    """One second of a book that begins with a snapshot and hears a frame."""
    tracked = TrackedBook("odd_mxn", 5)
    tracked.is_subscribed = True
    try:
        tracked.seed(read_snapshot("odd_mxn", snapshot))
    except BadValueError as error:
        tracked.detail = error.reason
    frame = read_frame(message)
    if isinstance(frame, Diff) and frame.book == tracked.name:
        tracked.take(frame)
    elif isinstance(frame, BadFrame):
        tracked.lose("resync")
    bad = (frame,) if isinstance(frame, BadFrame) else ()
    books = (tracked.name,)
    if tracked.book is None:
        gaps = {tracked.name: Why(tracked.cause, tracked.detail)}
        return Second(at, at + SECOND, books, gaps, bad=bad)
    return Second(at, at + SECOND, books, {}, (tracked.sample(at.isoformat()),), bad)


def feed_lake(warehouse: Warehouse, directory: Path) -> Counter[str]:
    """The same rows as CSV and as Parquet, of two books."""
    directory.mkdir()
    rows = [values for _, values in odd_lake_rows()]
    (directory / "odd.csv").write_bytes(as_csv(",".join(LAKE_ROW), rows))
    even = [
        ["even_mxn" if value == LAKE_ROW["book"] else value for value in values]
        for values in rows
        if all(value.isascii() or is_storable(value) for value in values)
    ]
    columns = zip(*even, strict=True)
    pq.write_table(
        pa.table([pa.array(column, pa.string()) for column in columns], list(LAKE_ROW)),
        directory / "even.parquet",
    )
    done = warehouse.call("loader", "lake", "import", directory, WAREHOUSE_BAD_ROWS_PERCENT="100")
    assert done.returncode == 0, done.stderr
    return Counter({"lake csv": len(rows), "lake parquet": len(even)})


def feed_snapshots(warehouse: Warehouse, directory: Path) -> Counter[str]:
    """The five kinds."""
    directory.mkdir()
    given: Counter[str] = Counter()
    for kind in KINDS:
        rows = [values for _, values in odd_snapshot_rows(kind)]
        (directory / f"{kind}.csv").write_bytes(as_csv(HEADERS[kind], rows))
        given[kind] = len(rows)
    done = warehouse.call("loader", "snapshots", directory, WAREHOUSE_BAD_ROWS_PERCENT="100")
    assert done.returncode == 0, done.stderr
    return given


def test_nothing_is_lost_on_the_way_in(fed: Fed, record_property: Callable[..., None]) -> None:
    record_property("values generated by source", dict(fed.given))
    assert min(fed.given.values()) >= 100
    runs = fed.warehouse.rows(
        "select job, coalesce(split_part(detail ->> 'file', '.', 1), job), rows_read, "
        "rows_inserted, rows_duplicate, rows_quarantined, status from ops.runs"
    )
    assert {status for *_, status in runs} == {"succeeded"}
    read: Counter[str] = Counter()
    for job, name, rows_read, inserted, duplicate, quarantined, _ in runs:
        assert rows_read == inserted + duplicate + quarantined, name
        read[name if job in ("replay", "snapshots") else job] += rows_read
    for source in {*read} - {"stream", "lake import", *KINDS}:
        assert read[source] == fed.given[source]
    # A row may be more lines than one; a line that is blank is no row of a snapshot.
    assert read["lake import"] >= fed.given["lake csv"] + fed.given["lake parquet"]
    for kind in KINDS:
        blank = sum(not "".join(values).strip() for _, values in odd_snapshot_rows(kind))
        assert read[kind] >= fed.given[kind] - blank


def test_every_second_of_the_stream_is_a_row_or_a_gap(fed: Fed) -> None:
    [(samples, missing)] = fed.warehouse.rows(
        "select (select count(*) from raw.bitso_order_books where channel = 'diff-orders'), "
        "(select sum(extract(epoch from gap_until - gap_from))::int from ops.gaps)"
    )
    assert samples + missing == fed.given["stream"]
    assert min(samples, missing) > 50


def test_every_row_of_raw_is_seen_again(fed: Fed) -> None:
    assert_all_modelled(fed.warehouse)
    assert fed.warehouse.rows("select * from marts.unreadable_records") == []


# How a descriptive member is read, and the column of staging that has it.
DESCRIPTIVE: dict[str, tuple[str, dict[str, tuple[ReadValue, str]]]] = {
    "coingecko_exchanges": (
        "stg_coingecko__exchanges",
        {
            name: (coingecko.DESCRIPTIVE[name], name)
            for name in ("trust_score", "trust_score_rank")
        },
    ),
    "coingecko_tickers": (
        "stg_coingecko__tickers",
        {"market.name": (coingecko.DESCRIPTIVE_OF_MARKET["name"], "exchange_name")},
    ),
    "coincap_exchanges": (
        "stg_coincap__exchanges",
        {
            name: (coincap.DESCRIPTIVE[name], column)
            for name, column in {
                "rank": "exchange_rank", "volumeUsd": "volume_usd",
                "percentTotalVolume": "percent_total_volume", "tradingPairs": "trading_pairs",
                "socket": "has_socket", "exchangeUrl": "exchange_url", "updated": "updated_at",
            }.items()
        },
    ),
}  # fmt: skip
DECIMALS = {"volumeUsd": 18, "percentTotalVolume": 36}


def test_every_descriptive_member_that_is_staged_is_looked_at() -> None:
    assert DESCRIPTIVE["coincap_exchanges"][1].keys() == coincap.DESCRIPTIVE.keys()


@pytest.mark.parametrize("source", DESCRIPTIVE)
def test_a_descriptive_member_is_what_the_loader_reads_or_null_and_told(
    fed: Fed, source: str
) -> None:
    view, members = DESCRIPTIVE[source]
    told: Counter[str] = Counter()
    for (counts,) in fed.warehouse.rows(
        "select detail #> array['unreadable', %s] from ops.runs where detail ? 'unreadable'", source
    ):
        told.update(counts or {})
    for member, (read, column) in members.items():
        unreadable = 0
        rows = fed.warehouse.rows(
            f"select payload #>> %s::text[], (payload #> %s::text[])::text, {column} "
            f"from raw.{source} inner join staging.{view} using (received_at)",
            member.split("."), member.split("."),
        )  # fmt: skip
        assert len(rows) > 100
        for _, text, modelled in rows:
            value = None if text is None else read_json(text)
            expected = as_modelled(member, read, value)
            assert modelled == expected, (member, text)
            unreadable += value is not None and expected is None
        assert told[member] == unreadable > 0, member


def as_modelled(member: str, read: ReadValue, value: Any) -> Any:
    """What the loader reads, as the column of that member has it."""
    if value is None:
        return None
    try:
        found = read(member, value)
    except BadValueError:
        return None
    if isinstance(found, Decimal):
        with localcontext(prec=100):
            return found.quantize(Decimal(1).scaleb(-DECIMALS[member]), ROUND_HALF_UP)
    if member == "updated":
        assert isinstance(found, int)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=found)
    return found


def test_whoever_reads_can_show_it(fed: Fed, tmp_path: Path) -> None:
    fed.warehouse.activate()
    done = fed.warehouse.call("dashboards", "export", tmp_path / "all")
    assert done.returncode == 0, done.stderr
