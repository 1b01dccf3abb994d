"""dbt inside this process: nothing is imported, and nothing is parsed, twice.

A dbt of its own takes four seconds before it asks the database anything, most of them for its
imports and for reading the project. Tests that are about the models, not about the process, call
dbt's own runner with the project as the first of them has read it.
"""

import contextlib
import gc
import io
import json
import subprocess

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

# By the names of the variables given: what a model refers to may hang on whether there is one,
# its value only goes into SQL.
_projects: dict[tuple[str, ...], Manifest] = {}


def run_dbt(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`dbt ...`, as if it had been typed: its exit code, and what it would have printed."""
    command = [*arguments, "--no-write-json", "--log-level-file", "none"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        done = _invoke(database, command)
    return subprocess.CompletedProcess(command, _exit_code(done), printed.getvalue(), "")


def _invoke(database: str, arguments: list[str]) -> dbtRunnerResult:
    given = arguments[arguments.index("--vars") + 1] if "--vars" in arguments else "{}"
    variables = tuple(sorted(json.loads(given)))
    if variables not in _projects:
        parsed = dbtRunner().invoke(["parse", *_about_the_project(arguments)])
        if not isinstance(parsed.result, Manifest):
            return parsed
        _projects[variables] = parsed.result
        # It stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
    _move(_projects[variables], database)
    # A copy each time: a run writes what it has compiled into the project.
    copy: Manifest = _projects[variables].deepcopy()  # type: ignore[no-untyped-call]
    return dbtRunner(copy).invoke(arguments)


def _about_the_project(arguments: list[str]) -> list[str]:
    """The options that `dbt parse` takes as well."""
    names = {"--project-dir", "--target-path", "--log-path", "--vars", "--log-level-file"}
    return [
        each
        for place, name in enumerate(arguments[:-1])
        if name in names
        for each in arguments[place : place + 2]
    ]


def _move(project: Manifest, database: str) -> None:
    """The project as dbt reads it where the profile names this database."""
    for node in (*project.nodes.values(), *project.sources.values(), *project.functions.values()):
        if node.relation_name:
            node.relation_name = node.relation_name.replace(
                f'"{node.database}"', f'"{database}"', 1
            )
        node.database = database


def _exit_code(done: dbtRunnerResult) -> int:
    """That of the command: 1 where nodes failed, 2 where there was nothing to run them with."""
    if done.success:
        return 0
    return 2 if done.exception else 1
