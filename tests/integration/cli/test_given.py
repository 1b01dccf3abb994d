"""What is given empty, twice or in the wrong place is told, and never taken for something else."""

from pathlib import Path

import pytest

from tests.conftest import Warehouse


@pytest.mark.parametrize(
    "command",
    [
        ("loader", "snapshots", ""),
        ("loader", "lake", "import", ""),
        ("loader", "replay", ""),
        ("dashboards", "export", ""),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_none(warehouse: Warehouse, command: tuple[str, ...]) -> None:
    done = warehouse.run(*command)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["HOST", "DB"])
@pytest.mark.parametrize("value", ["postgres://u:s3cretpw@h/db", "h;password=s3cretpw"])
def test_an_address_in_the_place_of_a_name_is_not_shown(
    warehouse: Warehouse, name: str, value: str
) -> None:
    done = warehouse.run("loader", "status", **{f"WAREHOUSE_{name}": value})
    assert done.returncode == 2
    assert f"WAREHOUSE_{name}: what is set is not the name of a " in done.stderr
    assert "s3cretpw" not in done.stderr


@pytest.mark.parametrize(
    "line", ["WAREHOUSE_SNAPSHOTS_KEPT: 3", 'WAREHOUSE_SNAPSHOTS_KEPT="9', "WAREHOUSE_HOME=a b='"]
)
def test_a_line_of_the_settings_that_cannot_be_read_is_named(
    warehouse: Warehouse, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "settings"
    file.write_text(f"# mine\n{line}\n")
    done = warehouse.run("loader", "status", WAREHOUSE_ENV_FILE=str(file))
    if line.startswith("WAREHOUSE_HOME"):
        # To dotenv it is a value with a quote in it.
        assert "line" not in done.stderr
        return
    assert done.returncode == 2
    assert done.stderr == (f"loader: WAREHOUSE_ENV_FILE: {file}: line 2 is not NAME=value\n")
