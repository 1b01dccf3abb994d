"""Market records into raw, by replay: nothing lost, nothing twice, the ledger true."""

import gzip
import json
import signal
import subprocess
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loader.market import recording
from loader.market import rows as market_rows
from loader.market.recording import replay
from loader.operations.edited import export_rows
from loader.operations.redrive import redrive
from loader.warehouse.errors import AlreadyRunningError, RefusedError, TransientError, UsageError
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.runs import single_flight
from loader.warehouse.postgres.connection import connect
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.settings import PROJECT_ROOT
from loader.wire.records import Body
from tests.conftest import BIN, Warehouse
from tests.ledger import counts
from tests.market_files import NOON, line, minutes, order_book, record, ticker, tickers
from tests.packing import PACKED
from tests.waiting import try_until_done, wait_for

pytestmark = pytest.mark.usefixtures("warehouse")

TABLES = (
    "bitso_tickers", "bitso_order_books", "bitso_books", "coingecko_exchanges",
    "coingecko_tickers", "coincap_exchanges",
)  # fmt: skip


def fingerprint(warehouse: Warehouse) -> dict[str, Any]:
    """All rows of raw and quarantine, whoever loaded them."""
    found = {
        table: warehouse.rows(
            f"select count(*), md5(string_agg((to_jsonb(t) - 'run_id')::text, '' order by "
            f"(to_jsonb(t) - 'run_id')::text)) from raw.{table} as t"
        )
        for table in TABLES
    }
    found["quarantine"] = warehouse.rows(
        "select source, location, received_at, reason_code, raw from ops.quarantine order by 1,2,3"
    )
    return found


def test_a_recording_becomes_rows_with_typed_columns_and_untouched_payload(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    exact = "104000.000000000000000001"
    bodies = [
        tickers(NOON, ticker(ask=exact, note='a,b\\"\n\té'), ticker("eth_mxn", bid=None)),
        order_book(NOON + timedelta(seconds=1)),
    ]
    [run] = replay(record(tmp_path / "market.jsonl", bodies))
    assert counts(run) == (3, 3, 0, 0)
    assert warehouse.rows(
        "select received_at, book, bid::text, ask::text, payload ->> 'note', run_id "
        "from raw.bitso_tickers order by book"
    ) == [
        (NOON, "btc_mxn", "100.5", exact, 'a,b\\"\n\té', run.run_id),
        (NOON, "eth_mxn", None, "100.75", None, run.run_id),
    ]
    assert warehouse.rows(
        "select book, channel, sequence, bid::text, ask::text from raw.bitso_order_books"
    ) == [("btc_mxn", "order_book", 4520000000, "100.5", "100.75")]
    assert warehouse.rows("select job, status, detail from ops.runs") == [
        ("replay", "succeeded", {"file": "market.jsonl", "replies": 2})
    ]


def test_numbers_of_a_payload_never_pass_through_a_float(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    number = "0.1234567890123456789012345678901234567890"
    text = f'[{{"id":"bitso","name":"Bitso","trust_score":8,"trade_volume_24h_btc":{number}}}]'
    [run] = replay(record(tmp_path / "r.jsonl", [Body("coingecko_exchanges", "", NOON, text)]))
    assert counts(run) == (1, 1, 0, 0)
    assert warehouse.rows(
        "select payload ->> 'trade_volume_24h_btc' from raw.coingecko_exchanges"
    ) == [(number,)]


def test_a_replay_repeated_adds_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    bodies = [
        *minutes(30),
        tickers(NOON + timedelta(hours=1), ticker(), ticker("eth_mxn", ask="-1")),
        order_book(NOON),
    ]
    file = record(tmp_path / "market.jsonl.gz", bodies)
    [first] = replay(tmp_path)
    before = fingerprint(warehouse)
    assert counts(first) == (63, 62, 0, 1)
    [second] = replay(file)
    assert counts(second) == (63, 0, 63, 0)
    assert fingerprint(warehouse) == before


@pytest.mark.parametrize("batch", [1, 7, 5000])
def test_shuffled_split_and_overlapping_recordings_leave_the_same_rows(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    bodies = minutes(40)
    bodies[7] = tickers(bodies[7].received_at, ticker(bid="0"), ticker("eth_mxn"))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    record(whole / "a.jsonl", bodies)
    for number, part in enumerate((bodies[20:][::-1], bodies[5:25], bodies[:10] * 2)):
        record(parts / f"{number}.jsonl", part)
    found = []
    for directory in (whole, parts):
        warehouse = server.database(f"replay_{batch}_{directory.name}", "migrated")
        monkeypatch.setattr(market_rows, "BATCH_ROWS", batch)
        for run in replay(directory):
            assert run.rows_read == run.rows_inserted + run.rows_duplicate + run.rows_quarantined
        found.append(fingerprint(warehouse))
        server.drop(warehouse)
    assert found[0] == found[1]
    assert found[0]["bitso_tickers"][0][0] == 79


def test_two_quotes_at_one_instant_both_stay_and_twins_do_not(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    one, other = ticker(bid="1"), ticker(bid="2")
    [run] = replay(record(tmp_path / "r.jsonl", [tickers(NOON, one, other, one)]))
    assert counts(run) == (3, 2, 1, 0)
    # The same value, written otherwise, as another recorder might.
    again = Body("bitso_tickers", "", NOON, tickers(NOON, one).text.replace(" ", "\t "))
    [run] = replay(record(tmp_path / "r.jsonl", [again]))
    assert counts(run) == (1, 0, 1, 0)
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(2,)]


def test_bad_records_are_quarantined_once_with_reason_and_raw(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    bodies = [
        tickers(NOON, ticker(), ticker("eth_mxn", bid="NaN"), ticker("xrp_mxn", ask="-1")),
        Body("bitso_tickers", "btc_mxn", NOON, "<html>Access denied</html>"),
        Body("coingecko_tickers", "bitso", NOON, '{"error":"coin not found"}'),
    ]
    file = record(tmp_path / "r.jsonl", bodies)
    [run] = replay(file)
    assert counts(run) == (5, 1, 0, 4)
    rows = warehouse.rows(
        "select source, location, received_at, reason, raw, run_id from ops.quarantine order by 1,2"
    )
    assert [(source, location) for source, location, *_ in rows] == [
        ("bitso_tickers", "btc_mxn"), ("bitso_tickers", "eth_mxn"), ("bitso_tickers", "xrp_mxn"),
        ("coingecko_tickers", "bitso"),
    ]  # fmt: skip
    assert {(row[2], row[5]) for row in rows} == {(NOON, run.run_id)}
    assert "bid" in rows[1][3]
    assert '"NaN"' in rows[1][4]
    assert rows[0][4] == "<html>Access denied</html>"
    [run] = replay(file)
    assert counts(run) == (5, 0, 5, 0)


@pytest.mark.parametrize("name", ["nul\\u0000book", "half\\ud800pair"], ids=["nul", "surrogate"])
def test_what_postgres_cannot_hold_is_set_aside_and_the_rest_is_loaded(
    tmp_path: Path, name: str
) -> None:
    text = tickers(NOON, ticker(), ticker("BAD"), ticker("eth_mxn")).text.replace("BAD", name)
    # Once as an escape in the reply, once as the character itself.
    file = tmp_path / "r.jsonl"
    file.write_text(
        line(Body("bitso_tickers", "", NOON, text))
        + "\n"
        + line(tickers(NOON + timedelta(seconds=1), ticker())).replace("btc_mxn", name)
        + "\n"
    )
    [run] = replay(file)
    assert counts(run) == (4, 2, 0, 2)
    [run] = replay(file)
    assert counts(run) == (4, 0, 4, 0)


def test_one_record_that_postgres_refuses_does_not_take_its_batch_along(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the parser had let it through.
    monkeypatch.setattr("loader.market.bitso.positive", lambda _name, value: value)
    bodies = minutes(50)
    bodies[20] = tickers(bodies[20].received_at, ticker(bid="abc"), ticker("eth_mxn"))
    [run] = replay(record(tmp_path / "r.jsonl", bodies))
    assert counts(run) == (100, 99, 0, 1)
    [(code, reason)] = warehouse.rows("select reason_code, reason from ops.quarantine")
    assert code == "not_storable"
    assert reason.startswith(
        'Postgres cannot hold it: invalid input syntax for type numeric: "abc"'
    )
    [run] = replay(tmp_path)
    assert counts(run) == (100, 0, 100, 0)


def test_partitions_change_at_midnight_utc(warehouse: Warehouse, tmp_path: Path) -> None:
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    moments = [
        midnight - timedelta(microseconds=1),
        midnight,
        # The same evening, said from Mexico.
        datetime.fromisoformat("2026-01-05T17:30:00-06:00"),
    ]
    replay_all(record(tmp_path / "r.jsonl", [tickers(at, ticker()) for at in moments]))
    assert warehouse.rows(
        "select tableoid::regclass::text, count(*) from raw.bitso_tickers group by 1 order by 1"
    ) == [("raw.bitso_tickers_20260105", 2), ("raw.bitso_tickers_20260106", 1)]
    assert warehouse.rows(
        "select indexdef from pg_indexes where tablename = 'bitso_tickers_20260105'"
    )


def replay_all(path: Path) -> None:
    for _ in replay(path):
        pass


def test_a_day_gets_its_partition_while_others_read_and_write(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    replay_all(record(tmp_path / "r.jsonl", minutes(1)))
    with closing(connect("loader")) as busy, busy.cursor() as cursor:
        cursor.execute("select * from raw.bitso_tickers")
        cursor.execute("insert into raw.bitso_tickers values (%s, 'b', 1, 1, '{}', 1)", (NOON,))
        replay_all(record(tmp_path / "r.jsonl", minutes(1, NOON + timedelta(days=1))))
        busy.rollback()
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(4,)]


def test_a_day_is_made_once_by_many_at_once(warehouse: Warehouse) -> None:
    problems: list[BaseException] = []

    def make() -> None:
        try:
            warehouse.rows("select raw.ensure_day('bitso_tickers', '2026-02-01')", role="loader")
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            problems.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "r.jsonl:2: not a line of JSON: is the recording whole?"),
        ('{"source": "bitso_tickers"', "r.jsonl:2: not a line of JSON"),
        ("[1]", "r.jsonl:2: it needs source, key, received_at, body, each a text"),
        (line(minutes(1)[0], key=None), "r.jsonl:2: it needs source, key"),
        (line(minutes(1)[0], source="kraken"), "r.jsonl:2: its source is none of bitso_tickers"),
        (line(minutes(1)[0], received_at="soon"), "r.jsonl:2: its received_at is not an ISO 8601"),
        (line(minutes(1)[0], received_at="2026-01-05T12:00:00"), "has no time zone"),
        (line(minutes(1)[0], received_at="2226-01-05T12:00:00Z"), "lies in the future"),
        (line(minutes(1)[0], received_at="1970-01-01T00:00:00Z"), "or before all markets"),
    ],
)
def test_a_recording_that_is_none_is_refused_whole(
    warehouse: Warehouse, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(f"{line(minutes(1)[0])}\n{text}\n")
    with pytest.raises(RefusedError) as caught:
        replay_all(file)
    assert message in str(caught.value)
    assert warehouse.rows("select status, rows_read, rows_inserted, error from ops.runs") == [
        ("refused", 2, 0, str(caught.value))
    ]
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(0,)]


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([], "r.jsonl: it is empty: there is no line in it"),
        (
            [tickers(NOON, ticker(bid="NaN"), ticker(ask="-1"))],
            "r.jsonl: none of its 2 records can be read: bid is not a number: NaN",
        ),
        (
            [Body("coingecko_tickers", "bitso", NOON, "[]")],
            "r.jsonl: none of its 1 record can be read: there is no tickers",
        ),
    ],
)
def test_a_recording_in_which_nothing_can_be_read_is_refused(
    warehouse: Warehouse, tmp_path: Path, bodies: list[Body], message: str
) -> None:
    done = warehouse.call("loader", "replay", record(tmp_path / "r.jsonl", bodies))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"loader: {message}")
    assert warehouse.rows("select status, rows_inserted from ops.runs") == [("refused", 0)]
    # One that can be read is enough; and of a coin that nobody trades there is nothing to read.
    good = Body("coingecko_tickers", "x", NOON, '{"tickers":[]}')
    [_] = replay(record(tmp_path / "r.jsonl", [*bodies, good if not bodies else minutes(1)[0]]))


def test_a_damaged_archive_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = record(tmp_path / "r.jsonl.gz", minutes(50))
    whole = file.read_bytes()
    for damage, message in (
        (whole[:-20], "the compressed file ends early: it is half-written"),
        (b"plain text", "not a line of JSON"),
        (whole[:40] + b"x" * 40, "a damaged compressed file"),
    ):
        file.write_bytes(damage)
        with pytest.raises(RefusedError, match=rf"^r\.jsonl\.gz:.* {message}"):
            replay_all(file)
    assert warehouse.rows("select distinct status from ops.runs") == [("refused",)]


@pytest.mark.parametrize("shape", PACKED)
def test_a_recording_is_read_however_it_is_packed(tmp_path: Path, shape: str) -> None:
    file = record(tmp_path / "r.jsonl", minutes(3))
    file.write_bytes(PACKED[shape](file.read_bytes()))
    [run] = replay(file)
    assert counts(run) == (6, 6, 0, 0)


def test_a_bad_file_of_a_folder_does_not_hold_up_the_others(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was refused after it had made the partition that the next one needs."""
    monkeypatch.setattr(market_rows, "BATCH_ROWS", 1)
    record(tmp_path / "b.jsonl", minutes(3))
    with record(tmp_path / "a.jsonl", minutes(3)).open("a") as file:
        file.write("nonsense\n")
    (tmp_path / "c.jsonl.gz").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "d.jsonl.part").touch()
    done = warehouse.call("loader", "replay", tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert sorted(done.stderr.splitlines()) == [
        f"{tmp_path}: left alone: d.jsonl.part, notes.txt",
        "a.jsonl:4: not a line of JSON: is the recording whole?",
        "c.jsonl.gz: a directory, not a file",
        "loader: 2 of 3 files refused",
    ]
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(6,)]


def test_a_directory_without_recordings_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jsonl").touch()
    with pytest.raises(UsageError, match=r"no \.jsonl"):
        replay_all(tmp_path)


def test_no_list_grows_with_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_rows, "BATCH_ROWS", 10)
    monkeypatch.setattr(recording, "MOST_WATCHES", 2)
    most = 0
    flush = market_rows.MarketRows.flush

    def measured(rows: market_rows.MarketRows) -> None:
        nonlocal most
        most = max(most, len(rows._records) + len(rows._bad))
        flush(rows)

    monkeypatch.setattr(market_rows.MarketRows, "flush", measured)
    bodies = [tickers(NOON + timedelta(seconds=n), ticker(bid="NaN")) for n in range(100)]
    [run] = replay(record(tmp_path / "r.jsonl", [tickers(NOON, ticker()), *bodies]))
    assert counts(run) == (101, 1, 0, 100)
    assert most == 10
    watched = {"feed": "ticker", "interval_seconds": 10, "books": ["btc_mxn"]}
    lines = [
        json.dumps({"watched": watched | {"from": f"2026-01-0{day}T00:00:00Z",
                                          "until": f"2026-01-0{day}T12:00:00Z"}})
        for day in range(1, 4)
    ]  # fmt: skip
    (tmp_path / "w.jsonl").write_text("\n".join(lines))
    with pytest.raises(RefusedError, match=r"w\.jsonl:3: over 2 lines say what was watched: split"):
        replay_all(tmp_path / "w.jsonl")


def test_an_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loader.market.recording.LONGEST_LINE", 1 << 20)
    file = tmp_path / "r.jsonl.gz"
    file.write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(RefusedError, match="a line of over 1 MiB"):
        replay_all(file)


def test_a_replay_killed_half_way_and_repeated_leaves_the_same_rows(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    file = record(tmp_path / "r.jsonl", minutes(6_000))
    process = subprocess.Popen(
        [BIN / "loader", "replay", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    # Its first batch is written, its last is not.
    wait_for(
        lambda: warehouse.rows("select 1 where to_regclass('raw.bitso_tickers_20260106') notnull"),
        lambda: f"the first batch, but {process.poll()}",
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(0,)]
    assert warehouse.rows("select status from ops.runs") == [("running",)]
    [run] = try_until_done(
        lambda: list(replay(file)), AlreadyRunningError, "that Postgres notices the kill"
    )
    assert counts(run) == (12_000, 12_000, 0, 0)
    assert warehouse.rows("select status, error from ops.runs order by run_id") == [
        ("failed", "the process died before the run ended"),
        ("succeeded", None),
    ]
    assert warehouse.rows("select count(*) from raw.bitso_tickers") == [(12_000,)]


def test_two_replays_do_not_overlap(warehouse: Warehouse, tmp_path: Path) -> None:
    file = record(tmp_path / "r.jsonl", minutes(1))
    with closing(connect("loader")) as other, single_flight(other, "replay"):
        done = warehouse.loader("replay", file)
    assert done.returncode == 75
    assert done.stderr == "loader: another replay run is at work: try again later\n"
    assert warehouse.rows("select count(*) from ops.runs") == [(0,)]


def test_a_lost_database_is_temporary_and_nothing_stays(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = record(tmp_path / "r.jsonl", minutes(30))
    ensure = TimePartitions.ensure

    def ensure_and_lose(days: TimePartitions, table: str, wanted: Any) -> None:
        ensure(days, table, wanted)
        warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )

    with monkeypatch.context() as patch:
        patch.setattr(TimePartitions, "ensure", ensure_and_lose)
        with pytest.raises(TransientError, match="Postgres"):
            replay_all(file)
    assert warehouse.rows("select status, rows_inserted from ops.runs") == [("failed", 0)]
    [run] = replay(file)
    assert counts(run) == (60, 60, 0, 0)


def test_quarantined_records_can_be_edited_and_redriven(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    bodies = [
        tickers(NOON, ticker(), ticker("eth_mxn", bid="NaN"), ticker("xrp_mxn", ask="-1")),
        order_book(NOON, bids=[{"book": "btc_mxn", "price": "0", "amount": "1"}]),
        Body("bitso_books", "", NOON, '{"success":true}'),
    ]
    file = record(tmp_path / "r.jsonl", bodies)
    replay_all(file)
    export = tmp_path / "bad.csv"
    assert export_rows(export) == 4
    text = export.read_text().replace("NaN", "99.5").replace('""price"": ""0""', '""price"": ""1""')
    text = text.replace(
        '"{""success"":true}"', '"{""payload"":[{""book"":""a_b""},{""book"":""c_d""}]}"'
    )
    export.write_text(text)
    run = redrive(export)
    assert counts(run) == (5, 4, 0, 1)
    assert run.detail["still_bad"] == ["bitso_tickers xrp_mxn: ask is not above zero: -1"]
    assert warehouse.rows("select book, bid::text from raw.bitso_tickers order by book") == [
        ("btc_mxn", "100.5"), ("eth_mxn", "99.5"),
    ]  # fmt: skip
    assert warehouse.rows("select book, received_at from raw.bitso_books order by book") == [
        ("a_b", NOON), ("c_d", NOON),
    ]  # fmt: skip
    assert warehouse.rows("select bid from raw.bitso_order_books") == [(1,)]
    # A repeated load knows what was mended, and a repeated redrive finds the one that is left.
    [again] = replay(file)
    assert counts(again) == (5, 0, 5, 0)
    assert counts(redrive(export)) == (1, 0, 0, 1)


def test_the_command_line_prints_a_line_a_recording(warehouse: Warehouse, tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl", minutes(2))
    record(tmp_path / "b.jsonl.gz", minutes(3))
    done = warehouse.loader("replay", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "replay: a.jsonl: 4 rows loaded, 0 duplicate, 0 quarantined (run 1)",
        "replay: b.jsonl.gz: 2 rows loaded, 4 duplicate, 0 quarantined (run 2)",
    ]
    done = warehouse.loader("replay", tmp_path / "nowhere")
    assert done.returncode == 2
    (tmp_path / "c.jsonl").write_text("{}\n")
    done = warehouse.loader("replay", tmp_path / "c.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("loader: c.jsonl:1: it needs source")
    assert [status for (status,) in warehouse.rows("select status from ops.runs order by run_id")]


def test_a_large_reply_is_written_in_several_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_rows, "BATCH_BYTES", 500)
    sizes: list[int] = []

    def counted(*arguments: Any) -> int:
        sizes.append(copy_rows(*arguments))
        return sizes[-1]

    monkeypatch.setattr("loader.market.rows.copy_rows", counted)
    [run] = replay(record(tmp_path / "r.jsonl", minutes(20)))
    assert counts(run) == (40, 40, 0, 0)
    assert sum(sizes) == 40
    assert max(sizes) < 10


def test_the_bundled_recording_loads_whole_and_once(warehouse: Warehouse) -> None:
    directory = PROJECT_ROOT / "seeds" / "market"
    first = list(replay(directory))
    assert [run.status for run in first] == ["succeeded", "succeeded"]
    assert sum(run.rows_inserted for run in first) > 1_000
    assert sum(run.rows_quarantined for run in first) == 0
    assert all(warehouse.rows(f"select count(*) > 0 from raw.{table}")[0][0] for table in TABLES)
    before = fingerprint(warehouse)
    assert sum(run.rows_inserted + run.rows_quarantined for run in replay(directory)) == 0
    assert fingerprint(warehouse) == before
    assert sum(file.stat().st_size for file in directory.iterdir()) <= 1 << 20


def test_the_rows_of_a_run_are_found_by_index_also_where_one_run_wrote_the_whole_day(
    warehouse: Warehouse,
) -> None:
    warehouse.rows("select raw.ensure_day('bitso_tickers', '2026-02-01')")
    warehouse.rows(
        "insert into raw.bitso_tickers (received_at, book, payload, run_id) "
        "select '2026-02-01', 'btc_mxn', '{}', 1 from generate_series(1, 20000)"
    )
    warehouse.rows("analyze raw.bitso_tickers")
    plan = warehouse.rows(
        "explain select from raw.bitso_tickers where run_id = any(array(select 2::bigint))"
    )
    assert "Index" in str(plan)
    assert "Seq Scan" not in str(plan)
