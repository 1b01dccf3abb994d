"""What somebody may type where a value belongs, and the files that are none."""

import contextlib
import os
import socket
from pathlib import Path

TEXTS = (
    "", " ", "-", "--", "-1", "--help=x", "0", "1e400", "9" * 400, "NaN", "-Infinity", "0x10",
    "\u0661",
    "x" * 10_000, "a\nb\r\tc", "\x1b]0;title\x07\x1b[2J", "\u202egnp.exe", "\u200b", "🦄",
    "a\udcffb", "'; drop schema raw cascade; --", "%s %(book)s {0} :book", "../../x", "a,b,,c",
    "2026-02-30", "10000-01-01", "2016-12-31T23:59:60Z", "2026-01-05T12:00+25:00",
)  # fmt: skip
# The ends of what can be written as a time, and what is before and after everything there is.
FIRST, LAST = "0001-01-01", "9999-12-31"


def files(directory: Path, *, waiting: bool) -> list[str]:
    """Paths of each kind that is no file, below a directory; `waiting`: pipes too."""
    made = {name: directory / name for name in ("pipe", "socket", "circle", "nowhere", "empty")}
    made["circle"].symlink_to(made["circle"])
    made["nowhere"].symlink_to(directory / "missing")
    made["empty"].mkdir()
    os.mkfifo(made["pipe"])
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(directory):
        listener.bind("socket")
    if not waiting:
        del made["pipe"]
    return [
        *map(str, made.values()), "/dev/null", "/dev/full", "/", str(directory / "missing" / "x"),
        str(directory / ("n" * 300)), str(directory / "a\nb\x1b[2J"),
    ]  # fmt: skip
