"""The spool gives back what it was given, in order, over ends of processes and full disks."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.stream.spool import Spool
from loader.warehouse.errors import AlreadyRunningError, TerminalError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "warehouse.jsonl"


def opened(path: Path, most_bytes: int = 1000) -> Spool:
    spool = Spool(path, most_bytes)
    spool.open()
    return spool


def drained(spool: Spool, most_bytes: int = 20) -> list[bytes]:
    found = []
    while lines := spool.peek(most_bytes):
        found += lines
        spool.advance(lines)
    return found


@given(
    st.lists(st.tuples(st.binary(max_size=30).map(lambda b: b.hex().encode()), st.booleans())),
    st.integers(1, 50),
)
def test_what_goes_in_comes_out_in_order(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[bytes, bool]], piece: int
) -> None:
    spool = opened(tmp_path_factory.mktemp("spool") / "x", 1 << 20)
    found = []
    for line, reads in lines:
        assert spool.append(line)
        if reads:
            taken = spool.peek(piece)
            spool.advance(taken)
            found += taken
    found += drained(spool, piece)
    assert found == [line for line, _ in lines]
    assert spool.peek() == []
    spool.close()


def test_what_was_not_done_is_there_for_the_next(path: Path) -> None:
    first = opened(path)
    for line in (b"one", b"two"):
        first.append(line, sync=True)
    first.peek()
    first.close()
    second = opened(path)
    assert drained(second) == [b"one", b"two"]
    second.close()
    assert path.stat().st_size == 0


def test_a_line_that_was_cut_is_none(path: Path) -> None:
    spool = opened(path)
    spool.append(b"one")
    spool.close()
    path.write_bytes(path.read_bytes() + b'{"at":17')
    spool = opened(path)
    spool.append(b"two")
    assert drained(spool) == [b"one", b"two"]
    spool.close()
    path.write_bytes(b"never finished")
    spool = opened(path)
    assert spool.peek() == []
    spool.close()


def test_past_the_bound_only_what_must(path: Path) -> None:
    spool = opened(path, most_bytes=10)
    assert spool.append(b"12345678")
    assert not spool.append(b"123")
    assert spool.append(b"why", must=True)
    assert drained(spool) == [b"12345678", b"why"]
    assert spool.append(b"123")
    spool.close()


def test_one_process_at_a_time(path: Path) -> None:
    spool = opened(path)
    with pytest.raises(AlreadyRunningError, match="another stream run is at work"):
        opened(path)
    spool.append(b"mine")
    assert drained(spool) == [b"mine"]
    spool.close()
    opened(path).close()


def test_a_place_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TerminalError, match="cannot be used"):
        opened(tmp_path / "file" / "spool")


def test_a_full_disk_leaves_the_memory_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(path)
    spool.append(b"one")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert spool.append(b"two")
    monkeypatch.undo()
    # behind what waits in memory
    assert spool.append(b"three")
    assert drained(spool) == [b"one", b"two", b"three"]
    assert spool.append(b"four")
    assert path.read_bytes() == b"four\n"
    spool.close()
