"""The two versions that are compared, each with a virtual environment of its own.

Both environments are made alike, from the version's own lock of what it needs to run: a library
that only developers have would make one of them start slower.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from loader.warehouse.errors import TerminalError, TransientError, UsageError
from loader.warehouse.settings import PROJECT_ROOT

# Kept between runs, for environments take longest to make; `make clean` removes it.
BUILD = PROJECT_ROOT / ".bench"
LOCK = Path("requirements") / "run.lock"


class Version(NamedTuple):
    """A checkout, and where its commands are."""

    label: str
    tree: Path
    scripts: Path


def here() -> Version:
    """The tree that the bench is in, with what is not committed yet."""
    return _installed("now", PROJECT_ROOT, BUILD / "now")


def commit_of(name: str) -> str:
    """The full name of a commit; raises UsageError for what is none."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except subprocess.CalledProcessError:
        raise UsageError(f"AGAINST={name}: no commit of this repository") from None


def described() -> str:
    """The commit that this tree stands on, and whether there is more in it than that."""
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        return _git("describe", "--always", "--abbrev=12", "--dirty", "--exclude=*")
    return ""


@contextmanager
def checked_out(commit: str) -> Iterator[Version]:
    """Another commit in a worktree of git's, which is gone afterwards; its environment stays."""
    directory = BUILD / commit[:12]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"{commit[:12]} is being measured by somebody else") from None
        # Where it is must stay the same: the environment points to it.
        tree = directory / "tree"
        _remove(tree)
        try:
            _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
            yield _installed(commit[:12], tree, directory)
        finally:
            _remove(tree)


def _remove(tree: Path) -> None:
    """Also what a run that was killed has left."""
    with suppress(subprocess.CalledProcessError):
        _git("worktree", "remove", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)
    _git("worktree", "prune")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", PROJECT_ROOT, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _installed(label: str, tree: Path, directory: Path) -> Version:
    """Make the environment unless it is there and its lock is still the same."""
    environment = directory / "venv"
    version = Version(label, tree, environment / "bin")
    if not (tree / LOCK).exists():
        raise TerminalError(f"{label} has no {LOCK}: its environment cannot be made")
    wanted = sha256((tree / LOCK).read_bytes() + (tree / "pyproject.toml").read_bytes()).hexdigest()
    stamp = environment / "bench.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return version
    sys.stderr.write(f"making an environment for {label}\n")
    shutil.rmtree(environment, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "--require-hashes", "-r", str(tree / LOCK)],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(tree)],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise TerminalError(f"{label}: no environment: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text(wanted)
    return version
