"""What the files of the Docker stack promise, as far as it can be told without Docker."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from loader.warehouse.settings import PROJECT_ROOT, Settings
from tests.local_server import free_port

COMPOSE = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ONCE = {"migrate", "provision"}
DOCKERFILE = (PROJECT_ROOT / "scheduler" / "Dockerfile").read_text()
SCRIPT = PROJECT_ROOT / "scheduler" / "stack.sh"
SECRETS = re.findall(r"\$\{([A-Z_]+):\?", (PROJECT_ROOT / "docker-compose.yml").read_text())
SECRETS = sorted(set(SECRETS))
PORTS_BY_SERVICE = {"POSTGRES_PORT": "warehouse", "METABASE_PORT": "metabase", "PAGE_PORT": "page"}
each = pytest.mark.parametrize("name", SERVICES)

# Of the machine outside, or said by the stack itself under another name; it makes no backups yet.
NOT_PASSED_ON = {"home", "stream_spool_dir", "backups_kept"}
OUTSIDE = {"WAREHOUSE_DBT_USER", "WAREHOUSE_DBT_PASSWORD"}


@each
def test_every_service_has_little_to_break_with(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["read_only"] is (name != "metabase")
    assert (service["user"] == "root") == (name == "scheduler")
    assert set(service.get("cap_add", ())) <= {"SETUID", "SETGID", "KILL"}
    assert "cap_add" not in service or name == "scheduler"


@each
def test_every_service_is_watched_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ONCE)
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port)


def test_all_of_it_fits_into_a_small_laptop() -> None:
    limits = [int(service["mem_limit"].removesuffix("m")) for service in SERVICES.values()]
    promised = re.search(r"^MEMORY_MIB=(\d+)$", SCRIPT.read_text(), re.MULTILINE)
    assert promised
    assert sum(limits) <= int(promised[1]) < 4096


def test_who_waits_for_whom() -> None:
    waits = {
        name: {other: wait["condition"] for other, wait in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    done, healthy = "service_completed_successfully", "service_healthy"
    assert waits == {
        "warehouse": {},
        "migrate": {"warehouse": healthy},
        "scheduler": {"migrate": done},
        "stream": {"migrate": done},
        "alerts": {"scheduler": healthy},
        "page": {"scheduler": healthy},
        "metabase": {"migrate": done},
        "provision": {"metabase": healthy, "scheduler": healthy},
    }


@each
def test_no_secret_stands_in_the_file(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if re.search("PASSWORD|SECRET|KEY|PASS$", variable):
            assert value is None or re.fullmatch(r"\$\{[A-Z_]+:\?run make up\}", value), variable


def test_every_setting_reaches_a_container_and_none_is_mistyped() -> None:
    passed = {variable for service in SERVICES.values() for variable in service["environment"]}
    ours = {variable for variable in passed if variable.startswith("WAREHOUSE_")}
    settings = {f"WAREHOUSE_{name.upper()}" for name in Settings.model_fields}
    assert ours - settings == OUTSIDE
    assert settings - ours == {f"WAREHOUSE_{name.upper()}" for name in NOT_PASSED_ON}


def test_the_simulation_replaces_nothing_but_what_is_outside() -> None:
    text = (PROJECT_ROOT / "tests" / "docker-compose.simulated.yml").read_text()
    simulated = yaml.safe_load(text)["services"]
    assert set(simulated) - set(SERVICES) == {"exchange", "webhook"}
    for name in ("scheduler", "stream", "alerts"):
        assert set(simulated[name]) == {"environment", "depends_on"}
    assert "ports" not in text
    outside = {"WAREHOUSE_LAKE", "WAREHOUSE_PING_URL", "AWS_ACCESS_KEY_ID"}
    assert outside <= set(simulated["scheduler"]["environment"])
    for variable, value in simulated["scheduler"]["environment"].items():
        assert "//" not in value or re.search("//(exchange|webhook):", value), variable
    assert set(SERVICES) - set(simulated) == {"warehouse", "migrate", "page", "provision"}


def test_the_image_is_built_of_the_lock_and_holds_no_more_than_it_needs() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == [
        "python:3.13-slim-trixie", "warehouse",
    ]  # fmt: skip
    for line in re.findall(r"pip install (.*?) -r |pip install (.*?) \.", DOCKERFILE, re.DOTALL):
        assert re.search("--require-hashes|--no-deps", "".join(line))
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    assert not any(line.startswith("!.") for line in lines)


def test_the_example_of_an_env_names_what_there_is() -> None:
    text = (PROJECT_ROOT / ".env.example").read_text()
    names = set(re.findall(r"^# ([A-Z_]+)=", text, re.MULTILINE))
    secrets = set(SECRETS)
    settings = {f"WAREHOUSE_{name.upper()}" for name in Settings.model_fields}
    stack = {*PORTS_BY_SERVICE, "METABASE_VERSION", "INBOX"}
    assert secrets | stack <= names
    assert names <= secrets | stack | settings
    kept, renewed = written("KEPT"), written("RENEWED")
    assert set(kept + renewed) == secrets
    assert len(kept + renewed) == len(secrets)


def written(name: str) -> list[str]:
    """The secrets that one of the script's two lists names."""
    found = re.search(rf"^{name}=\((.*?)\)", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1].split()


def test_the_page_reads_as_the_reader_and_asks_for_a_password() -> None:
    page = SERVICES["page"]
    assert page["environment"]["WAREHOUSE_USER"] == Settings().metabase_reader_user
    made = SERVICES["migrate"]["environment"]["WAREHOUSE_LOGIN_METABASE_READER_PASSWORD"]
    assert page["environment"]["WAREHOUSE_PASSWORD"] == made
    assert "WAREHOUSE_PAGE_PASSWORD" in page["environment"]


def test_messages_link_to_where_the_page_is() -> None:
    [port] = SERVICES["page"]["ports"]
    published = port.split(":", 1)[1].rsplit(":", 1)[0]
    for name in ("page", "alerts"):
        url = SERVICES[name]["environment"]["WAREHOUSE_PAGE_URL"]
        assert url == f"${{WAREHOUSE_PAGE_URL:-http://localhost:{published}}}"


# ------------------------------------------------------------------- doctor

TOOLS = (
    "bash", "sh", "sed", "tail", "head", "tr", "find", "sort", "grep", "awk", "dirname", "wc",
    "cat", "rm", "chmod", "touch", "install",
)  # fmt: skip

FAKE = """\
#!/bin/sh
case "$*" in
    info) {info} ;;
    "info --format {{{{.MemTotal}}}}") echo {memory} ;;
    "compose version --short") {version} ;;
    "volume inspect "*) {volume} ;;
    *"config --quiet") {config} ;;
    *" up "*) exit 1 ;;
esac
"""
FINE = {
    "info": "true", "memory": 8 << 30, "version": "echo v2.26.1-4", "volume": "exit 1",
    "config": "true",
}  # fmt: skip


def doctor(
    tmp_path: Path, env: str | None, docker: dict[str, object] | None, command: str = "doctor"
) -> list[str]:
    """What `make doctor` complains of: an .env, and a Docker (as no machine has all of them)."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    if docker is not None:
        (tools / "docker").write_text(FAKE.format(**docker))
        (tools / "docker").chmod(0o755)
    file = tmp_path / "env"
    if env is not None:
        file.write_bytes(env.encode())
        file.chmod(0o600)
    done = subprocess.run(
        ["bash", SCRIPT, command], text=True, capture_output=True, check=False,
        env={"PATH": str(tools), "ENV_FILE": str(file), "HOME": os.environ["HOME"]},
    )  # fmt: skip
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr.replace(str(file), ".env").splitlines()


PORTS = "".join(f"{name}={free_port()}\n" for name in PORTS_BY_SERVICE)
FIRST = len(PORTS_BY_SERVICE) + 1


def test_every_published_port_is_one_of_those_that_are_checked() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == set(PORTS_BY_SERVICE.values())


def test_what_compose_says_is_told_without_what_it_quotes(tmp_path: Path) -> None:
    secrets = "".join(f"{name}=x\n" for name in SECRETS)
    complaint = 'echo "unterminated quoted value \'abc" >&2; exit 15'
    said = doctor(tmp_path, PORTS + secrets, {**FINE, "config": complaint})
    assert said == ["unterminated quoted value"]


def test_the_first_up_writes_secrets_that_nobody_else_reads(tmp_path: Path) -> None:
    """Also into a copy of the example, which is open to others and has a blank one."""
    # Without an inbox of its own `up` would make one in the project.
    own = f"# mine\nPOSTGRES_PASSWORD=\nLOADER_PASSWORD=kept\nINBOX={tmp_path}\n"
    own += "WAREHOUSE_BOOKS=btc_mxn"
    before = PORTS + own
    file = tmp_path / "env"
    [line] = doctor(tmp_path, before, FINE, "up")
    assert line.startswith("stack: it did not come up")
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines()
    kept = [line for line in before.splitlines() if line != "POSTGRES_PASSWORD="]
    assert kept == lines[: len(kept)]
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    assert len(pairs) == len([line for line in lines if "=" in line])
    assert set(SECRETS) <= set(pairs)
    assert pairs["LOADER_PASSWORD"] == "kept"
    made = [pairs[name] for name in SECRETS if name != "LOADER_PASSWORD"]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9]{28}7", secret) for secret in made)
    again = file.read_text()
    shutil.rmtree(tmp_path / "bin")
    doctor(tmp_path, again, FINE, "up")
    assert file.read_text() == again


def test_secrets_that_were_lost_are_not_made_anew(tmp_path: Path) -> None:
    for command in ("doctor", "up"):
        [line] = doctor(tmp_path, PORTS, {**FINE, "volume": "true"}, command)
        assert "bring the old .env back" in line
        assert (tmp_path / "env").read_text() == PORTS
        shutil.rmtree(tmp_path / "bin")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_no_data_were_made_with_is_just_made(tmp_path: Path, name: str) -> None:
    """As an .env of an older version lacks it."""
    env = PORTS + f"INBOX={tmp_path}\n"
    env += "".join(f"{each}=x\n" for each in SECRETS if each != name)
    [line] = doctor(tmp_path, env, {**FINE, "volume": "true"}, "up")
    made = re.search(rf"^{name}=\w{{29}}$", (tmp_path / "env").read_text(), re.MULTILINE)
    assert bool(made) == (name in written("RENEWED"))
    assert ("it did not come up" if made else f".env has no {name}, but there is data") in line


def test_all_is_well(tmp_path: Path) -> None:
    assert doctor(tmp_path, PORTS + "# a comment\n\nWAREHOUSE_BOOKS='btc_mxn'\n", FINE) == []


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        (None, "Docker is not installed"),
        (
            {**FINE, "info": "echo Cannot connect >&2; exit 1"},
            "engine is not running, or this user",
        ),
        ({**FINE, "version": "exit 1"}, "Docker has no Compose v2"),
        ({**FINE, "version": "echo 1.29.2"}, "Docker Compose 1.29.2 is too old"),
        ({**FINE, "version": "echo v2.3.4"}, "Docker Compose 2.3.4 is too old"),
        ({**FINE, "memory": 2 << 30}, "Docker has 2048 MiB of memory"),
    ],
)
def test_a_docker_that_will_not_do(
    tmp_path: Path, docker: dict[str, object] | None, said: str
) -> None:
    [line] = doctor(tmp_path, PORTS, docker)
    assert said in line


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("WAREHOUSE_BOOKS btc_mxn\n", f".env, line {FIRST}: is not NAME=value"),
        ("a-b=c\n", f".env, line {FIRST}: is not NAME=value"),
        ("A=1\nB=2\nA=3\n", f".env, line {FIRST + 2}: A stands twice"),
        ("A=1\r\n", f".env, line {FIRST}: ends with a carriage return"),
        ("A='1\n", f".env, line {FIRST}: A begins with a quote that does not end"),
    ],
)
def test_an_env_that_is_broken(tmp_path: Path, env: str, said: str) -> None:
    [line] = doctor(tmp_path, PORTS + env, FINE)
    assert line.startswith(said)


@pytest.mark.parametrize("name", PORTS_BY_SERVICE)
@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none(tmp_path: Path, name: str, port: str) -> None:
    [line] = doctor(tmp_path, PORTS.replace(f"{name}=", f"{name}={port} #"), FINE)
    assert line.startswith(f".env: {name} is no port: ")


@pytest.mark.parametrize(("name", "service"), PORTS_BY_SERVICE.items())
def test_a_port_that_is_taken(tmp_path: Path, name: str, service: str) -> None:
    assert [line.split(":")[1] for line in SERVICES[service]["ports"]] == [f"${{{name}"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        env = re.sub(rf"{name}=\d+", f"{name}={port}", PORTS)
        [line] = doctor(tmp_path, env, FINE)
    assert line.startswith(f"port {port} is taken by another program: put {name}=... with")


def test_an_env_that_others_may_read(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(PORTS + "POSTGRES_PASSWORD=x\n")
    file.chmod(0o644)
    tools = os.environ["PATH"]
    done = subprocess.run(
        ["bash", SCRIPT, "doctor"], text=True, capture_output=True, check=False,
        env={"PATH": tools, "ENV_FILE": str(file), "HOME": os.environ["HOME"]},
    )  # fmt: skip
    assert f"others may read it: chmod 600 {file}" in done.stderr
