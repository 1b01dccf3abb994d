"""A line of the spool that cannot be taken costs its own time, with a reason; nothing else."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.stream import spool as spools
from loader.stream.seconds import Second, Stop, UnreadableLineError, Why, decode
from loader.stream.spool import Spool
from loader.stream.writer import SpoolWriter
from loader.warehouse.errors import TerminalError
from tests.conftest import Warehouse
from tests.spooled import (
    BOOKS,
    at,
    gaps,
    id_of,
    is_in_the_spool,
    loader_connection,
    second,
    with_payload,
    write_lines,
    writer,
)
from tests.waiting import wait_for
from tests.watch import assert_exact

ID = "an-id"
LINE = second(1, "usd_mxn").encode(ID)


def changed(**members: Any) -> bytes:
    return json.dumps({**json.loads(LINE), **members}).encode()


def without(name: str) -> bytes:
    data = json.loads(LINE)
    del data[name]
    return json.dumps(data).encode()


[SAMPLE] = json.loads(LINE)["samples"]
AT = json.loads(LINE)["at"]
ODD: list[Any] = [None, [], {}, "x", 1.5, True, -1, 10**30, [None], [[]], [["x"] * 5]]
ODD_PRICES: list[Any] = [
    "NaN", "1E99999999", "-1", "0", "1e-30", "", "1\0", 1.5, [], "9" * 2000,
]  # fmt: skip
# By what is wrong: what a disk, a lost power, another version or a bad joke may leave.
DAMAGED = {
    "empty": b"", "zeros": b"\0" * 5000, "cut": LINE[: len(LINE) // 2], "end of one": LINE[50:],
    "zeros within": LINE[:60] + b"\0" * 60 + LINE[120:], "two": LINE + LINE, "a return": b"\r\r",
    "bytes": bytes(range(11, 256)), "deep": b"[" * 100_000, "a list": b"[]", "a text": b'"at"',
    "null": b"null", "a number": b"1E99999999", "nothing in it": b"{}",
    **{f"without {name}": without(name) for name in json.loads(LINE)},
    **{
        f"{name} is {value!r:.9}": changed(**{name: value})
        for name in json.loads(LINE)
        for value in ODD
        # No bad frame in it is what it has.
        if not (name == "bad" and value in ([], {}))
    },
    "time from a far year": changed(at=AT + 10**9, until=AT + 10**9 + 1),
    "until before": changed(until=AT), "of two seconds": changed(until=AT + 2),
    "a book twice": changed(books=["btc_mxn", "btc_mxn", "usd_mxn"]),
    "a book missing": changed(books=["btc_mxn", "usd_mxn", "eth_mxn"]),
    "a cause of its own": changed(gaps=[["bad luck", None, ["usd_mxn"]]]),
    **{
        f"{price!r:.20} as a price": changed(samples=[[*SAMPLE[:2], price, *SAMPLE[3:]]])
        for price in ODD_PRICES
    },
    "a payload with a surrogate": changed(samples=[[*SAMPLE[:4], "\ud800"]]),
    "a sequence beyond": changed(samples=[[SAMPLE[0], 2**63, *SAMPLE[2:]]]),
    "a nameless book": changed(books=["btc_mxn", "\0"], gaps=[["resync", None, ["\0"]]]),
    "a version before": without("warehouse"),
    "a stop without a time": json.dumps({"warehouse": ID, "stop": None}).encode(),
    "a stop in a far year": json.dumps({"warehouse": ID, "stop": AT + 10**9}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_line_that_says_nothing_says_why(line: bytes) -> None:
    with pytest.raises(UnreadableLineError) as told:
        decode(line, ID)
    assert 0 < len(str(told.value)) < 300


@given(st.integers(0, len(LINE) - 1), st.binary(max_size=3), st.integers(0, 9))
def test_a_line_with_other_bytes_in_it_is_a_whole_second_or_none(
    place: int, other: bytes, gone: int
) -> None:
    try:
        found = decode(LINE[:place] + other + LINE[place + gone :], ID)
    except UnreadableLineError:
        return
    assert isinstance(found, Second)
    assert {*found.gaps, *(sample.book for sample in found.samples)} == set(found.books)


def test_damaged_lines_become_gaps_and_the_next_ones_go_on(
    warehouse: Warehouse, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "LONGEST_LINE_BYTES", 1 << 18)
    own = id_of(warehouse)
    lines, number = [second(0).encode(own)], 1
    damaged = [line.replace(ID.encode(), own.encode()) for line in DAMAGED.values()]
    damaged += [second(1).encode("another-id"), b"x" * (3 << 20)]
    for line in damaged:
        if number % 7 == 0:
            # Two in a row, one reason.
            lines += [line, b"{"]
            number += 1
        else:
            lines.append(line)
        lines.append(second(number + 1).encode(own))
        number += 2
    write_lines(spool, lines)
    with writer(spool, 8 << 20) as writing:
        writing.put(second(number))
    assert spool.stat().st_size == 0
    assert_exact(warehouse)
    found = gaps(warehouse)
    assert {cause for *_, cause in found} == {"database"}
    [(rows,)] = warehouse.rows("select count(*) from raw.bitso_order_books")
    assert rows == 2 * (len(damaged) + 2)
    assert sum(until - start for _, start, until, _ in found) == 2 * number + 2 - rows
    told = warehouse.rows(
        "select reason, length(raw) from ops.quarantine inner join ops.runs using (run_id) "
        "where source = 'bitso_stream' and location = 'spool' "
        "and reason_code = 'unreadable_line' and runs.status = 'succeeded'"
    )
    # Two that are the same, down to why, are one.
    assert len(told) > len(damaged) - 10
    assert all(0 < length <= 4 << 16 or " byte" in reason for reason, length in told)
    assert sum(reason.startswith("2 lines") for reason, _ in told) > len(damaged) // 10
    assert any("longer than any second" in reason for reason, _ in told)
    assert warehouse.rows("select detail from ops.gaps limit 1") == [
        ("1 observation dropped: lines of the spool could not be taken",)
    ]
    assert warehouse.call("loader", "quarantine", "redrive").returncode == 0


def test_damage_does_not_hide_that_the_process_was_killed(
    warehouse: Warehouse, spool: Path
) -> None:
    own = id_of(warehouse)
    write_lines(spool, [second(0).encode(own), b"\0\0", second(9).encode(own), b"\0"])
    with writer(spool):
        wait_for(lambda: not spool.stat().st_size, "an empty spool")
    assert gaps(warehouse) == [
        (book, *gap)
        for book in BOOKS
        for gap in ((1, 2, "database"), (2, 3, "killed"), (3, 9, "not_running"))
    ]
    assert_exact(warehouse)


def test_a_spool_of_nothing_but_damage_is_told_and_emptied(
    warehouse: Warehouse, spool: Path
) -> None:
    write_lines(spool, [b"{}", b"\0" * 99])
    with writer(spool):
        wait_for(lambda: not spool.stat().st_size, "an empty spool")
    assert warehouse.rows("select count(*) from ops.quarantine") == [(1,)]
    assert warehouse.rows(
        "select status, rows_read, rows_quarantined from ops.runs order by run_id"
    ) == [("succeeded", 1, 1)]  # fmt: skip


@pytest.mark.parametrize("line", [second(0), Stop(at(1))])
def test_the_spool_of_another_warehouse_is_refused_and_left_alone(
    warehouse: Warehouse, tmp_path: Path, line: Second | Stop
) -> None:
    spool = tmp_path / f"{warehouse.where.db}.jsonl"
    write_lines(spool, [b"damaged", line.encode("another-id"), second(3).encode("another-id")])
    before = spool.read_bytes()
    done = warehouse.call("loader", "stream", WAREHOUSE_STREAM_SPOOL_DIR=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "holds seconds of another warehouse: name another directory" in done.stderr
    assert spool.read_bytes() == before
    assert warehouse.rows("select count(*) from ops.monitored") == [(0,)]


@pytest.mark.usefixtures("tries_again_at_once")
def test_a_database_that_becomes_another_warehouse_gets_nothing(
    warehouse: Warehouse, spool: Path
) -> None:
    own = id_of(warehouse)
    become = "update ops.warehouse set warehouse_id = %s"
    with writer(spool) as writing:
        writing.put(second(0))
        wait_for(lambda: not is_in_the_spool(spool, 0), "an empty spool")
        warehouse.rows(become, "00000000-0000-0000-0000-000000000000")
        warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )
        with mock.patch("loader.stream.writer.leave_word") as word:
            writing.put(second(1))
            wait_for(
                lambda: any("another warehouse by now" in str(call) for call in word.mock_calls),
                "a word about it",
            )
        assert is_in_the_spool(spool, 1)
        warehouse.rows(become, own)
    assert warehouse.rows("select count(*) from raw.bitso_order_books") == [(4,)]
    assert_exact(warehouse)


def test_a_second_that_is_too_long_to_be_kept_is_a_gap(
    warehouse: Warehouse, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loader.stream.writer.LONGEST_LINE_BYTES", 10_000)
    with writer(spool) as writing:
        writing.put(with_payload(second(0), "btc_mxn", json.dumps("x" * 10_000)))
        writing.put(second(1))
    assert gaps(warehouse) == [(book, 0, 1, "database") for book in BOOKS]
    assert_exact(warehouse)


def test_what_the_reason_of_a_gap_says_is_not_what_it_is() -> None:
    """A detail may be anything; the line is read all the same."""
    one = Second.missed(at(0), at(9), BOOKS, Why("resync", "\0\ud800\x1b"))
    assert decode(one.encode(ID), ID) == one


def test_a_start_that_is_refused_leaves_no_thread(spool: Path, warehouse: Warehouse) -> None:
    assert warehouse
    write_lines(spool, [second(0).encode("another-id")])
    with pytest.raises(TerminalError, match="another warehouse"):
        SpoolWriter(Spool(spool), loader_connection).start()
