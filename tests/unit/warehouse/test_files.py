"""Files of others: what is opened, what a packed one holds, and what is refused in one line."""

import gzip
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from loader.warehouse.errors import FileChangedError, RefusedError
from loader.warehouse.files import Unpacked, open_regular
from loader.warehouse.text import LONGEST_NAME, shown
from loader.warehouse.unpacking import LARGEST_WINDOW, LONGEST_ZIP_DIRECTORY
from tests.packing import PACKED, zipped, zstd_frame, zstd_of

CONTENT = b"".join(b"%d,some line\r\n" % number for number in range(3000))


def read_all(path: Path, size: int = 1 << 20) -> bytes:
    with closing(Unpacked(path)) as file:
        pieces = []
        while piece := file.read(size):
            pieces.append(piece)
        file.check_unchanged()
        return b"".join(pieces)


# --- what is opened ----------------------------------------------------------------------------


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        # The name of a socket has room for a hundred bytes, and the directory is longer.
        os.chdir(path.parent)
        other.bind(path.name)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "a directory, not a file"),
        (os.mkfifo, "a pipe, not a file"),
        (make_socket, "a socket, not a file"),
        (make_device, "a device, not a file"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link, not a file"),
        (lambda path: path.symlink_to(path), "a symbolic link, not a file"),
        (lambda path: path.symlink_to(__file__), "a symbolic link, not a file"),
        (lambda _path: None, "No such file or directory"),
    ],
)
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "users.csv")
    with pytest.raises(RefusedError) as caught:
        open_regular(tmp_path / "users.csv")
    assert str(caught.value) == f"users.csv: {message}"


def test_a_name_of_any_bytes_and_length_is_read_and_told_on_one_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "d" * 255
    monkeypatch.chdir(tmp_path)
    for _ in range(15):
        os.mkdir(deep)  # noqa: PTH102 - by steps: the whole path would be too long
        os.chdir(deep)
    for name in ("\x1b[31m\n\r\u202e.csv", "\udcff" * 250 + ".csv", "x" * 251 + ".csv"):
        Path(name).write_bytes(b"a")
        with closing(Unpacked(Path(name))) as file:
            assert file.read(9) == b"a"
            assert file.name.isprintable()
            assert len(file.name) <= LONGEST_NAME
    assert shown(Path("a\n\udcff.csv")) == "a\\n\\xff.csv"
    with pytest.raises(RefusedError, match="File name too long"):
        open_regular(Path("y" * 256))


def test_a_file_that_changes_is_no_longer_the_one_that_was_opened(tmp_path: Path) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "other.csv"

    def append() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def overwrite() -> None:
        path.write_bytes(b"other")
        os.utime(path, ns=(0, 0))

    for change in (
        append,
        lambda: os.truncate(path, 2),
        overwrite,
        lambda: other.replace(path),
        path.unlink,
    ):
        path.write_bytes(b"first")
        other.write_bytes(b"first")
        with closing(Unpacked(path)) as file:
            file.check_unchanged()
            change()
            with pytest.raises(FileChangedError, match=r"^a\.csv: the file changed while it was"):
                file.check_unchanged()


# --- what is packed ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 1 << 23])
@pytest.mark.parametrize("shape", PACKED)
def test_the_content_is_the_same_however_it_is_packed_and_called(
    tmp_path: Path, shape: str, size: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PACKED[shape](CONTENT))
    assert read_all(path, size) == CONTENT
    with closing(Unpacked(path)) as file:
        lines = []
        while line := file.readline(1 << 16):
            lines.append(line)
    assert b"".join(lines) == CONTENT
    assert len(lines) == 3000
    path.write_bytes(PACKED[shape](b""))
    assert read_all(path) == b""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(zipped({"a.csv": b"a", "b.csv": b"b"}), "a zip of 2 files (a.csv, b.csv): one",
                     id="two members"),
        pytest.param(zipped({f"{n}\n.csv": b"" for n in range(9)}),
                     r"a zip of 9 files (0\n.csv, 1\n.csv, 2\n.csv, ...)", id="nine members"),
        pytest.param(zipped({}), "a zip without a file", id="no member"),
        pytest.param(zipped({"folder/": b""}), "a zip without a file", id="directories alone"),
        pytest.param(zipped({"a.csv": b"a" * 99}, zipfile.ZIP_LZMA), "deflate is read", id="lzma"),
        pytest.param(zipped({"a.csv": b"a"}).replace(b"PK\1\2\x14\x03\x14\0\0\0",
                                                     b"PK\1\2\x14\x03\x14\0\1\0"),
                     "an encrypted zip", id="encrypted"),
        pytest.param(zipped({str(n): b"" for n in range(LONGEST_ZIP_DIRECTORY // 40)}),
                     "far too many files", id="many members"),
        pytest.param(gzip.compress(gzip.compress(b"a")), "unpack it once", id="gzip in gzip"),
        pytest.param(zipped({"a.csv.gz": gzip.compress(b"a")}), "unpack it once", id="gzip in zip"),
        pytest.param(zstd_of(zstd_of(b"a")), "unpack it once", id="zstd in zstd"),
        pytest.param(b"BZh91AY&SY", "packed with bzip2: gzip, zip and zstd are read", id="bzip2"),
        pytest.param(b"\xfd7zXZ\x00\x00\x04", "packed with xz", id="xz"),
        pytest.param(zstd_frame(LARGEST_WINDOW * 2), "a window of 64 MiB", id="a large window"),
        pytest.param(zstd_of(b"a") + zstd_frame(LARGEST_WINDOW * 4), "a window of 128 MiB",
                     id="a large window in a second frame"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_read_says_what_it_is(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(RefusedError) as caught:
        read_all(path)
    assert str(caught.value).startswith("a.zip: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("shape", [shape for shape in PACKED if shape != "plain"])
def test_a_file_damaged_anywhere_is_refused_and_nothing_else_happens(
    tmp_path: Path, shape: str
) -> None:
    """Each byte in turn is another, or the last one there is."""
    path = tmp_path / "a.csv"
    content = b"id,event\n1,login\n2,logout\n" * 3
    whole = PACKED[shape](content)
    for place in range(len(whole)):
        path.write_bytes(whole[:place])
        # Less than four bytes are no archive; cut between two members, it is one of the half.
        assert place < 4 or (read_or_refuse(path) or b"") in content
        for bits in (1, 8, 128, 255):
            damaged = whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
            path.write_bytes(damaged)
            found = read_or_refuse(path)
            # These frames have no checksum. What is no archive any more is read as it lies there:
            # no header looks so.
            assert "zstd" in shape or found in (None, content, damaged)


def read_or_refuse(path: Path) -> bytes | None:
    """The content of a file, None where it is refused in one line."""
    try:
        return read_all(path)
    except RefusedError as error:
        said = str(error)
    assert said.startswith("a.csv: ")
    assert said.isprintable()
    return None


@pytest.mark.parametrize("shape", [shape for shape in PACKED if shape != "plain"])
def test_half_a_file_says_that_it_is_half_written(tmp_path: Path, shape: str) -> None:
    whole = PACKED[shape](CONTENT)
    path = tmp_path / "a.csv"
    for length in (20, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(RefusedError, match=r"^a\.csv: the compressed file ends early: it is h"):
            read_all(path)


BOMB_BYTES = 1 << 30
READ_AND_SAY = """
import resource, sys
from pathlib import Path
from loader.warehouse.files import Unpacked
import pyarrow
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file, read = Unpacked(Path(sys.argv[1])), 0
while piece := file.read(1 << 18):
    read += len(piece)
print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("shape", ["gzip", "zip", "zstd", "zip that says it is small"])
def test_a_bomb_costs_as_much_memory_as_any_other_file(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.csv"
    zeros = bytes(1 << 20)
    if shape == "gzip":
        # Members of their own, made once: packing a gigabyte would take longer than reading it.
        path.write_bytes(gzip.compress(zeros * 16) * (BOMB_BYTES >> 24))
    elif shape == "zstd":
        path.write_bytes(zstd_of(zeros * 16) * (BOMB_BYTES >> 24))
    else:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("a.csv", "w") as member,
        ):
            for _ in range(BOMB_BYTES >> 22):
                member.write(zeros)
    if shape == "zip that says it is small":
        data = path.read_bytes()
        # The size in the directory, which is the one that is believed.
        path.write_bytes(data.replace((BOMB_BYTES >> 2).to_bytes(4, "little"), b"\x09\0\0\0"))
        with pytest.raises(RefusedError, match="damaged"):
            read_all(path)
        return
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_SAY, path], capture_output=True, text=True, check=True
    )
    read, kibibytes = map(int, done.stdout.split())
    assert read == BOMB_BYTES >> (2 if shape == "zip" else 0)
    assert kibibytes < 48 << 10
