"""The scheduler's parts without its container: one run of a job, the health check, the start."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from loader.warehouse.settings import PROJECT_ROOT
from loader.warehouse.text import printable
from scheduler import job
from tests.conftest import BIN, MEASURED, Warehouse
from tests.local_server import QuietHandler, serving
from tests.waiting import end_of, wait_for

ODD = "a 'b' \"c\" $d `e` %f \\g #h\n=i ñ"


class Box:
    """A directory in the container's place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.set()

    def set(self, **environment: str) -> None:
        """The environment of the container."""
        self.environment = {"PATH": f"{BIN}:{os.environ['PATH']}", **MEASURED, **environment}
        pairs = [f"{name}={value}".encode() for name, value in self.environment.items()]
        (self.directory / "environment").write_bytes(b"\0".join(pairs) + b"\0")

    def start(
        self, module: str, *arguments: str, pause: str = "0.2", **environment: str
    ) -> subprocess.Popen[str]:
        """Start a module as cron does: with next to no environment, and the log as file 3."""
        script = 'exec 3>>"$1"; shift; exec "$@"'
        return subprocess.Popen(
            ["sh", "-c", script, "sh", self.log, sys.executable, "-m", module, *arguments],
            env={
                "SCHEDULER_DIR": str(self.directory), "SCHEDULER_PAUSE_SECONDS": pause,
                "SCHEDULER_GRACE_SECONDS": "1", "HOME": str(self.directory), **MEASURED,
                **environment,
            },
            cwd=PROJECT_ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def job(self, *arguments: str, pause: str = "0.2") -> int:
        """Run a job to its end; its exit code."""
        code, out, _ = end_of(self.start("scheduler.job", *arguments, pause=pause))
        assert out == ""
        return code

    def health(self) -> str:
        """What the health check complains of."""
        code, _, err = end_of(self.start("scheduler.health"))
        assert code == (1 if err else 0)
        return err.strip()

    @property
    def lines(self) -> list[str]:
        """The container's log."""
        return self.log.read_text().splitlines()

    def wait_for(self, text: str) -> None:
        """Until a text is in the log."""
        wait_for(
            lambda: self.log.exists() and text in self.log.read_text(),
            lambda: f"{text!r} in {self.lines}",
        )

    def set_clock(self, seconds: float) -> None:
        """What time it is for `tests.clocked_job`; at first it is 0."""
        fresh = self.directory / "clock.new"
        fresh.write_text(str(seconds))
        fresh.replace(self.directory / "clock")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """An empty one."""
    return Box(tmp_path)


# ------------------------------------------------------------------ one run


def test_lines_reach_the_log_with_the_name_of_the_job(box: Box) -> None:
    assert box.job("2h", "sh", "-c", "echo one; echo two >&2") == 0
    assert box.lines[:2] == [
        "sh -c echo one; echo two >&2 | one",
        "sh -c echo one; echo two >&2 | two",
    ]
    assert box.lines[2].startswith("sh -c echo one; echo two >&2 | done in ")
    assert box.job("2h", "loader", "no-such-command") == 2
    assert box.lines[-2] == "no-such-command | loader: No such command 'no-such-command'."
    assert box.lines[-1].startswith("no-such-command | failed with exit code 2 after ")


def test_a_line_cannot_act_on_who_reads_the_log(box: Box) -> None:
    assert box.job("2h", "printf", "\x1b[2J\u202e\r\x85it | done\n\xff") == 0
    assert all(printable(line) == line for line in box.log.read_text().split("\n"))
    assert box.lines[0].endswith(r" | \x1b[2J\u202e")
    assert box.lines[1].endswith(r" | \x85it | done")


def test_the_environment_arrives_with_any_character(box: Box) -> None:
    box.set(ODD=ODD, EMPTY="", WAREHOUSE_PASSWORD="p=a=s")
    told = "import os, sys; sys.stdout.write(ascii([os.environ[n] for n in sys.argv[1:]]))"
    command = (sys.executable, "-c", told, "ODD", "EMPTY", "WAREHOUSE_PASSWORD")
    assert box.job("2h", *command) == 0
    assert ascii([ODD, "", "p=a=s"]) in box.lines[0]


def test_one_run_at_a_time(box: Box) -> None:
    command = f"echo here; until [ -e {box.directory}/go ]; do sleep 0.05; done"
    first = box.start("scheduler.job", "2h", "sh", "-c", command)
    box.wait_for("| here")
    assert box.job("2h", "sh", "-c", command) == 75
    assert box.lines[-1].endswith("| its last run is still at work: left out")
    assert box.job("2h", "true") == 0
    (box.directory / "go").touch()
    assert end_of(first)[0] == 0
    assert box.lines.count(f"sh -c {command} | here") == 1


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "], ids=["willing", "stubborn"])
def test_a_run_that_is_out_of_time_is_ended(box: Box, stubborn: str) -> None:
    # and so are its children
    command = f"{stubborn}sleep 3600 & echo $!; echo here; wait; sleep 3600"
    process = box.start("tests.clocked_job", "2h", "sh", "-c", command)
    box.wait_for("| here")
    box.set_clock(7200)
    assert end_of(process)[0] != 0
    assert "ended: out of time after" in box.lines[-1]
    child = int(box.lines[0].rpartition(" ")[2])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_what_may_pass_is_tried_again(box: Box) -> None:
    tries = box.directory / "tries"
    count = f"echo x >> {tries}; test $(wc -l < {tries}) -gt 2 || exit 75"
    assert box.job("2h", "sh", "-c", count) == 0
    assert tries.read_text() == "x\n" * 3
    assert sum("trying again in" in line for line in box.lines) == 2


def test_there_is_an_end_to_trying(box: Box) -> None:
    tries, clock = box.directory / "tries", box.directory / "clock"
    # after the second try there is less time left than a pause takes
    count = f"echo x >> {tries}; test $(wc -l < {tries}) -lt 2 || echo 7199.9 > {clock}; exit 75"
    process = box.start("tests.clocked_job", "2h", "sh", "-c", count)
    assert end_of(process)[0] == 75
    assert sum("trying again in" in line for line in box.lines) == 1
    assert box.job("--once", "2h", "sh", "-c", "exit 75") == 75
    assert "trying again" not in box.lines[-2] + box.lines[-1]


def test_what_will_not_pass_is_not_tried_again(box: Box) -> None:
    assert box.job("2h", "sh", "-c", "exit 1") == 1
    assert len(box.lines) == 1


def test_told_to_end_it_ends_its_command_first(box: Box) -> None:
    command = "trap 'echo ending; exit 143' TERM; echo here; while :; do sleep 0.1; done"
    process = box.start("scheduler.job", "2h", "sh", "-c", command)
    box.wait_for("| here")
    process.send_signal(signal.SIGTERM)
    assert end_of(process)[0] == 143
    assert any(line.endswith("| ending") for line in box.lines)


def test_told_to_end_before_its_command_it_does_not_start_it(box: Box) -> None:
    """While the ping is under way."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        box.set(WAREHOUSE_PING_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = box.start("scheduler.job", "2h", "sh", "-c", "echo here")
        with silent.accept()[0]:
            process.send_signal(signal.SIGTERM)
            code, _, _ = end_of(process)
    assert code == 143
    assert not any(line.endswith("| here") for line in box.lines)


def test_a_child_that_outlives_its_command_is_ended_too(box: Box) -> None:
    command = "sleep 3600 & echo here; exit 0"
    process = box.start("tests.clocked_job", "2h", "sh", "-c", command)
    box.wait_for("| here")
    box.set_clock(7200)
    assert end_of(process)[0] == 1
    assert "out of time" in box.lines[-1]


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that are sent to groups: each to one whose number is still its own."""
    sent = []
    send = os.killpg

    def watched(group: int, number: int) -> None:
        # raises where it is no child of ours, or was reaped: then anybody may have its number
        os.waitid(os.P_PID, group, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        sent.append((group, number))
        send(group, number)

    monkeypatch.setattr(os, "killpg", watched)
    monkeypatch.setattr(job, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(job, "PAUSE_SECONDS", 0.0)
    return sent


@pytest.mark.parametrize("ends_by_itself", [True, False])
def test_nothing_is_sent_to_a_number_that_may_be_somebody_elses(
    signalled: list[tuple[int, int]], *, ends_by_itself: bool
) -> None:
    """A command that has ended is forgotten; as long as its children go on it is not reaped."""
    child = "trap '' TERM; (while :; do sleep 0.05; done) &"
    command = "exit 75" if ends_by_itself else f"{child} exit 0"
    runner = job.Runner(job.TimedCommand(3600, ("sh", "-c", command)), {**os.environ}, job.Log("a"))
    running = threading.Thread(target=runner.run, kwargs={"once": True})
    running.start()
    if not ends_by_itself:
        process = wait_for(lambda: runner._process, "a command")
        assert process
        wait_for(
            lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE,
            "the end of the command, not of its child",
        )
        runner.end()
    running.join()
    sent = [number for _, number in signalled]
    assert sent == ([] if ends_by_itself else [signal.SIGTERM, signal.SIGKILL])
    runner.end()
    runner.hear(signal.SIGTERM, None)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    assert len(signalled) == len(sent)


def test_a_command_that_is_not_there_says_so(box: Box) -> None:
    assert box.job("2h", "no-such-program") == 127
    assert box.lines[0] == "no-such-program | cannot be started: No such file or directory"


def test_a_job_that_is_off_is_left_out(box: Box) -> None:
    assert box.job("2h", "loader", "exchange-volumes") == 0
    assert box.lines == ["exchange-volumes | off: what it needs is not set"]
    box.set(WAREHOUSE_COINCAP_KEY="a-key-of-theirs", WAREHOUSE_HOST="127.0.0.1", WAREHOUSE_PORT="9")
    assert box.job("--once", "2h", "loader", "exchange-volumes") == 75


@pytest.mark.parametrize("deadline", ["9", "m", "-1m", "0s", "1.5h", "9 m", "9d"])
def test_a_deadline_that_is_none(box: Box, deadline: str) -> None:
    process = box.start("scheduler.job", "--once", deadline, "true")
    code, _, err = end_of(process)
    assert code == 2
    assert "deadline" in err or "unrecognized" in err or "required" in err


# -------------------------------------------------------------------- pings


@contextmanager
def pinged(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server that hears pings: its address, and their paths."""
    paths: list[str] = []

    class PingHandler(QuietHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

    with serving(PingHandler) as server:
        yield f"{server.url}/key", paths


def test_a_ping_at_the_start_and_at_the_end(box: Box) -> None:
    with pinged() as (address, paths):
        box.set(WAREHOUSE_PING_URL=address + "/")
        box.job("2h", "true")
        box.job("2h", "false")
        box.set(WAREHOUSE_PING_URL=address, WAREHOUSE_BOOKS="NONE")
        box.job("2h", "loader", "lake", "export")
    assert paths == [
        "/key/true/start", "/key/true", "/key/false/start", "/key/false/fail",
        "/key/lake-export/start", "/key/lake-export/fail",
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/secret", "https://no..host/secret", "no"])
def test_a_ping_that_fails_costs_nothing_and_tells_no_address(box: Box, url: str) -> None:
    with pinged(500) as (address, _):
        box.set(WAREHOUSE_PING_URL=url or address)
        assert box.job("2h", "true") == 0
    assert sum("the ping did not go through" in line for line in box.lines) == 2
    assert not re.search("127.0.0.1|secret|host", box.log.read_text())


# ------------------------------------------------------------------- health


def test_a_scheduler_that_works_is_well(box: Box) -> None:
    for name in ("started", "heartbeat"):
        (box.directory / name).touch()
    assert box.job("2h", "true") == 0
    assert box.health() == ""


def test_a_scheduler_that_has_not_begun_is_not_well_yet(box: Box) -> None:
    assert box.health() == "what is due at the start is not done: the models are not built yet"


def test_a_dead_cron_is_noticed(box: Box) -> None:
    (box.directory / "started").touch()
    assert box.health() == "cron has not run for more than two minutes"
    heartbeat = box.directory / "heartbeat"
    heartbeat.touch()
    assert box.health() == ""
    os.utime(heartbeat, (time.time() - 200,) * 2)
    assert box.health() == "cron has not run for more than two minutes"


def test_a_run_that_does_not_end_is_noticed(box: Box) -> None:
    for name in ("started", "heartbeat"):
        (box.directory / name).touch()
    process = box.start("scheduler.job", "2h", "sleep", "7200")
    lock = box.directory / "sleep-7200.lock"
    wait_for(lambda: lock.exists() and lock.read_text(), "a run that holds its lock")
    assert box.health() == ""
    _, pid = lock.read_text().split()
    lock.write_text(f"{time.time() - 100:.0f} {pid}\n")
    assert box.health() == "sleep-7200 is out of time and does not end"
    process.terminate()
    end_of(process)
    # one that was killed has left its file as it was
    lock.write_text(f"{time.time() - 100:.0f} {pid}\n")
    assert box.health() == ""


# ---------------------------------------------------------------- the start


def test_at_the_start_what_is_late_runs_once(box: Box, warehouse: Warehouse) -> None:
    """Nothing is reachable but Postgres: each job says so, and the next one has its turn."""
    nowhere = {
        f"WAREHOUSE_{name}_URL": "http://127.0.0.1:9" for name in ("BITSO", "COINGECKO", "COINCAP")
    }
    inbox = box.directory / "inbox"
    inbox.mkdir()
    where = {
        name: value for name, value in os.environ.items() if name.startswith(("WAREHOUSE_", "DBT_"))
    }
    warehouse.rows(
        "insert into ops.runs (job, finished_at, status) values ('prune', now(), 'succeeded')"
    )
    box.set(
        **where, **nowhere, WAREHOUSE_HTTP_ATTEMPTS="1", WAREHOUSE_INBOX=str(inbox),
        WAREHOUSE_LAKE=str(box.directory / "lake"),
    )  # fmt: skip
    process = box.start("scheduler.catch_up", **box.environment)
    assert end_of(process) == (0, "", "")
    ended = [
        line.partition(" | ")[0]
        for line in box.lines
        if "| done in" in line or "| failed with" in line
    ]
    # off: exchange-volumes; on time: prune
    assert ended == [
        "books", "tickers", "order-books", "snapshots", "transform", "lake export", "report",
        "exchanges", "transform --tests",
    ]  # fmt: skip
    assert "Traceback" not in box.log.read_text()
    assert (box.directory / "started").exists()
    jobs = dict(warehouse.rows("select job, status from ops.runs where job <> 'prune'"))
    # From now on, what is late is told.
    assert jobs["scheduler"] == "succeeded"
    assert jobs["transform"] == jobs["transform with tests"] == "succeeded"
    assert jobs["lake export"] == "succeeded"
    assert jobs["snapshots"] == "unchanged"
    assert jobs["tickers"] == "failed"


def test_at_the_start_without_postgres_every_job_is_taken_for_late(box: Box) -> None:
    box.set(WAREHOUSE_HOST="127.0.0.1", WAREHOUSE_PORT="9")
    process = box.start("scheduler.catch_up", **box.environment)
    failed = "transform | failed with exit code 75"
    box.wait_for(failed)
    # again and again, until there are models
    wait_for(lambda: box.log.read_text().count(failed) >= 2, "a second try")
    process.terminate()
    _, out, _ = end_of(process)
    assert re.fullmatch(r"catch-up \| cannot connect .*: taking every job for late\n", out)
    # off: exchange-volumes, snapshots
    before = [line for line in box.lines if "| failed with" in line and "transform" not in line]
    assert [line.partition(" | ")[0] for line in before] == ["books", "tickers", "order-books"]
    assert sum(line.endswith("off: what it needs is not set") for line in box.lines) == 2
    assert not (box.directory / "started").exists()
