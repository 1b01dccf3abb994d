"""What a packed file holds: gzip, zip or Zstandard, told by its content and never by its name.

Facts about the formats: RFC 1952 (gzip), PKWARE's APPNOTE.TXT (zip), RFC 8878 (Zstandard). Nothing
is unpacked further than it is read, and what a file says of its own size is never believed: a bomb
costs as much memory as any other file.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from loader.warehouse.errors import RefusedError
from loader.warehouse.text import printable, shortened

BUFFER_BYTES = 1 << 18
# An archive of one file has a directory of a few hundred bytes; that of many would fill memory.
LONGEST_ZIP_DIRECTORY = 1 << 20
# What a decoder keeps of a file's content. RFC 8878 asks for 8 MiB at least, `zstd --ultra -20`
# wants 32 MiB, `--long` up to 2 GiB.
LARGEST_WINDOW = 32 << 20

_GZIP = b"\x1f\x8b"
# A file in it, an empty one, and the first part of one in several parts.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ZSTD = b"\x28\xb5\x2f\xfd"
# Frames that hold no content: any of sixteen numbers, in which only the first byte differs.
_SKIPPED = b"\x2a\x4d\x18"
_NOT_READ = {
    b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"\x04\x22\x4d\x18": "LZ4", b"Rar!\x1a\x07": "RAR",
}  # fmt: skip
START_BYTES = 8

# What the libraries raise of a damaged file. Not all of it is documented: the test that damages
# every byte of an archive holds this list.
DAMAGE = (
    OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error, UnicodeError, OverflowError,
    NotImplementedError,
)  # fmt: skip


def is_packed(start: bytes) -> bool:
    """Whether a file that starts so is packed in a way that is read here."""
    return start.startswith((_GZIP, *_ZIP)) or _is_zstd(start)


def unpacked(raw: BinaryIO) -> BinaryIO | None:
    """The content of a packed file, to be read once from its start; None where it is not packed.

    Raises RefusedError, without the file's name, for an archive that is not read here, and what
    is in DAMAGE for a damaged one; reading raises that too.
    """
    start = os.pread(raw.fileno(), START_BYTES, 0)
    if start.startswith(_GZIP):
        content = cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    elif start.startswith(_ZIP):
        content = _of_zip(raw)
    elif _is_zstd(start):
        content = _of_zstd(raw)
    else:
        for magic, name in _NOT_READ.items():
            if start.startswith(magic):
                raise RefusedError(f"packed with {name}: gzip, zip and zstd are read")
        return None
    # One way to read lines and to look ahead, whatever the library offers.
    buffered = io.BufferedReader(cast(io.RawIOBase, content), BUFFER_BYTES)
    if is_packed(buffered.peek(START_BYTES)[:START_BYTES]):
        raise RefusedError("a packed file that holds a packed file: unpack it once")
    return buffered


def what_is_wrong(error: BaseException) -> str:
    """One of DAMAGE, as part of a line for people."""
    if isinstance(error, EOFError):
        return "the compressed file ends early: it is half-written"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return "a damaged compressed file"


def _is_zstd(start: bytes) -> bool:
    return start.startswith(_ZSTD) or (start[1:4] == _SKIPPED and start[0] >> 4 == 5)


# --- zip --------------------------------------------------------------------------------------


class _ZipSource(io.BufferedReader):
    """A file as `zipfile` reads it, which takes the whole directory of an archive into memory."""

    is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_open and size is not None and size > LONGEST_ZIP_DIRECTORY:
            raise RefusedError("a zip of far too many files: one is needed")
        return super().read(size)


def _of_zip(raw: BinaryIO) -> BinaryIO:
    # On the same descriptor: nothing else may come under the name meanwhile.
    source = _ZipSource(io.FileIO(raw.fileno(), closefd=False), BUFFER_BYTES)
    if not zipfile.is_zipfile(source):
        # What makes it one is its end.
        raise EOFError
    archive = zipfile.ZipFile(source)
    source.is_open = True
    members = [each for each in archive.infolist() if not _is_beside_data(each)]
    if len(members) != 1:
        names = ", ".join(shortened(printable(each.filename), 40) for each in members[:3])
        more = ", ..." if len(members) > 3 else ""
        raise RefusedError(
            f"a zip of {len(members)} files ({names}{more}): one is needed"
            if members
            else "a zip without a file in it"
        )
    [member] = members
    if member.flag_bits & 0x1:
        raise RefusedError("an encrypted zip: pack it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedError("a zip whose file is packed in a rare way: deflate is read")
    return cast(BinaryIO, archive.open(member))


def _is_beside_data(member: zipfile.ZipInfo) -> bool:
    """Directories, and what macOS packs along with each file."""
    path = PurePosixPath(member.filename)
    return member.is_dir() or path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"


# --- Zstandard --------------------------------------------------------------------------------


def _of_zstd(raw: BinaryIO) -> BinaryIO:
    _check_frames(raw.fileno())
    # A fifth of a second to import, for a rare kind of file.
    import pyarrow as pa  # noqa: PLC0415

    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))


def _check_frames(file: int) -> None:
    """Walk over the frames of a file, without reading their content (RFC 8878, section 3.1).

    The library would keep a window of up to 128 MiB, and of a file that ends between two frames
    nobody can tell whether it is whole.
    """
    place, size = 0, os.fstat(file).st_size
    while place < size:
        head = os.pread(file, 18, place)
        if head[1:4] == _SKIPPED and len(head) >= 8:
            place += 8 + int.from_bytes(head[4:8], "little")
            continue
        if not head.startswith(_ZSTD):
            raise OSError("no frame begins here")
        place += _frame_bytes(file, head, place)
    if place > size:
        raise EOFError


def _frame_bytes(file: int, head: bytes, place: int) -> int:
    """How long the frame is that begins at a place with such a head."""
    descriptor = head[4] if len(head) > 4 else 0
    is_single = descriptor >> 5 & 1
    size_bytes = (is_single, 2, 4, 8)[descriptor >> 6]
    end = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
    if len(head) < end:
        raise EOFError
    if is_single:
        # The content itself is the window; one of two bytes is counted from 256 on.
        window = int.from_bytes(head[end - size_bytes : end], "little")
    else:
        base = 1 << 10 + (head[5] >> 3)
        window = base + base // 8 * (head[5] & 7)
    if window > LARGEST_WINDOW:
        raise RefusedError(
            f"packed with a window of {window >> 20} MiB, at most {LARGEST_WINDOW >> 20} MiB are "
            "read: pack it without --long or --ultra"
        )
    is_last = False
    while not is_last:
        block = os.pread(file, 3, place + end)
        if len(block) < 3:
            raise EOFError
        header = int.from_bytes(block, "little")
        is_last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        # One byte stands for a block of the same byte over and over.
        end += 3 + (1 if kind == 1 else length)
    return end + 4 * (descriptor >> 2 & 1)
