"""Every parameter of every command, as click knows them, with what somebody may type for it."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import uvicorn

from dashboards import answers, preview
from dashboards.questions import Question, load_questions
from loader.cli.typed import RegularFile
from loader.operations import transform
from loader.warehouse.errors import UsageError
from loader.warehouse.text import LONGEST_LINE, printable
from tests.conftest import COMMANDS, Warehouse
from tests.hostile import FIRST, LAST, TEXTS, files

CODES = {0, 1, 2, 75}
# What a required parameter is given while another one is tried.
RIGHT = {
    "book": "all", "length": "0", "path": "empty", "file": "rows.csv", "directory": "out",
    "query": "select 1",
}  # fmt: skip


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The ways to the commands below one that have parameters."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from leaves(below, (*path, name))
    if command.params:
        yield path


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = COMMANDS[path[0]]
    for name in path[1:]:
        assert isinstance(command, click.Group)
        below = command.get_command(click.Context(command), name)
        assert below
        command = below
    return command


WAYS = [
    # Of questions one: the others' parameters are those of tests/unit/dashboards/test_hostile.py.
    path for name in COMMANDS for path in leaves(COMMANDS[name], (name,))
    if path[1:2] != ("ask",) or path[2:] in ((), ("spread-alerts",))
]  # fmt: skip


def calls(path: tuple[str, ...], directory: Path) -> Iterator[list[str]]:
    """The command lines to try."""
    parameters = command_of(path).params
    for tried in parameters:
        others = [
            each
            for parameter in parameters
            if parameter.required and parameter is not tried
            for each in _typed(parameter, RIGHT[str(parameter.name)])
        ]
        texts = list(TEXTS)
        if isinstance(tried.type, click.Path):
            # Whoever takes folders as well finds out itself what is in them.
            texts += files(directory / str(tried.name), waiting=isinstance(tried.type, RegularFile))
        for text in texts:
            yield [*path[1:], *others, *_typed(tried, text)]


def _typed(parameter: click.Parameter, text: str) -> list[str]:
    if isinstance(parameter, click.Option):
        return [f"{parameter.opts[0]}={text}"]
    # An argument that begins with a dash is an option.
    return ["--", text]


@pytest.mark.parametrize("path", WAYS, ids=" ".join)
def test_no_value_ends_in_a_traceback(
    module_warehouse: Warehouse, path: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    module_warehouse.activate()
    # Not what this is about, and a second each time.
    monkeypatch.setattr(preview, "_page", str)
    # It would serve for ever: that it listens is enough.
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_: None)
    Path(module_warehouse.directory, "empty").mkdir(exist_ok=True)
    for parameter in command_of(path).params:
        (tmp_path / str(parameter.name)).mkdir()
    for arguments in calls(path, tmp_path):
        done = module_warehouse.call(path[0], *arguments)
        assert done.returncode in CODES, arguments
        said = done.stderr.splitlines()
        assert all(len(line) <= LONGEST_LINE + 100 for line in said), arguments
        assert all(printable(line) == line for line in said), arguments
        if done.returncode:
            assert said[-1].startswith(f"{path[0]}: "), arguments
            assert len(said) == 1 or path[1] in ("lake", "snapshots", "replay"), (arguments, said)


def test_the_command_lines_themselves_are_tried() -> None:
    """As many as there are, so that none is passed over."""
    tried = {path[:2] for path in WAYS}
    assert {("loader", name) for name in ("lake", "transform", "stream", "replay")} <= tried
    assert {("dashboards", name) for name in ("ask", "export", "preview", "apply")} <= tried


# ----------------------------------------------------------------------- times

TAKING_TIMES = [
    (path, [str(each.opts[0]) for each in command_of(path).params if each.metavar == "TIME"])
    for path in WAYS
    if any(each.metavar == "TIME" for each in command_of(path).params)
]


# One observation, and what else an export asks the models for.
OBSERVED = """
    create table marts.modelled_until (table_name text, run_id bigint);
    create table marts.book_names (book_name text, book text);
    insert into marts.book_names values ('btc_mxn', 'btc_mxn');
    create table marts.spread_observations (
        orderbook_timestamp timestamptz, book text, bid numeric, ask numeric, spread numeric,
        is_primary boolean
    );
    insert into marts.spread_observations
    values ('2026-01-05 12:00:00+00', 'btc_mxn', 1, 2, 50, true);
    grant select on all tables in schema marts to warehouse_loader
"""


@pytest.mark.parametrize(
    ("path", "options"), TAKING_TIMES, ids=[" ".join(path) for path, _ in TAKING_TIMES]
)
def test_a_command_takes_the_ends_of_time(
    warehouse: Warehouse, path: tuple[str, ...], options: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    warehouse.rows(OBSERVED)
    # What dbt makes of it: tests/integration/operations/test_transform.py.
    monkeypatch.setattr(transform, "run_dbt", lambda *_: None)
    if path == ("loader", "lake", "export"):
        path = (*path, "--to", "out")
    assert options == ["--since", "--until"]
    for since, until, code in (
        (FIRST, LAST, 0), (FIRST, "0001-01-01T00:10Z", 0), (FIRST, None, 0), (LAST, None, 2),
        ("9999-12-30", LAST, 2), (LAST, FIRST, 2), (f"{FIRST}T00:00+14:00", None, 2),
        (FIRST, f"{LAST}T23:59:59-14:00", 2),
    ):  # fmt: skip
        given = [f"--since={since}", *([f"--until={until}"] if until else [])]
        done = warehouse.call(*path, *given)
        assert done.returncode == code, (given, done.stderr)
        assert done.stderr.count("\n") <= 1
        if code == 0 and until == LAST and "out" in path:
            assert "1 observation in 1 file" in done.stdout


# ------------------------------------------------------------------- questions


def _rows(question: Question, **given: str) -> list[answers.AnswerRow]:
    with answers.reading() as connection:
        return answers.ask(connection, question, question.bind(given)).rows


TIMED = [
    name for name, question in load_questions().items()
    if any(each.type in ("date", "instant") for each in question.parameters.values())
]  # fmt: skip


@pytest.mark.parametrize("name", TIMED)
def test_all_of_time_takes_no_longer_than_the_time_that_has_data(
    sampled: Warehouse, name: str
) -> None:
    """A question ends within its time limit, with as many rows as a century gives."""
    sampled.activate()
    question = load_questions()[name]
    times = {key: each for key, each in question.parameters.items()
             if each.type in ("date", "instant")}  # fmt: skip

    def asked(first: str, last: str) -> list[answers.AnswerRow]:
        given = {key: last if key == "to" else first for key in times}
        return _rows(question, **given)

    if {"from", "to"} <= set(times):
        assert asked(FIRST, LAST) == asked("2000-01-01", "2099-12-31") != []
        assert asked(FIRST, FIRST) == asked(LAST, LAST)
        if times["from"].type == "instant":
            ends = (f"{FIRST}T00:00:00Z", f"{LAST}T23:59:59.999999Z")
            assert asked(*ends) == asked(FIRST, LAST)
    for key in times:
        for day in (FIRST, LAST):
            _rows(question, **{key: day})


@pytest.mark.parametrize("name", load_questions())
def test_postgres_is_asked_with_any_value(sampled: Warehouse, name: str) -> None:
    sampled.activate()
    question = load_questions()[name]
    for parameter in question.parameters:
        for text in TEXTS:
            try:
                question.bind({parameter: text})
            except UsageError:
                continue
            done = sampled.call(
                "dashboards", "ask", name, f"--{parameter.replace('_', '-')}={text}"
            )
            assert done.returncode in CODES, text
            # Of an answer, how new its data are.
            assert done.stderr.count("\n") == 1, text
