"""A command imports what it runs and nothing else, as `sys.modules` of a fresh process says."""

import subprocess
import sys

import pytest

from loader.warehouse.settings import PROJECT_ROOT
from tests.conftest import Warehouse

HEAVY = {"pyarrow", "websockets", "apprise", "dbt", "vl_convert", "pycoingecko", "requests"}
DRIVER_AND_SETTINGS = {"psycopg2", "loader.warehouse.settings", "pydantic", "dotenv"}

# Runs a command as its console script does, then says which modules were loaded.
REPORTED = """
import sys
from importlib import import_module
module, *arguments = sys.argv[1:]
try:
    import_module(module).main(arguments)
except SystemExit as end:
    code = end.code
print(code, *sorted(sys.modules), file=sys.stderr)
"""


def loaded_by(module: str, *arguments: str) -> tuple[str, set[str]]:
    """The exit code, and what a fresh process has loaded when the command has ended."""
    done = subprocess.run(
        [sys.executable, "-c", REPORTED, module, *arguments],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    code, *modules = done.stderr.splitlines()[-1].split()
    return code, set(modules)


HELP = [
    ("loader.cli.main", "--help"),
    ("loader.cli.main", "snapshots", "--help"),
    ("loader.cli.main", "lake", "import", "--help"),
    ("loader.cli.main", "stream", "--help"),
    ("loader.cli.main", "--version"),
    ("loader.cli.main", "completion", "fish"),
    ("dashboards.cli", "--help"),
    ("dashboards.cli", "sql", "-h"),
]


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_loads_no_driver_and_no_settings(command: tuple[str, ...]) -> None:
    code, modules = loaded_by(*command)
    assert code == "0"
    assert modules & (HEAVY | DRIVER_AND_SETTINGS) == set()


def test_the_list_of_questions_loads_nothing_heavy() -> None:
    code, modules = loaded_by("dashboards.cli", "ask", "--list")
    assert code == "0"
    assert modules & HEAVY == set()
    assert "psycopg2" not in modules


def test_status_loads_nothing_heavy(warehouse: Warehouse) -> None:
    warehouse.activate()
    code, modules = loaded_by("loader.cli.main", "status")
    # No schedule has ever run in it, so that no job is late.
    assert code == "0"
    assert "psycopg2" in modules
    assert modules & HEAVY == set()
