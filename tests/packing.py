"""Content packed in every way that is read, and in some that are not."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping

import pyarrow as pa


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of some files; a name that ends with a slash is a directory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def zstd_of(data: bytes) -> bytes:
    """One frame, which says how long it is and has no checksum."""
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def zstd_streamed(data: bytes) -> bytes:
    """One frame that was written piece by piece, so that it does not know how long it is."""
    file = pa.BufferOutputStream()
    with pa.CompressedOutputStream(file, "zstd") as sink:
        sink.write(data)
    return bytes(file.getvalue())


def zstd_frame(window: int) -> bytes:
    """The head of a frame that wants a window of so many bytes (a power of two), and an end."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(window.bit_length() - 11) << 3]) + b"\x01\0\0"


def _halves(pack: Callable[[bytes], bytes], data: bytes) -> bytes:
    return pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


# Each takes the content of a file.
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip, two members": lambda data: _halves(gzip.compress, data),
    "zip": lambda data: zipped({"a.csv": data}),
    "zip, stored": lambda data: zipped({"a.csv": data}, zipfile.ZIP_STORED),
    "zip of a Mac": lambda data: zipped(
        {"folder/": b"", "folder/a.csv": data, "__MACOSX/folder/._a.csv": b"\0\5\x16\7"}
    ),
    "zstd": zstd_of,
    "zstd, streamed": zstd_streamed,
    "zstd, two frames": lambda data: _halves(zstd_of, data),
    "zstd, skippable frame first": lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0meta" + zstd_of(data),
}
