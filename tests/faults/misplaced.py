"""Things that stand where a file is expected, for every surface that takes a file."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

# Below the 255 bytes of a name, with everything in it that a terminal would obey.
ODD_NAME = "a\nb\x1b[2J\x07\u202e\udcff" + "x" * 200


def _pipe(path: Path, _: bytes) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path, _: bytes) -> Path:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        # An address of a socket has 108 bytes at the most.
        before = Path.cwd()
        server.bind(os.path.relpath(path, before) if len(str(path)) > 100 else str(path))
    return path


def _directory(path: Path, _: bytes) -> Path:
    path.mkdir()
    return path


def _nowhere(path: Path, _: bytes) -> Path:
    path.symlink_to("nowhere")
    return path


def _circle(path: Path, _: bytes) -> Path:
    path.symlink_to(path.name)
    return path


def _link(path: Path, data: bytes) -> Path:
    target = path.with_name("target")
    target.write_bytes(data)
    path.symlink_to(target)
    return path


def _locked(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0)
    return path


def _in_a_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path / "below"


def _odd_name(path: Path, data: bytes) -> Path:
    odd = path.with_name(ODD_NAME + "".join(path.suffixes))
    odd.write_bytes(data)
    return odd


def _long_path(path: Path, data: bytes) -> Path:
    """As long as the system opens."""
    directory = path.parent
    while len(os.fsencode(directory)) < 3600:
        directory /= "d" * 200
    directory.mkdir(parents=True)
    found = directory / path.name
    found.write_bytes(data)
    return found


Misplace = Callable[[Path, bytes], Path]

# Each makes something at a path, given the bytes of a good file, and says what to hand over.
PLACES: dict[str, Misplace] = {
    "a pipe": _pipe,
    "a socket": _socket,
    "an endless device": lambda *_: Path("/dev/zero"),
    "the null device": lambda *_: Path(os.devnull),
    "a directory": _directory,
    "a link to nowhere": _nowhere,
    "a link in a circle": _circle,
    "a file as a directory": _in_a_file,
    "nothing": lambda path, _: path,
    "an odd name that is not there": lambda path, _: path.with_name(ODD_NAME),
    "a name too long": lambda path, _: path.with_name("x" * 300),
    "memory": lambda *_: Path("/proc/self/mem"),
}
# Such as are taken.
ODD_PLACES: dict[str, Misplace] = {"an odd name": _odd_name, "a long path": _long_path}
LINK: Misplace = _link
LOCKED: Misplace = _locked
