"""`make test-stack`: the simulated stack, in Docker, from nothing to the end. About 15 minutes.

It has a project name, ports, secrets and volumes of its own, and takes them away when it is done.
The tests go on from one another, in their order. No network is needed but for building the images.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from loader.warehouse.settings import PROJECT_ROOT
from tests.local_server import free_port
from tests.waiting import LAST_RESORT_SECONDS, wait_for

PROJECT = "bitso-warehouse-test"
JOBS_UID = "10001"
# Passes through .env, Compose, the entrypoint and cron; nothing uses it here.
ODD = """a "b" $c ${d} %e \\f #g =h ñ"""
pytestmark = pytest.mark.timeout(0)


@dataclass
class Stack:
    """The stack under test."""

    directory: Path
    ports: dict[str, int]
    # every (container, user id, command line) that was seen while waiting
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    @property
    def env_file(self) -> Path:
        """Its settings and secrets."""
        return self.directory / ".env"

    @property
    def secrets(self) -> dict[str, str]:
        """What no log may hold."""
        pairs = (
            line.split("=", 1) for line in self.env_file.read_text().splitlines() if "=" in line
        )
        return {
            name: value.strip("'") for name, value in pairs if name.endswith(("PASSWORD", "KEY"))
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`make` targets' script, for this stack."""
        done = subprocess.run(
            ["bash", "scheduler/stack.sh", *arguments],
            cwd=PROJECT_ROOT, text=True, capture_output=True, check=False,
            env=os.environ
            | {"PROJECT": PROJECT, "ENV_FILE": str(self.env_file), "SIMULATED": "1"},
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def up(self) -> float:
        """Bring it up; the seconds that it took."""
        started = time.monotonic()
        said = self.run("up").stdout
        for service in ("PAGE", "METABASE"):
            assert f"http://localhost:{self.ports[f'{service}_PORT']}" in said
            assert f"WAREHOUSE_{service}_PASSWORD in" in said
        assert not any(secret in said for secret in self.secrets.values())
        return time.monotonic() - started

    def containers(self) -> dict[str, str]:
        """Ids by service, those that have ended as well."""
        label = f"com.docker.compose.project={PROJECT}-simulated"
        out = docker(
            "ps", "--all", "--no-trunc", "--filter", f"label={label}",
            "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}',
        )  # fmt: skip
        return dict(line.split() for line in out.splitlines())

    def rows(self, query: str, *values: object) -> list[Any]:
        """What the warehouse answers to its superuser."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1", port=self.ports["POSTGRES_PORT"], user="warehouse",
                dbname="warehouse", password=self.secrets["POSTGRES_PASSWORD"], connect_timeout=60,
            )
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(query, values or None)
            return cursor.fetchall()

    def wait_for(self, what: str, condition: Callable[[], object], minutes: float) -> Any:
        """Until a condition holds, looking at the processes meanwhile; given up late enough."""

        def look() -> object:
            self.look()
            with suppress(psycopg2.Error):
                return condition()
            return None

        return wait_for(look, what, max(minutes * 60, LAST_RESORT_SECONDS))

    def look(self) -> None:
        """Remember who runs what."""
        for service, container in self.containers().items():
            listed = docker("top", container, "-eo", "pid,uid,args", check=False)
            for line in listed.splitlines()[1:]:
                _, uid, command = line.split(maxsplit=2)
                self.seen.add((service, uid, command))

    def health(self, service: str) -> str:
        """What Docker thinks of it."""
        form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        return docker("inspect", "--format", form, self.containers()[service]).strip()

    def heard(self, path: str) -> list[dict[str, Any]]:
        """The messages that reached the webhook."""
        lines = docker("logs", self.containers()["webhook"]).splitlines()
        messages = [json.loads(line) for line in lines if line.startswith("{")]
        return [message["body"] for message in messages if message["path"] == path]


def docker(*arguments: str, check: bool = True, stdin: str = "") -> str:
    """A docker command's output, both kinds."""
    done = subprocess.run(
        ["docker", *arguments], text=True, check=False, input=stdin,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stdout
    return done.stdout


def say(text: str) -> None:
    """A figure, for whoever reads along."""
    sys.stdout.write(f"\n  {text}\n")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up from nothing."""
    directory = tmp_path_factory.mktemp("stack")
    ports = ("POSTGRES_PORT", "METABASE_PORT", "PAGE_PORT")
    made = Stack(directory, {name: free_port() for name in ports})
    (directory / "inbox").mkdir(mode=0o755)
    directory.chmod(0o755)
    sample = PROJECT_ROOT / "seeds" / "sample" / "users.csv"
    (directory / "inbox" / "users.csv").write_bytes(sample.read_bytes())
    lines = [f"{name}={port}" for name, port in made.ports.items()]
    # What was put there just now has not rested.
    lines += ["WAREHOUSE_INBOX_REST_SECONDS=0"]
    lines += [f"INBOX={directory}/inbox", f"AWS_SECRET_ACCESS_KEY='{ODD}'"]
    made.env_file.write_text("\n".join(lines))
    made.env_file.chmod(0o600)
    made.run("compose", "down", "--volumes", "--remove-orphans", check=False)
    say(f"images built in {built():.0f} s")
    try:
        say(f"make up, from built images to provisioned: {made.up():.0f} s")
        yield made
    finally:
        made.run("compose", "down", "--volumes", "--remove-orphans", check=False)


def built() -> float:
    """The seconds that the images took."""
    started = time.monotonic()
    text = (PROJECT_ROOT / "docker-compose.yml").read_text()
    secrets = dict.fromkeys(re.findall(r"\$\{([A-Z_]+):\?", text), "none yet")
    subprocess.run(
        ["docker", "compose", "-f", "docker-compose.yml",
         "-f", "tests/docker-compose.simulated.yml", "build", "--quiet"],
        cwd=PROJECT_ROOT, env={**os.environ, **secrets}, check=True,
    )  # fmt: skip
    return time.monotonic() - started


def test_everything_is_healthy_and_doctor_says_so(stack: Stack) -> None:
    assert stack.env_file.stat().st_mode & 0o077 == 0
    assert len(stack.secrets) == 10
    for service in stack.containers():
        once = service in ("migrate", "provision")
        assert stack.health(service) == ("exited" if once else "running healthy"), service
    assert stack.run("doctor").stdout == "all is well\n"


def dashboards(stack: Stack) -> dict[str, int]:
    """The dashboards that Metabase has, for whoever logs in with the password in .env."""
    url = f"http://127.0.0.1:{stack.ports['METABASE_PORT']}"
    login = {
        "username": "admin@example.com", "password": stack.secrets["WAREHOUSE_METABASE_PASSWORD"],
    }  # fmt: skip
    session = requests.post(f"{url}/api/session", json=login, timeout=10).json()["id"]
    headers = {"X-Metabase-Session": session}
    collections = requests.get(f"{url}/api/collection", headers=headers, timeout=10).json()
    [ours] = [each["id"] for each in collections if each["name"] == "Bitso warehouse"]
    items = requests.get(
        f"{url}/api/collection/{ours}/items", {"models": "dashboard"}, headers=headers, timeout=10
    ).json()["data"]
    return {item["name"]: item["id"] for item in items}


def test_the_dashboards_are_there(stack: Stack) -> None:
    assert set(dashboards(stack)) == {
        "Spread monitor", "Alerts", "Markets and exchanges", "User activity", "Pipeline health",
    }  # fmt: skip


def test_the_live_page_shows_them_to_who_has_the_password(stack: Stack) -> None:
    url = f"http://localhost:{stack.ports['PAGE_PORT']}"
    assert requests.get(f"{url}/healthz", timeout=10).text == "ok\n"
    assert requests.get(url, timeout=10).status_code == 401
    account = ("any", stack.secrets["WAREHOUSE_PAGE_PASSWORD"])
    page = requests.get(url, auth=account, timeout=10)
    assert page.url == f"{url}/dashboards/spread-monitor"
    assert "This is the sample" not in page.text
    sources = re.findall(r'data-src="([^"]+)"', page.text)
    assert len(sources) > 5
    for source in sources:
        tile = requests.get(f"{url}{source}", auth=account, timeout=60)
        assert tile.status_code == 200, source
        assert 'class="error"' not in tile.text, source


def test_rows_have_arrived_and_marts_are_filled(stack: Stack) -> None:
    for table in (
        "raw.bitso_tickers", "raw.bitso_order_books", "raw.bitso_books", "target.users",
        "marts.spread_observations", "marts.exchange_volumes",
    ):  # fmt: skip
        assert stack.rows(f"select from {table} limit 1"), table
    stack.wait_for(
        "seconds of the stream",
        lambda: stack.rows("select from raw.bitso_order_books where channel = 'diff-orders'"),
        3,
    )


def test_an_alert_reaches_the_webhook(stack: Stack) -> None:
    """Spreads of the simulator widen for two minutes in every fifteen, book by book."""
    started = time.monotonic()
    stack.wait_for("an alert", lambda: stack.heard("/alerts"), 16)
    say(f"an alert came after {time.monotonic() - started:.0f} s of waiting")
    message = stack.heard("/alerts")[0]
    assert message["event"] == "opened"
    page = f"http://localhost:{stack.ports['PAGE_PORT']}/dashboards/spread-monitor?book="
    assert message["page"].startswith(page)
    assert re.fullmatch(r"\w+: spread is above (0\.1|0\.5|1) %", message["title"])
    [(sent,)] = stack.rows(
        "select count(*) from ops.alert_deliveries where status = 'sent' and idempotency_key = %s",
        message["idempotency_key"],
    )
    # One of each threshold that opened together.
    assert sent == len(message["thresholds"].split(", "))


def test_cron_runs_jobs_on_their_minutes(stack: Stack) -> None:
    """Those of the next ten minutes, not what ran at the start; the models after the loads."""
    now = datetime.now(UTC)
    for job, minute in (("tickers", 0), ("order-books", 1), ("transform", 3), ("lake export", 8)):
        runs = stack.wait_for(
            job,
            lambda job=job, minute=minute: stack.rows(  # type: ignore[misc]
                "select status, started_at from ops.runs where job = %s and started_at > %s "
                "and extract(minute from started_at)::integer %% 10 = %s "
                "and status <> 'running' order by run_id",
                job, now, minute,
            ),
            11,
        )  # fmt: skip
        status, started_at = runs[0]
        assert status == "succeeded", job
        assert started_at.second < 30
    assert stack.health("scheduler") == "running healthy"
    done = docker("exec", stack.containers()["scheduler"], "loader", "status", "--format", "json")
    late = {job["job"]: job["state"] for job in json.loads(done)["jobs"]}
    assert set(late.values()) <= {"fresh", "off"}, late


def test_what_jobs_say_is_in_the_log(stack: Stack) -> None:
    lines = docker("logs", stack.containers()["scheduler"]).splitlines()
    for job in ("tickers", "transform", "lake export"):
        assert any(line.startswith(f"{job} | done in ") for line in lines), job
    assert any(line.startswith("tickers | tickers: all books: ") for line in lines)


def test_the_environment_reaches_jobs_as_it_is(stack: Stack) -> None:
    told = (
        "from scheduler.job import container_environment as e; "
        "print(ascii(e()['AWS_SECRET_ACCESS_KEY']))"
    )
    scheduler = stack.containers()["scheduler"]
    assert docker("exec", "--user", "jobs", scheduler, "python", "-c", told).strip() == ascii(ODD)
    assert "cat: " in docker("exec", scheduler, "cat", "/run/jobs/environment", check=False)


def test_a_cron_that_stands_still_is_noticed(stack: Stack) -> None:
    scheduler = stack.containers()["scheduler"]
    docker("exec", scheduler, "sh", "-c", 'kill -STOP "$(cat /run/crond.pid)"')
    stack.wait_for("its end", lambda: stack.health("scheduler") == "running unhealthy", 5)
    done = stack.run("doctor", check=False)
    assert (done.returncode, done.stderr) == (1, "scheduler is unhealthy\n")
    docker("exec", scheduler, "sh", "-c", 'kill -CONT "$(cat /run/crond.pid)"')
    stack.wait_for("its return", lambda: stack.health("scheduler") == "running healthy", 3)


def test_everything_but_cron_is_nobody_in_particular(stack: Stack) -> None:
    stack.look()
    root = {(service, args) for service, uid, args in stack.seen if uid == "0"}
    for service, args in root:
        allowed = re.match(
            r"/sbin/docker-init|cron -f|/bin/sh /app/scheduler/entrypoint.sh|"
            # one that is just ending has its name alone
            r"(/usr/local/bin/)?python -m scheduler.health|\[python\]|sleep 0.2|CRON -f|runc",
            args,
        )
        # tini is root where its container's user is: only in the scheduler
        assert allowed, (service, args)
        assert service == "scheduler", (service, args)
    jobs = [(uid, args) for service, uid, args in stack.seen if service == "scheduler"]
    ran = [uid for uid, args in jobs if "scheduler.job" in args or re.search(r"\bloader\b", args)]
    assert ran
    assert set(ran) == {JOBS_UID}
    for service, container in stack.containers().items():
        host = json.loads(docker("inspect", container))[0]["HostConfig"]
        assert host["CapDrop"] == ["ALL"], service
        added = set(host["CapAdd"] or ())
        assert added <= ({"SETUID", "SETGID", "KILL"} if service == "scheduler" else set())
        assert host["ReadonlyRootfs"], service
        assert host["Memory"] > 0, service


def test_no_secret_is_in_logs_process_lists_or_images(stack: Stack) -> None:
    stack.look()
    secrets = stack.secrets
    places = {
        f"log of {name}": docker("logs", container)
        for name, container in stack.containers().items()
    }
    places["process lists"] = "\n".join(args for _, _, args in stack.seen)
    for image in ("bitso-warehouse:latest", "bitso-warehouse:simulated"):
        places[f"history of {image}"] = docker("history", "--no-trunc", image)
        places[f"settings of {image}"] = docker("image", "inspect", image)
    for place, text in places.items():
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is in the {place}"
    found = docker(
        "run", "--rm", "--interactive", "--user", "root", "--entrypoint", "grep",
        "bitso-warehouse:simulated", "-rlFf", "-", "/app", "/etc", "/usr/local/bin", "/var/lib",
        stdin="\n".join(secrets.values()) + "\n", check=False,
    )  # fmt: skip
    assert found == ""
    crontab = docker("exec", stack.containers()["scheduler"], "cat", "/etc/cron.d/warehouse")
    assert "PASSWORD" not in crontab


@pytest.mark.usefixtures("stack")
def test_memory_at_rest() -> None:
    shown = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")
    mine = [line for line in shown.splitlines() if line.startswith(f"{PROJECT}-")]
    say("memory at rest: " + "; ".join(line.removeprefix(f"{PROJECT}-simulated-") for line in mine))
    assert len(mine) == 8


def unaccounted(stack: Stack, since: datetime) -> int:
    """Seconds of books that were to be watched, and are neither observed nor a gap."""
    [(count,)] = stack.rows(
        """
        with expected as (
            select book, slot
            from ops.monitored cross join unnest(books) as book
            cross join generate_series(
                monitored_from, monitored_until - interval '1 second', '1 second'
            ) as slot
            where feed = 'stream' and monitored_until > %s
        )
        select count(*) from expected
        where
            not exists (
                select from raw.bitso_order_books as seen
                where seen.book = expected.book and seen.received_at = expected.slot
                and seen.channel = 'diff-orders'
            )
            and not exists (
                select from ops.gaps
                where gaps.feed = 'stream' and gaps.book = expected.book
                and expected.slot >= gaps.gap_from and expected.slot < gaps.gap_until
            )
        """,
        since,
    )
    return int(count)


def test_a_warehouse_that_is_killed_comes_back_and_nothing_is_lost(stack: Stack) -> None:
    before = datetime.now(UTC)
    [(tickers,)] = stack.rows("select count(*) from raw.bitso_tickers")
    container = stack.containers()["warehouse"]
    docker("exec", container, "sh", "-c", 'kill -9 "$(head -n 1 "$PGDATA/postmaster.pid")"')
    stack.wait_for("the end", lambda: stack.health("warehouse") != "running healthy", 1)
    stack.wait_for("the warehouse", lambda: stack.health("warehouse") == "running healthy", 2)
    [(still,)] = stack.rows("select count(*) from raw.bitso_tickers")
    assert still >= tickers
    later = datetime.now(UTC)
    stack.wait_for(
        "the stream",
        lambda: stack.rows(
            "select from ops.monitored inner join ops.runs using (run_id) "
            "where monitored_until > %s and rows_inserted > 0 and status = 'succeeded'",
            later + timedelta(seconds=30),
        ),
        4,
    )
    assert unaccounted(stack, before - timedelta(minutes=2)) == 0
    for service in ("stream", "alerts", "scheduler"):
        stack.wait_for(service, lambda s=service: stack.health(s) == "running healthy", 3)  # type: ignore[misc]


def test_a_scheduler_that_is_killed_in_the_middle_of_a_job_starts_anew(stack: Stack) -> None:
    container = stack.containers()["scheduler"]
    with subprocess.Popen(
        ["docker", "exec", "--user", "jobs", container, "job", "9m", "loader", "transform"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as job:  # fmt: skip
        [(run_id,)] = stack.wait_for(
            "a run",
            lambda: stack.rows(
                "select run_id from ops.runs where job = 'transform' and status = 'running'"
            ),
            1,
        )
        docker("exec", container, "sh", "-c", "kill -9 -1", check=False)
        job.wait(60)
    stack.wait_for("the scheduler", lambda: stack.health("scheduler") == "running healthy", 4)
    stack.wait_for(
        "the next run",
        lambda: stack.rows(
            "select from ops.runs where job = 'transform' and run_id > %s and status = 'succeeded'",
            run_id,
        ),
        2,
    )
    assert stack.rows("select status, error from ops.runs where run_id = %s", run_id) == [
        ("failed", "the process died before the run ended")
    ]


def test_down_and_up_keeps_data(stack: Stack) -> None:
    counts = "select (select count(*) from raw.bitso_tickers), (select count(*) from target.users)"
    [(tickers, users)] = stack.rows(counts)
    boards = dashboards(stack)
    started = time.monotonic()
    stack.run("down")
    say(f"make down: {time.monotonic() - started:.0f} s")
    assert stack.containers() == {}
    say(f"make up, again: {stack.up():.0f} s")
    [(still, same)] = stack.rows(counts)
    assert still >= tickers > 0
    assert same == users == 600
    assert dashboards(stack) == boards


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before, secrets, boards = stack.containers(), stack.secrets, dashboards(stack)
    say(f"make up, while it is up: {stack.up():.0f} s")
    assert stack.containers() == before
    assert stack.secrets == secrets
    assert dashboards(stack) == boards
    said = docker("logs", stack.containers()["provision"]).splitlines()
    assert said[-1] == "nothing to change"


def test_a_lost_env_is_no_reason_to_make_new_secrets(stack: Stack) -> None:
    kept = stack.env_file.read_text()
    stack.env_file.write_text("".join(f"{name}={port}\n" for name, port in stack.ports.items()))
    try:
        done = stack.run("up", check=False)
    finally:
        stack.env_file.write_text(kept)
    assert done.returncode == 1
    assert "bring the old" in done.stderr
