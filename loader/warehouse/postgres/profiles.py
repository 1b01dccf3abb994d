"""dbt's `profiles.yml`, so that a dbt typed by hand reaches the same database as the loader."""

import json
import os
from pathlib import Path

import yaml

from loader.warehouse.postgres.connection import Endpoint
from loader.warehouse.postgres.roles import ROLE_PREFIX

HEADER = "# Written by `loader init`: run it again after a change of settings. Holds a password.\n"


def write_profile(directory: Path, where: Endpoint, *, with_role: bool) -> Path:
    """Write `profiles.yml` for the endpoint, readable by this user only, whole or not at all.

    WAREHOUSE_* variables set when dbt runs win over what is written here.
    """
    elsewhere = "env_var('WAREHOUSE_HOST', '') | trim"
    output: dict[str, object] = {
        "type": "postgres",
        "host": _setting("HOST", where.host),
        "port": _setting("PORT", str(where.port), f"'5432' if {elsewhere} else ", "as_number"),
        "user": _setting("USER", where.user),
        "password": _setting("PASSWORD", where.password, f"'' if {elsewhere} else "),
        "dbname": _setting("DB", where.db),
        "schema": "target",
        "threads": 2,
        "connect_timeout": 10,
        "keepalives_idle": 30,
    }
    if with_role:
        output["role"] = ROLE_PREFIX + "transformer"
    profile = {"bitso_warehouse": {"target": "warehouse", "outputs": {"warehouse": output}}}
    path = directory / "profiles.yml"
    fresh = directory / f".{path.name}.{os.getpid()}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(HEADER + yaml.safe_dump(profile, sort_keys=False))
    fresh.replace(path)
    return path


def _setting(name: str, value: str, otherwise: str = "", cast: str = "as_text") -> str:
    # As in environment.py: the variable without blanks around it if it is set, else the value that
    # the settings had when this file was written.
    fallback = f"({otherwise}{json.dumps(value)})"
    return f"{{{{ (env_var('WAREHOUSE_{name}', '') | trim or {fallback}) | {cast} }}}}"
