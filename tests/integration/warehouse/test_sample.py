"""The sample and one's own data, side by side: who only reads is shown the one while alone."""

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from loader.operations.dbt import run_dbt
from loader.warehouse.postgres.profiles import write_profile
from loader.warehouse.postgres.sample import SAMPLE
from loader.warehouse.settings import PROJECT_ROOT, get_settings
from tests.conftest import BIN, Server, Warehouse

OWN = "warehouse"


def shown(warehouse: Warehouse, **named: str) -> str:
    """Which database a reader sees; and that they are told where it is the sample."""
    query = ("dashboards", "sql", "select current_database() as db", "--format", "csv")
    done = warehouse.run(*query, **named)
    assert done.returncode == 0, done.stderr
    database = done.stdout.split()[-1]
    told = "this is the sample" in done.stderr
    assert told == (database == SAMPLE and not named), done.stderr
    return database


def test_it_is_shown_until_there_is_something_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        own = server.database(OWN, "migrated")
        stack.callback(server.drop, own)
        monkeypatch.delenv("WAREHOUSE_DB")
        assert shown(own) == OWN, "there is no sample"
        sample = server.database(SAMPLE, "migrated")
        stack.callback(server.drop, sample)
        loaded = sample.call("loader", "snapshots", PROJECT_ROOT / "seeds" / "sample")
        assert loaded.returncode == 0, loaded.stderr
        monkeypatch.delenv("WAREHOUSE_DB")
        _shown_while_alone(own, tmp_path / "users.csv")
        server.drop(own)
        assert shown(own) == SAMPLE, "nobody has made a database yet"


def _shown_while_alone(own: Warehouse, users: Path) -> None:
    assert shown(own) == SAMPLE
    for command in (("status",), ("quarantine", "list")):
        assert "this is the sample" in own.loader(*command).stderr
    assert shown(own, WAREHOUSE_DB=OWN) == OWN
    assert by_hand(own, users.parent) == SAMPLE
    users.write_text("user_id\nme\n")
    refused = own.loader("snapshots", users, WAREHOUSE_DB=SAMPLE)
    assert (refused.returncode, "make load FILES=DIR" in refused.stderr) == (1, True)
    assert own.loader("snapshots", users).returncode == 0
    assert shown(own) == OWN
    assert shown(own, WAREHOUSE_DB=SAMPLE) == SAMPLE
    assert by_hand(own, users.parent) == OWN


def by_hand(warehouse: Warehouse, directory: Path) -> str:
    """The database that a dbt typed by hand asks after `make run` has made the sample ready."""
    named = {"WAREHOUSE_PROFILES_DIR": str(directory)}
    done = warehouse.loader("init", WAREHOUSE_DB=SAMPLE, **named)
    assert done.returncode == 0, done.stderr
    asked = ("dbt", "show", "--inline", "select current_database() as db", "--output", "json")
    project = ("--project-dir", str(PROJECT_ROOT / "dbt_project"), "--quiet")
    shown = warehouse.run(*asked, *project, DBT_PROFILES_DIR=str(directory))
    assert shown.returncode == 0, shown.stdout
    [row] = json.loads(shown.stdout)["show"]
    return str(row["db"])


def test_the_dbt_of_the_loader_asks_what_the_loader_is_set_to(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(tmp_path, warehouse.where._replace(db="nobodys"), with_role=True)
    settings = tmp_path / "settings"
    settings.write_text(f"WAREHOUSE_DB={warehouse.where.db}\n")
    monkeypatch.delenv("WAREHOUSE_DB")
    monkeypatch.setenv("WAREHOUSE_ENV_FILE", str(settings))
    monkeypatch.setenv("WAREHOUSE_PROFILES_DIR", str(tmp_path))
    get_settings.cache_clear()
    # It fails where there is no such database.
    run_dbt("show", "--inline", "select 1")


def test_make_load_builds_with_the_files_that_were_not_refused(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    for name, text in {"users.csv": "user_id\nme\n", "deposits.csv": "a,b\n"}.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["make", "-C", PROJECT_ROOT, "-o", ".venv/run.stamp", "load", f"BIN={BIN}",
         f"FILES={tmp_path}"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "loader: 1 of 2 files refused\n" in done.stderr
    assert "Built without what was refused above" in done.stderr
    assert warehouse.rows("select user_id from target.users") == [("me",)]
