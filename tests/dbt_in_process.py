"""dbt inside this process: nothing is imported, and nothing is parsed, twice.

A dbt of its own takes four seconds before it asks the database anything, most of them for its
imports and for reading the project. Tests that are about the models, not about the process, call
dbt's own runner with the project as the first of them has read it.
"""

import contextlib
import io
import json
import subprocess

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

from loader.operations.kept_project import packed, unpacked

# By the names of the variables given: what a model refers to may hang on whether there is one,
# its value only goes into SQL.
_projects: dict[tuple[str, ...], bytes] = {}


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
        _projects[variables] = packed(parsed.result)
    # A copy each time: a run writes what it has compiled into the project.
    project = unpacked(_projects[variables])
    _move(project, database)
    return dbtRunner(project).invoke(arguments)


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
    known = (project.nodes, project.sources, project.functions)
    for node in (each for nodes in known for each in nodes.values()):
        node.relation_name = _moved(node.relation_name, node.database, database)
        node.database = database
    # What macros see of them as `graph`.
    for kind in ("nodes", "sources", "functions"):
        for node in project.flat_graph[kind].values():
            node["relation_name"] = _moved(node["relation_name"], node["database"], database)
            node["database"] = database


def _moved(relation: str | None, here: str | None, there: str) -> str | None:
    return relation and relation.replace(f'"{here}"', f'"{there}"', 1)


def _exit_code(done: dbtRunnerResult) -> int:
    """That of the command: 1 where nodes failed, 2 where there was nothing to run them with."""
    if done.success:
        return 0
    return 2 if done.exception else 1
