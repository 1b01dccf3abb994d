"""Tests keep their files in memory where there is room for them.

A pytest plugin. Each test has a database of its own, and a database is a thousand files: on a disk
making one takes 70 ms, in memory 10 ms. Where there is no such place (macOS, a small container, one
that runs no programs) the files are where pytest puts them.
"""

import contextlib
import os
import shutil
from pathlib import Path

import psutil
import pytest

MEMORY = Path("/dev/shm")
PREFIX = "warehouse-tests-"
ROOM_BYTES = 8 << 30


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Say where, before pytest itself decides; it goes with the run."""
    is_decided = config.option.basetemp or hasattr(config, "workerinput")
    if is_decided or config.option.collectonly or not _has_room():
        return
    _remove_what_the_killed_left()
    directory = MEMORY / f"{PREFIX}{os.getpid()}"
    config.option.basetemp = directory
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


def _has_room() -> bool:
    with contextlib.suppress(OSError):
        there = os.statvfs(MEMORY)
        room = min(there.f_bavail * there.f_frsize, psutil.virtual_memory().available)
        return room > ROOM_BYTES and not there.f_flag & os.ST_NOEXEC
    return False


def _remove_what_the_killed_left() -> None:
    for directory in MEMORY.glob(f"{PREFIX}*"):
        pid = directory.name.removeprefix(PREFIX)
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(directory, ignore_errors=True)
