"""What the documents say is so: examples, make targets, diagram, exposures."""

import os
import re
import subprocess
import sys
from pathlib import Path

from dashboards.definitions import load_dashboards
from dashboards.questions import load_questions
from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import BIN, Warehouse

PAGES = (PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").rglob("*.md")))
EXAMPLE = re.compile(r"^```console\n\$ (?P<command>.+)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def test_every_example_prints_what_it_says(sampled: Warehouse) -> None:
    examples = [found for page in PAGES for found in EXAMPLE.finditer(page.read_text())]
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
