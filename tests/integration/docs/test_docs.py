"""What the documents say is so: README, diagram, settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.definitions import load_dashboards
from dashboards.questions import load_questions
from loader.cli.main import main
from loader.warehouse.settings import PROJECT_ROOT, Settings
from tests.conftest import BIN, Warehouse

README = (PROJECT_ROOT / "README.md").read_text()
EXAMPLE = re.compile(r"^```console\n\$ (?P<command>.+)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def test_every_example_of_the_readme_prints_what_it_says(sampled: Warehouse) -> None:
    examples = list(EXAMPLE.finditer(README))
    assert len(examples) >= len(load_questions())
    said = {example["command"]: example["output"] for example in examples}
    printed = {command: _shell(sampled, command) for command in said}
    assert printed == said


def _shell(sampled: Warehouse, command: str) -> str:
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=sampled.directory, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("name", load_questions())
def test_every_question_has_an_example(name: str) -> None:
    assert f"$ dashboards ask {name}" in README


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readme(name: str) -> None:
    row = re.search(rf"^\| `WAREHOUSE_{name.upper()}` \| (.*) \|$", README, re.MULTILINE)
    assert row, f"WAREHOUSE_{name.upper()} is missing"
    assert (Settings.model_fields[name].description or "missing") in row[1]


@pytest.mark.parametrize("name", main.commands)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"loader {name}" in README or f"make {name}" in README


def test_every_make_target_is_listed_with_what_it_does() -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    listed = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


def test_the_diagram_is_that_of_the_project(sampled: Warehouse) -> None:
    drawn = sampled.directory / "erd.md"
    subprocess.run([sys.executable, PROJECT_ROOT / "docs" / "erd.py", drawn], check=True)
    assert drawn.read_text() == (PROJECT_ROOT / "docs" / "erd.md").read_text()


def test_the_exposures_are_those_of_the_dashboards(tmp_path: Path, sampled: Warehouse) -> None:
    written = tmp_path / "exposures.yml"
    subprocess.run([sys.executable, PROJECT_ROOT / "docs" / "exposures.py", written], check=True)
    kept = PROJECT_ROOT / "dbt_project" / "models" / "exposures.yml"
    assert written.read_text() == kept.read_text()
    listed = sampled.dbt("--quiet", "list", "--resource-type", "exposure").stdout
    assert len(listed.split()) == len(load_dashboards())
