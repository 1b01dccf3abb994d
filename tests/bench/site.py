"""A version of the project with an embedded warehouse of its own, and commands typed in it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.embedded import BIN, SUPERUSER, Embedded

LAUNCHER = Path(__file__).with_name("launcher.py")
DATABASE = "warehouse"
# What is set for the bench itself is no business of the versions.
OURS = ("WAREHOUSE_", "DBT_", "PYTHON", "VIRTUAL_ENV", "COVERAGE_", "PG")
# The state that every preparation begins with: what `loader init` leaves behind.
EMPTY: tuple[str, ...] = ()


@dataclass
class Site:
    """One version, ready to be typed at.

    `tree` is its checkout, `scripts` the bin directory of its virtual environment; everything
    that it writes goes below `directory`.
    """

    label: str
    tree: Path
    scripts: Path
    directory: Path
    _states: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self._embedded = Embedded(self.directory / "home")

    def open(self) -> None:
        """Make its warehouse, as anybody would: `loader init`."""
        self._run(["loader", "init"], {0})
        self._admin(
            # No power will be cut here, and what others write to the disk is not to be measured.
            "alter system set fsync = off",
            # It would come whenever it likes.
            "alter system set autovacuum = off",
            "select pg_reload_conf()",
        )
        self._keep(EMPTY)

    def close(self) -> None:
        """Stop its server."""
        self._embedded.stop()

    def prepare(self, before: Sequence[str], values: Mapping[str, object]) -> str:
        """Type what comes before the measured command; the name of the state that it leaves.

        Done once: parts that begin with the same commands share the state.
        """
        commands = tuple(self._filled(typed, values) for typed in before)
        key = tuple(shlex.join(words) for words in commands)
        if key not in self._states:
            self.reset(self._states[EMPTY])
            for words in commands:
                self._run(words, {0})
            self._admin("vacuum (analyze)", database=DATABASE)
            self._keep(key)
        return self._states[key]

    def reset(self, state: str) -> None:
        """Let the warehouse be what it was when the state was kept."""
        self._admin(
            f"drop database if exists {DATABASE} with (force)",
            f"create database {DATABASE} template {state} strategy file_copy",
        )

    def measure(
        self, typed: str, values: Mapping[str, object], exits: set[int], seconds: float = 0
    ) -> dict[str, float]:
        """Type one command; what it took."""
        return self._run(self._filled(typed, values), exits, seconds)

    def _filled(self, typed: str, values: Mapping[str, object]) -> list[str]:
        return [word.format(tree=self.tree, **values) for word in shlex.split(typed)]

    def _keep(self, key: tuple[str, ...]) -> None:
        name = f"state_{len(self._states)}"
        self._admin(f"alter database {DATABASE} rename to {name}")
        self._states[key] = name

    def _run(self, words: Sequence[str], exits: set[int], seconds: float = 0) -> dict[str, float]:
        environment = self._environment()
        program = shutil.which(words[0], path=environment["PATH"])
        if program is None:
            raise TerminalError(f"{self.label} has no command {words[0]}")
        log = self.directory / "log"
        cpu = self._server_cpu()
        told = _launched([log, seconds, program, *words[1:]], environment, self.directory)
        cpu = self._server_cpu() - cpu
        if told["code"] not in exits:
            raise TerminalError(
                f"{self.label}: {shlex.join(words)}: exit code {told['code']}: {_end_of(log)}"
            )
        return {**{key: told[key] for key in ("wall", "cpu", "peak_mib")}, "server_cpu": cpu}

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        given = {
            "PATH": os.pathsep.join([str(self.scripts), os.environ["PATH"], str(BIN)]),
            "WAREHOUSE_ENV_FILE": os.devnull,
            "WAREHOUSE_HOME": str(self._embedded.home),
            "WAREHOUSE_PROFILES_DIR": str(self.directory),
            "DBT_PROFILES_DIR": str(self.directory),
            "DBT_TARGET_PATH": str(self.directory / "dbt_target"),
            "DBT_LOG_PATH": str(self.directory / "dbt_logs"),
        }
        return {**kept, **given, **self._for_psql()}

    def _for_psql(self) -> dict[str, str]:
        port = self._embedded.running_port()
        if port is None:
            return {}
        return {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGDATABASE": DATABASE,
            "PGUSER": SUPERUSER, "PGPASSWORD": self._embedded.password,
        }  # fmt: skip

    def _admin(self, *statements: str, database: str = "postgres") -> None:
        """As the superuser, outside any transaction."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1", port=self._embedded.running_port(), user=SUPERUSER,
                password=self._embedded.password, dbname=database,
            )
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            connection.autocommit = True
            for statement in statements:
                cursor.execute(statement)

    def _server_cpu(self) -> float:
        """CPU seconds of the server so far, the connections that have ended included."""
        postmaster = self._embedded._postmaster()
        if postmaster is None:
            return 0.0
        own = postmaster.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in postmaster.children():
            # One that ends meanwhile is missed by this reading, and found by the next one.
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return float(total)


def _launched(arguments: Sequence[object], environment: dict[str, str], cwd: Path) -> Any:
    """What the launcher tells; whatever it started is ended with it, also on Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", LAUNCHER, *map(str, arguments)],
        env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        return json.loads(process.communicate()[0])
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
