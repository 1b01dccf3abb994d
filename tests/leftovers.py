"""What a test leaves behind fails it: processes, threads, ports, databases, roles and files.

A pytest plugin. After each test whatever is there that was not there before, and that no fixture
of a wider scope made, is named and, where it can be, ended. After the last one nothing of the run
is left, also when it was cut off: then what is there is ended without further words.
"""

import contextlib
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from loader.warehouse.postgres.embedded import Embedded
from tests.leftovers_found import (
    Found,
    Processes,
    Queries,
    in_project,
    in_temporary,
    ports,
    threads,
)
from tests.waiting import wait_for

# What ends by itself, such as the thread of a connection that was closed, is given so long.
GRACE_SECONDS = 120.0


class Leftovers:
    """The check, for one test process."""

    def __init__(self, home: Path, temporary: Path) -> None:
        self._home = home
        self._temporary = temporary
        self._processes = Processes(home)
        self._queries: Queries | None = None
        # By the scope of the fixtures that made it: it is theirs to end.
        self._kept: dict[str, Found] = {}
        self._before = Found()
        self._at_the_start = self._look()
        self._in_project = in_project()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """What a fixture of a wider scope makes may outlive the test that asked for it first."""
        scope = fixturedef.scope
        if scope == "function":
            return (yield)
        before = self._look()
        made = yield
        if fixturedef.argname == "server" and hasattr(made, "admin"):
            self._queries = Queries(made.admin)
        self._kept[scope] = self._kept.get(scope, Found()) | (self._look() - before)
        return made

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        """Know what was there before."""
        self._before = self._look()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Iterator[None]:
        """Hold what is there against what was; at a module's end its fixtures may keep no more."""
        if nextitem is None:
            self._forget_database()
        try:
            return (yield)
        finally:
            is_last = nextitem is None or nextitem.path != item.path
            if is_last:
                self._kept = {scope: it for scope, it in self._kept.items() if scope == "session"}
                self._before = Found()
            kept = self._at_the_start | self._before
            for found in self._kept.values():
                kept |= found
            left = [*self._left(kept, GRACE_SECONDS), *(self._new_in_project() if is_last else [])]
            if left:
                pytest.fail(f"left over after {item.nodeid}: {', '.join(left)}", pytrace=False)

    def at_the_end(self, *, is_cut_off: bool) -> list[str]:
        """What is left of everything, all fixtures being over, or cut off."""
        self._forget_database()
        stopped = [f"server in {home}" for home in _servers(self._home) if Embedded(home).stop()]
        # Nobody will end what a run that was cut off has begun.
        left = self._left(self._at_the_start, 0 if is_cut_off else GRACE_SECONDS)
        return [*stopped, *left, *self._new_in_project()]

    def _forget_database(self) -> None:
        if self._queries:
            self._queries.close()
            self._queries = None

    def _look(self) -> Found:
        names = {*threads(), *ports(), *in_temporary(self._temporary)}
        if self._queries:
            names |= self._queries.names()
        return Found(self._processes.ours(), names)

    def _left(self, kept: Found, grace: float) -> list[str]:
        """The names of what does not go by itself; processes among it are ended."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not (self._look() - kept), "an end", grace)
        left = self._look() - kept
        told = left.told()
        for process in left.processes.values():
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(list(left.processes.values()), timeout=GRACE_SECONDS)
        # It is told once.
        self._at_the_start |= left
        return told

    def _new_in_project(self) -> list[str]:
        new = in_project() - self._in_project
        self._in_project |= new
        return sorted(new)


def _servers(home: Path) -> Iterator[Path]:
    """Where embedded servers have their data: a test process's below its own directory."""
    for way in ("", "*/", "*/*/", "*/*/*/"):
        for pid_file in home.glob(f"{way}data/postmaster.pid"):
            yield pid_file.parents[1]


_CHECK = pytest.StashKey[Leftovers]()
_LEFT = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch, as soon as it is known where this run has its own directory."""
    if config.option.collectonly:
        return
    home: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    # Whatever is written to a temporary directory, also by a child, is written there.
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    config.stash[_CHECK] = check = Leftovers(home, temporary)
    config.pluginmanager.register(check, "leftovers of a test")
    # Whoever ends the run, as `timeout` does, does not end it in another way than Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_keyboard_interrupt() -> None:
    """Ctrl-C, once: a second one must not cut off the end of the fixtures."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Whatever happened: nothing outlives the run."""
    try:
        return (yield)
    finally:
        check = session.config.stash.get(_CHECK, None)
        is_cut_off = exitstatus == pytest.ExitCode.INTERRUPTED
        left = check.at_the_end(is_cut_off=is_cut_off) if check else []
        if left and not is_cut_off:
            session.config.stash[_LEFT] = left
            session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was left at the very end."""
    for name in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"left over after all tests: {name}", red=True)
