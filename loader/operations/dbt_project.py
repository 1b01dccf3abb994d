"""The dbt project as files, and a digest that is another one as soon as any of them is."""

import hashlib
import os
import re
from pathlib import Path

from loader.warehouse.settings import PROJECT_ROOT

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
SEEDS = PROJECT_ROOT / "seeds" / "reference"
# What dbt and `loader init` write into the project.
_WRITTEN = {"target", "logs", "dbt_packages", "profiles.yml", ".user.yml"}
# Whatever the quotes around a name are: YAML doubles those of a text in quotes.
_VARIABLE = re.compile(rb"env_var\W+(\w+)")


def project(*others: Path) -> str:
    """A digest of this version's project, with its seeds, and of other files."""
    return digest(DBT_PROJECT, SEEDS, *others)


def digest(*paths: Path) -> str:
    """A digest of files, and of the environment variables that they name.

    Of a directory, of the files in it that dbt reads.
    """
    found = hashlib.sha256()
    named: set[bytes] = set()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            place = file.relative_to(path)
            if not _WRITTEN.isdisjoint(place.parts[:1]) or not file.is_file():
                continue
            content = file.read_bytes()
            named.update(_VARIABLE.findall(content))
            found.update(f"{place} {len(content)}\n".encode() + content)
    for name in sorted(named):
        found.update(b"%s=%s\n" % (name, os.environb.get(name, b"")))
    return found.hexdigest()
