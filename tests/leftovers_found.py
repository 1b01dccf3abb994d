"""What there is at some moment that a test could leave behind, each by a name that says what it is.

Processes count as ours by their parent, or when they name this run's own temporary directory in
their command line or environment: an embedded server, for one, has left its parent on purpose.
"""

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
from psycopg2.extensions import connection as Connection

from loader.warehouse.settings import PROJECT_ROOT

# Those of a LocalServer end with it, and its own is looked for; the others are of libraries, which
# have as many after a thousand tests as after one.
_SHARED_THREADS = (
    "conversation",
    "asyncio_",
    "ThreadPoolExecutor",
    "pytest_timeout",
    "execnet",
    "tqdm",
)
_CACHES = {"__pycache__", ".pytest_cache", ".hypothesis", ".ruff_cache", ".mypy_cache", ".coverage"}


@dataclass
class Found:
    """Some of what there is."""

    # By number: what it is called may change with its program.
    processes: dict[int, psutil.Process] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def __or__(self, other: "Found") -> "Found":
        return Found(self.processes | other.processes, self.names | other.names)

    def __sub__(self, other: "Found") -> "Found":
        left = {pid: it for pid, it in self.processes.items() if pid not in other.processes}
        return Found(left, self.names - other.names)

    def __bool__(self) -> bool:
        return bool(self.processes or self.names)

    def told(self) -> list[str]:
        """The names of all of it."""
        processes = [f"process {pid} {_command(it)}" for pid, it in self.processes.items()]
        return sorted([*processes, *self.names])


class Processes:
    """Those of this test process; each is looked at once, as it is new."""

    def __init__(self, home: Path) -> None:
        # Each test has a directory below it, and names it in what it starts.
        self._home = f"{home}/"
        self._strangers: set[int] = set()
        self._ours: dict[int, psutil.Process] = {}

    def ours(self) -> dict[int, psutil.Process]:
        """Those that live."""
        pids = set(psutil.pids())
        self._strangers &= pids
        self._ours = {pid: it for pid, it in self._ours.items() if pid in pids and _lives(it)}
        for pid in sorted(pids - self._strangers - self._ours.keys() - {os.getpid()}):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if self._is_ours(process) and _lives(process):
                    self._ours[pid] = process
                    continue
            self._strangers.add(pid)
        return dict(self._ours)

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.name() == "postgres" == psutil.Process(process.ppid()).name():
            # Those of an embedded server come and go with its work; it stands for them.
            return False
        if process.ppid() in self._ours:
            return True
        if process.ppid() == os.getpid():
            # The helper of multiprocessing is everybody's.
            return "resource_tracker" not in _command(process)
        said = "\n".join([*process.cmdline(), *process.environ().values()])
        return self._home in said


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:120] or process.name()
    return "that has just ended"


def threads() -> set[str]:
    """Those of this process that could still do something to another test."""
    return {
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
        and not isinstance(thread, threading._DummyThread)
        and not thread.name.startswith(_SHARED_THREADS)
    }


def ports() -> set[str]:
    """Those that this process listens on.

    Asked of its own sockets: the system's list of all connections takes long to read, and a test
    leaves hundreds in it.
    """
    found = set()
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                ):
                    found.add(f"port {one.getsockname()[1]}")
    return found


class Queries:
    """A session on the test process's own Postgres."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def names(self) -> set[str]:
        """Databases and roles."""
        with suppress(Exception):
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "select 'database ' || datname from pg_database "
                    "union all select 'role ' || rolname from pg_roles"
                )
                return {name for (name,) in cursor.fetchall()}
        return set()

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            self._connection.close()


def in_project() -> set[str]:
    """Names down to the second level: a file that appears there is seen, whatever is ignored."""
    below = [PROJECT_ROOT, *(PROJECT_ROOT / name for name in _directories())]
    return {
        f"file {entry.relative_to(PROJECT_ROOT)}"
        for directory in below
        for entry in _entries(directory)
        # Modules are written by people, who need not wait for the end of a run.
        if entry.name not in _CACHES and entry.suffix != ".py"
    }


@cache
def _directories() -> tuple[str, ...]:
    return tuple(
        entry.name
        for entry in _entries(PROJECT_ROOT)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def in_temporary(directory: Path) -> set[str]:
    """What is in this run's directory for temporary files."""
    return {f"file {entry}" for entry in _entries(directory)}


def _entries(directory: Path) -> Iterable[Path]:
    with suppress(OSError):
        return list(directory.iterdir())
    return []
