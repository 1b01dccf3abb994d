"""What a field may come with: values at and past every limit of its kind, and of every wrong shape.

The limits are those that the code itself names: a new one brings its values with it.
"""

import json
import random
from collections.abc import Iterator
from decimal import Decimal

from loader.lake.lines import SMALLEST
from loader.snapshots.grammar import LONGEST_TEXT_BYTES
from loader.warehouse.values import (
    EPOCH_MILLISECONDS,
    INT4,
    LONGEST_NAME_BYTES,
    MAX_DIGITS,
    TOO_LARGE,
    TOO_SMALL,
)

_chance = random.Random(11)
# Not to be made shorter by any compression, which an index would forgive.
NOISE = "".join(_chance.choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                k=10_000))  # fmt: skip


def _around(limit: Decimal, step: Decimal) -> Iterator[str]:
    """A limit, one step to each side of it, and far beyond."""
    for number in (limit - step, limit, limit + step, limit * 1000, -limit):
        yield f"{number:f}"


def numbers() -> list[str]:
    """Texts of numbers, as JSON or a file may have them."""
    found = [
        "0", "-0", "0.0", "1", "-1", "+1", "1.0", "1.5", "0.5", "01", "1e3", "1E-30", "1e400",
        "1e-400", "1e9999", "1" * 40, "0." + "3" * 40, "9" * MAX_DIGITS, "9" * (MAX_DIGITS + 1),
        "9" * 19 + "." + "9" * 40, "9" * 20 + "." + "9" * 40, str(2**63 - 1), str(2**63),
    ]  # fmt: skip
    for whole in (INT4.start, INT4.stop, EPOCH_MILLISECONDS.stop):
        found += _around(Decimal(whole), Decimal(1))
    for limit, step in (
        (TOO_LARGE, SMALLEST), (TOO_LARGE * 10, SMALLEST), (TOO_SMALL, TOO_SMALL / 5),
    ):  # fmt: skip
        found += _around(limit, step)
    return found


def texts() -> list[str]:
    """Texts of other things, and of none."""
    longest = (LONGEST_NAME_BYTES, LONGEST_TEXT_BYTES)
    return [
        "", " ", " 1", "1 ", "\t\n", "\u00a0", "x", "btc_mxn", "true", "false", "null", "\\N",
        "NaN", "nan", "Infinity", "-Infinity", "inf", "1,5", "1_000", "0x10", "٣", "é", "ß",
        "0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00+14:00", "0002-01-01T00:00:00+14:00",
        "9998-12-31T23:59:59-14:00", "9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00+00:00", "2026-02-30T00:00:00+00:00", "2026-01-05T12:00:00+00:00",
        "2026-01-05T12:00:00", "2026-01-05", "1750000000000", "a,b", 'say "hi"', "a\nb", "\ud800",
        "a\x00b", "[1]", "{}", NOISE,
        # At the limit in bytes, past it, and such as grow in upper case.
        *(NOISE[: size + more] for size in longest for more in (0, 1)),
        *("ɐ" * ((size + more) // 2) for size in longest for more in (0, 2)),
    ]  # fmt: skip


def json_values() -> list[str]:
    """Every value as it would stand in a body of JSON, good and bad."""
    bare = [
        each for each in numbers() if each[0] != "+" and not (each[0] == "0" and each[1:2] == "1")
    ]
    return list(dict.fromkeys([
        "true", "false", "null", "[]", "[1]", "{}", '{"a": 1}', "NaN", "Infinity", "-Infinity",
        *bare, *(json.dumps(each) for each in (*numbers(), *texts())),
    ]))  # fmt: skip


def written_values() -> list[str]:
    """Every value as a field of a file may have it."""
    return list(dict.fromkeys([*numbers(), *texts(), "[]", "2026-01-05 12:00:00+00"]))
