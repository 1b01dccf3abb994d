"""What a case has for itself: a directory, a database, and commands that are watched."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil
from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres.connection import Endpoint
from loader.warehouse.postgres.embedded import SUPERUSER
from loader.warehouse.text import LONGEST_LINE
from tests.conftest import BIN, MEASURED, Server
from tests.exchange.coincap import KEY
from tests.waiting import wait_for

LAUNCHER = Path(__file__).with_name("launcher.py")
# A command that has not ended by then holds whoever waits for it; no fault may do that.
HANG_SECONDS = 120.0
# Of its output: more than anybody reads.
MOST_OUTPUT = 1 << 20
# Every command that loads stays below, whatever comes in; and takes less of the processor, which
# a fault may not make it spend without end.
MOST_MIB = 150.0
MOST_CPU_SECONDS = 60.0

# What no command may tell: the key of a source, and what cases give as one.
SECRETS = (KEY, "secret-of-somebody")

# What acts on a terminal: controls of one byte and of two, and what turns the direction of text.
_ACTS = re.compile(
    rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"
).search

Streams = int | IO[bytes] | None


class Ran(NamedTuple):
    """What became of a command: its exit code and output, what it took, what it left behind."""

    code: int
    out: bytes
    err: bytes
    cpu_seconds: float
    peak_mib: float
    left: tuple[str, ...]
    has_hung: bool

    @property
    def said(self) -> str:
        """Its stderr."""
        return self.err.decode(errors="replace")


# Those at work: whoever ends early ends them, too.
_AT_WORK: set["Started"] = set()


def end_all() -> None:
    """End every command that is at work, without a word."""
    for started in list(_AT_WORK):
        started.send(signal.SIGKILL)


class Started:
    """A command at work, in a session of its own."""

    def __init__(
        self, command: list[str], place: "Place", environment: dict[str, str], *,
        out: Streams = None, err: Streams = None, wrap: tuple[str, ...] = (),
        most_written: int = 0, rights: str = "all",
    ) -> None:  # fmt: skip
        number = next(place.numbers)
        self._report = place.directory / f"report_{number}"
        self.out = place.directory / f"stdout_{number}"
        self.err = place.directory / f"stderr_{number}"
        with self.out.open("wb") as own_out, self.err.open("wb") as own_err:
            self._process = subprocess.Popen(
                # The sources of the launcher's own modules alone: it must stay small.
                [
                    sys.executable,
                    "-I",
                    "-S",
                    LAUNCHER,
                    self._report,
                    str(most_written),
                    rights,
                    *wrap,
                    *command,
                ],
                env=environment,
                cwd=place.directory,
                stdin=subprocess.DEVNULL,
                stdout=own_out if out is None else out,
                stderr=own_err if err is None else err,
                start_new_session=True,
            )
        wait_for(lambda: self._lines(1) or not self.is_running, "the command's start")
        lines = self._lines(1)
        assert lines, f"the launcher has ended: {_read(self.err)!r}"
        self.pid = int(lines[0])
        _AT_WORK.add(self)

    def _lines(self, count: int) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            *whole, _ = self._report.read_text().split("\n")
            return whole if len(whole) >= count else []
        return []

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal, to the command itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> Ran:
        """Wait until it has ended; one that does not is killed, and has hung."""
        has_hung = False
        try:
            self._process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            has_hung = True
            self.send(signal.SIGKILL)
            self._process.wait()
        _AT_WORK.discard(self)
        left = tuple(self._left_behind())
        usage = self._lines(2)
        code, cpu, peak = usage[1].split() if usage else ("-9", "0", "0")
        return Ran(
            int(code), _read(self.out), _read(self.err), float(cpu), int(peak) / 1024, left,
            has_hung,
        )  # fmt: skip

    def _left_behind(self) -> Iterator[str]:
        """What of its group is still alive: told, and ended."""
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    is_alive = process.status() != psutil.STATUS_ZOMBIE
                    if is_alive and os.getpgid(process.pid) == group:
                        yield " ".join(process.cmdline())[:80]
                        process.kill()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_OUTPUT)


@dataclass
class Place:
    """A directory, a database, and the environment of the commands that run there."""

    server: Server
    directory: Path
    where: Endpoint
    environment: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))
    admin: Connection | None = None

    def rows(self, query: str, *values: object) -> list[Any]:
        """Run one statement as the superuser; return its rows, if it has any."""
        if self.admin is None:
            # One for all: who waits for an event asks many times.
            self.admin = self.server.admin(self.where.db)
        with self.admin.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def start(self, *command: object, env: Mapping[str, str] | None = None, **how: Any) -> Started:
        """Start a console script of the project."""
        name, *arguments = map(str, command)
        return Started(
            [str(BIN / name), *arguments], self, {**self.environment, **(env or {})}, **how
        )

    def run(self, *command: object, **how: Any) -> Ran:
        """Run one to its end."""
        return self.start(*command, **how).end()

    def survived(
        self, ran: Ran, exits: tuple[int, ...] = (0,), says: str = "", *, is_heard: bool = True
    ) -> None:
        """What holds after every command; raises AssertionError with one line.

        Of one whose stderr goes nowhere (`is_heard` is false) no line is asked for.
        """
        assert not ran.has_hung, f"it hangs: no end within {HANG_SECONDS:.0f} s"
        assert not ran.left, f"left behind: {ran.left}"
        assert b"Traceback" not in ran.err + ran.out, f"a traceback: {_last(ran.said)}"
        assert ran.code in exits, f"exit {ran.code}, not {exits}: {_last(ran.said)}"
        acts = _ACTS(ran.err)
        assert not acts, f"a control character on stderr: {acts and acts[0]!r}: {_last(ran.said)}"
        own = [line for line in ran.said.splitlines() if re.match(r"(loader|dashboards): ", line)]
        assert len(own) <= 1, f"{len(own)} errors for one: {own[:2]}"
        if is_heard and ran.code not in (0, -signal.SIGKILL):
            assert own, f"exit {ran.code} and no line that says why: {_last(ran.said)}"
            longest = LONGEST_LINE + len("dashboards: ")
            assert len(own[0]) <= longest, f"an error of {len(own[0])} characters"
        assert re.search(says, ran.said), f"it does not say {says!r}: {_last(ran.said)}"
        for secret in (self.where.password, *SECRETS):
            assert secret not in ran.said + ran.out.decode(errors="replace"), "a secret is told"
        assert ran.peak_mib < MOST_MIB, f"{ran.peak_mib:.0f} MiB of memory"
        assert ran.cpu_seconds < MOST_CPU_SECONDS, f"{ran.cpu_seconds:.0f} CPU seconds"

    def conserved(self) -> None:
        """The ledger adds up, and none of its runs is left open."""
        wrong = self.rows(
            "select job, status, rows_read from ops.runs where status = 'running' or status = "
            "'succeeded' and rows_read <> rows_inserted + rows_duplicate + rows_quarantined"
        )
        assert wrong == [], f"the ledger: {wrong[:3]}"


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "nothing was said"


class World:
    """The server of a campaign, and the databases that its cases begin with."""

    def __init__(self, server: Server, build: Callable[[], str] | None = None) -> None:
        self.server = server
        # Whatever a fault has the account say: a query may not fill the disk.
        self._execute("alter system set temp_file_limit = '256MB'")
        self._execute("select pg_reload_conf()")
        self._build = build
        self._lock = threading.Lock()
        self._names = iter(range(1_000_000))
        self._built = ""

    def built(self) -> str:
        """A database with the models in it, made when it is asked for first."""
        with self._lock:
            if not self._built:
                assert self._build, "no case here needs the models"
                self._built = self._build()
            return self._built

    @contextlib.contextmanager
    def place(self, template: str = "migrated") -> Iterator[Place]:
        """A place of its own, gone afterwards."""
        source = self.built() if template == "built" else template
        with self._lock:
            name = f"case_{next(self._names)}"
            self._execute(f'create database "{name}" template "{source}" strategy = file_copy')
        directory = self.server.directory / name
        directory.mkdir()
        where = Endpoint(
            "127.0.0.1", self.server.port, SUPERUSER, self.server.embedded.password, name
        )
        place = Place(self.server, directory, where, environment(where, directory))
        try:
            yield place
        finally:
            if place.admin is not None:
                place.admin.close()
            for each in (name, f"{name}_more"):
                self._execute(f'drop database if exists "{each}" with (force)')
            shutil.rmtree(directory, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        with closing(self.server.admin()) as admin, admin.cursor() as cursor:
            cursor.execute(statement)


def environment(where: Endpoint, directory: Path) -> dict[str, str]:
    """The settings of the commands of a case; nothing of what this process has."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        **MEASURED,
        "WAREHOUSE_ENV_FILE": os.devnull,
        "WAREHOUSE_HOME": str(directory / "home"),
        "WAREHOUSE_HOST": where.host,
        "WAREHOUSE_PORT": str(where.port),
        "WAREHOUSE_USER": where.user,
        "WAREHOUSE_PASSWORD": where.password,
        "WAREHOUSE_DB": where.db,
        "WAREHOUSE_PROFILES_DIR": str(directory),
        "WAREHOUSE_STREAM_SPOOL_DIR": str(directory / "spool"),
        "WAREHOUSE_BOOKS": "btc_mxn,eth_mxn",
        # Nothing leaves the machine: whoever is not told of a server finds nobody.
        "WAREHOUSE_BITSO_URL": "http://127.0.0.1:9/v3",
        "WAREHOUSE_BITSO_STREAM_URL": "ws://127.0.0.1:9",
        "WAREHOUSE_COINGECKO_URL": "http://127.0.0.1:9/api/v3",
        "WAREHOUSE_COINCAP_URL": "http://127.0.0.1:9/v3",
        "WAREHOUSE_METABASE_URL": "http://127.0.0.1:9",
        "WAREHOUSE_BITSO_CALLS_PER_MINUTE": "60",
        "WAREHOUSE_COINGECKO_CALLS_PER_MINUTE": "10000",
        "WAREHOUSE_HTTP_ATTEMPTS": "2",
        "DBT_PROFILES_DIR": str(directory),
        "DBT_TARGET_PATH": str(directory / "dbt_target"),
        "DBT_LOG_PATH": str(directory / "dbt_logs"),
    }
