"""The project as dbt has read it, kept for its next run: to read it takes longer than to use it.

dbt keeps it as well, but in a form that it takes most of that time to read again and to hold
against every file. What is kept here holds as long as nothing differs that it was read from: the
files, the profile, the environment variables that they name, dbt's own variables and its version.
"""

import contextlib
import hashlib
import os
import pickle
import stat
import sys
import tempfile
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

from dbt.contracts.graph.manifest import Manifest

from loader.operations import dbt_project

_LIBRARIES = ("dbt-core", "dbt-common", "dbt-adapters", "dbt-postgres")
_DIGEST_BYTES = 32


def read_from() -> bytes:
    """A digest of all that dbt reads a project from, in this process."""
    profile = Path(os.environ["DBT_PROFILES_DIR"]) / "profiles.yml"
    own = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("DBT_"))
    versions = [sys.version, *map(version, _LIBRARIES)]
    return hashlib.sha256(repr((dbt_project.project(profile), own, versions)).encode()).digest()


def load(wanted: bytes) -> Manifest | None:
    """What was read from the very same; None where nothing was kept, or from anything else."""
    # What cannot be used is read anew from the project, whatever is wrong with it.
    with contextlib.suppress(Exception), _file().open("rb") as file:
        about = os.fstat(file.fileno())
        # What it says is done: from nobody else.
        is_ours = about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if is_ours and file.read(_DIGEST_BYTES) == wanted:
            return Manifest(**pickle.load(file))
    return None


def keep(project: Manifest, wanted: bytes) -> None:
    """Keep it, where there is a place: whole, or not at all."""
    file = _file()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # Readable by this user only.
        descriptor, fresh = tempfile.mkstemp(prefix=file.stem, dir=file.parent)
        try:
            with open(descriptor, "wb") as written:
                written.write(wanted + _packed(project))
            Path(fresh).replace(file)
        except BaseException:
            Path(fresh).unlink()
            raise


def _packed(project: Manifest) -> bytes:
    """A project as bytes, without what dbt finds in it again by itself.

    Its own way to be pickled puts what it has found into the wrong places.
    """
    names = [part.name for part in fields(project) if part.init and not part.name.startswith("_")]
    parts = {name: getattr(project, name) for name in names}
    return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)


def _file() -> Path:
    """Beside what dbt keeps; where that is, dbt takes from the project on."""
    target = os.environ.get("DBT_TARGET_PATH") or "target"
    return dbt_project.DBT_PROJECT / target / "kept_project.pickle"
