"""What comes from outside, by kind: odd values for a field, odd records, and odd files and bodies.

The limits are those that the product names itself: a new one brings its cases with it.
"""

import csv
import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from loader.snapshots.grammar import LONGEST_TEXT_BYTES
from loader.warehouse.values import LONGEST_NAME_BYTES, MAX_DIGITS, TOO_LARGE, TOO_SMALL
from tests.odd_values import NOISE

# Numbers as they may stand in JSON, bare or as a text.
NUMBERS = {
    "NaN": "NaN",
    "minus infinity": "-Infinity",
    "an exponent of a million": "1E1000000",
    "an exponent of 99999999": "1E99999999",
    "an exponent of -99999999": "1E-99999999",
    "too many digits": "9" * (MAX_DIGITS + 1),
    "5000 digits": "9" * 5000,
    "5000 decimals": "0." + "3" * 5000,
    "the first too large": f"{TOO_LARGE:f}",
    "the last too small": f"{TOO_SMALL / 5:f}",
    "below zero": "-1",
    "zero": "0",
    "NaN as text": '"NaN"',
    "a huge text": '"1e999999999"',
    "other digits": '"٣"',
    "a comma": '"1,5"',
}  # fmt: skip

TEXTS = {
    "NUL": "a\0b",
    "half a character": "\ud800",
    "escapes": "\x1b]0;gone\x07\x1b[2J",
    "C1 controls": "\x9b2J\x85",
    "bidi": "\u202eabc\u2066",
    "line ends": "a\nb\r\nc\u2028d",
    "empty": "",
    "blank": " \t",
    "no value": "NULL",
    "a backslash and N": "\\N",
    "quotes": "'); drop table raw.deposits; --\"",
    "over the longest name": NOISE[: LONGEST_NAME_BYTES + 1],
    "over the longest text": NOISE[: LONGEST_TEXT_BYTES + 1],
    "10 kB": NOISE,
    "1 MB": "x" * 1_000_000,
}

# JSON of a wrong kind.
WRONG_KINDS = {
    "null": "null",
    "true": "true",
    "a list": "[1]",
    "an object": '{"a": 1}',
    "a text": '"text"',
    "nested 1000 deep": "[" * 1000 + "]" * 1000,
}
DEEP = "[" * 200_000 + "]" * 200_000
ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "latin-1": lambda data: data[: len(data) // 2] + b"\xf1\xe9" + data[len(data) // 2 :],
    "half of a character": lambda data: (
        data[: len(data) // 2] + b"\xe2\x82" + data[len(data) // 2 :]
    ),
}
CUT: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: len(data) // 2],
    "nothing": lambda _: b"",
    "the last byte": lambda data: data.rstrip(b"\n")[:-1],
    "zeros at the end": lambda data: data + bytes(4096),
    "zeros alone": lambda _: bytes(4096),
    "zeros in the middle": lambda data: data[: len(data) // 2] + bytes(64) + data[len(data) // 2 :],
    "noise": lambda data: bytes((byte * 7 + n) % 256 for n, byte in enumerate(data)),
}  # fmt: skip


class Spoiled(NamedTuple):
    """A record that is odd: its kind and name, and its text."""

    kind: str
    name: str
    text: str


_HERE = "@here@"


def spoiled_records(record: dict[str, Any], number: str, text: str) -> Iterator[Spoiled]:
    """A JSON record with each fault in it; `number` and `text` name a member of each kind."""
    for name, value in NUMBERS.items():
        yield Spoiled("numbers", name, _with(record, number, value))
    for name, value in TEXTS.items():
        kind = "size" if name[0] == "1" else "text"
        yield Spoiled(kind, name, _with(record, text, json.dumps(value)))
    for name, value in WRONG_KINDS.items():
        yield Spoiled("shape", f"{name} for a number", _with(record, number, value))
        yield Spoiled("shape", f"{name} for a record", value)
    yield Spoiled("shape", "missing", json.dumps({k: v for k, v in record.items() if k != number}))
    whole = json.dumps(record)
    yield Spoiled("duplication", "a key twice", whole[:-1] + f', "{number}": "7"}}')
    yield Spoiled("duplication", "the record twice", f"{whole}, {whole}")
    yield Spoiled("order", "the members reversed", json.dumps(dict(reversed(record.items()))))
    yield Spoiled("size", "nested 200 000 deep", _with(record, "surprise", DEEP))
    more = {f"member {n}": n for n in range(20_000)}
    yield Spoiled("size", "20 000 more members", json.dumps({**record, **more}))


def _with(record: dict[str, Any], name: str, value: str) -> str:
    return json.dumps({**record, name: _HERE}).replace(f'"{_HERE}"', value)


def numbers_of_csv() -> dict[str, str]:
    """The same numbers as a field of CSV has them."""
    return {name: value.strip('"') for name, value in NUMBERS.items() if value[0] != '"'} | {
        "an underscore": "1_000", "hexadecimal": "0x10", "true": "true", "nothing": "",
    }  # fmt: skip


def csv_row(values: list[str]) -> bytes:
    """A row of CSV; half a character stands in it as bytes that are none."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue().encode(errors="surrogatepass")


def with_field(row: str, place: int, value: str) -> bytes:
    """A row of CSV without quotes, one field of it replaced."""
    fields = row.split(",")
    fields[place] = value
    return csv_row(fields)


# --- packed -----------------------------------------------------------------------------------


def damaged_gzip(data: bytes) -> bytes:
    """Right at its start and its end."""
    packed = bytearray(gzip.compress(data))
    for at in range(12, len(packed) - 12, 5):
        packed[at] ^= 0x55
    return bytes(packed)


@cache
def bomb(line: bytes = b"") -> bytes:
    """1 GiB of blanks behind a line, as gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(line)]
    parts += [packer.compress(b" " * (1 << 20)) for _ in range(1024)]
    return b"".join([*parts, packer.flush()])


def zipped(**members: bytes) -> bytes:
    """A zip archive of some files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    """A file in a gzipped tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
