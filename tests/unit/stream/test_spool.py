"""The spool gives back what it was given, in order, over ends of processes and full disks."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.stream import spool as spools
from loader.stream.spool import Spool, SpoolLine
from loader.warehouse.errors import AlreadyRunningError, TerminalError, TransientError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "warehouse.jsonl"


def opened(path: Path, most_bytes: int = 1000) -> Spool:
    spool = Spool(path, most_bytes)
    spool.open()
    return spool


def texts(lines: list[SpoolLine]) -> list[bytes]:
    return [line.text for line in lines]


def drained(spool: Spool, most_bytes: int = 20) -> list[bytes]:
    found = []
    while lines := spool.peek(most_bytes):
        found += texts(lines)
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
            found += texts(taken)
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


def test_a_line_that_was_cut_is_one_of_its_own(path: Path) -> None:
    spool = opened(path)
    spool.append(b"one")
    spool.close()
    path.write_bytes(path.read_bytes() + b'{"at":17')
    spool = opened(path)
    spool.append(b"two")
    assert drained(spool) == [b"one", b'{"at":17', b"two"]
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


@given(st.lists(st.binary(max_size=30)), st.integers(1, 50))
def test_whatever_is_in_the_file_comes_out_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], piece: int
) -> None:
    path = tmp_path_factory.mktemp("spool") / "x"
    path.write_bytes(b"\n".join(lines))
    expected = path.read_bytes().removesuffix(b"\n").split(b"\n") if any(lines) or lines[1:] else []
    spool = opened(path)
    assert drained(spool, piece) == expected
    assert path.stat().st_size == 0
    spool.close()


def test_of_a_line_that_is_too_long_only_the_beginning_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "LONGEST_LINE_BYTES", 1 << 20)
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(1 << 30)  # zeros that take no room
        file.seek(0, os.SEEK_END)
        file.write(b"\none\n")
    spool = opened(path)
    [line] = spool.peek()
    assert (len(line.text), line.size, line.is_whole) == (1 << 20, (1 << 30) + 1, False)
    spool.advance([line])
    assert drained(spool) == [b"one"]
    spool.close()


def test_a_file_that_somebody_cut_off_is_no_endless_loop(path: Path) -> None:
    spool = opened(path)
    spool.append(b"one")
    spool.append(b"two")
    os.truncate(path, 2)
    [line] = spool.peek()
    assert not line.is_whole
    spool.advance([line])
    spool.append(b"three")
    assert drained(spool) == [b"three"]
    spool.close()


def test_what_is_no_file_is_refused_at_once(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(TerminalError, match="not a regular file"):
        opened(path)


def test_a_start_on_a_full_disk_may_be_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(TransientError, match="No space left"):
        opened(path)
