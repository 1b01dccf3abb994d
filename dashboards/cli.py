"""The `dashboards` command: parse, call, print; a command imports what it runs, when it runs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loader.warehouse.commands import CommandGroup, GivenPath
from loader.warehouse.errors import TerminalError, UsageError

if TYPE_CHECKING:
    from dashboards.answers import Answer
    from dashboards.questions import Parameter, Question

_WIDTH = {"max_content_width": 100}


class Ask(click.Group):
    """A group with one command a question."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The questions' names."""
        from dashboards.questions import load_questions

        return list(load_questions())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """The command that asks a question, its parameters as options."""
        from dashboards.questions import load_questions
        from loader.warehouse.text import nearest

        questions = load_questions()
        if cmd_name not in questions:
            hint = nearest(cmd_name, questions) or ": `dashboards ask` lists them"
            raise UsageError(f"no such question: {cmd_name}{hint}")
        return _command(questions[cmd_name])


@click.group(cls=CommandGroup, name="dashboards", context_settings=_WIDTH)
def main() -> None:
    """Show what the warehouse knows.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 75 temporary (try again).
    """


@main.group(cls=Ask, invoke_without_command=True)
@click.option("--list", "list_only", is_flag=True, help="List the questions and leave.")
@click.pass_context
def ask(context: click.Context, *, list_only: bool) -> None:
    """Answer a question; without a name, list the questions."""
    from dashboards.questions import load_questions

    if list_only or context.invoked_subcommand is None:
        width = max(map(len, load_questions()))
        for name, question in load_questions().items():
            click.echo(f"{name:{width}}  {question.title}")
        context.exit()


@main.command()
@click.argument("directory", metavar="DIR", type=GivenPath(path_type=Path, file_okay=False))
def export(directory: Path) -> None:
    """Write every target table and every question's answer as CSV below DIR.

    DIR/target/<table>.csv and DIR/questions/<question>.csv; each file is written whole or not
    at all, and all of them show the same moment.
    """
    from dashboards.export import export as write_files
    from loader.warehouse.text import shown_path

    write_files(directory, lambda path: click.echo(f"wrote {shown_path(path)}"))


@main.command()
@click.argument("names", nargs=-1, metavar="[DASHBOARD...]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: dashboards.html in WAREHOUSE_HOME]",
)
def preview(names: tuple[str, ...], out: Path | None) -> None:
    """Write the dashboards, or some of them, as one HTML page that needs no network.

    A question that fails says so in its tile; the page is written, and the exit code is 1.
    """
    from dashboards.definitions import load_dashboards
    from dashboards.preview import preview as write_page
    from loader.warehouse.settings import get_settings
    from loader.warehouse.text import nearest, shown_path

    known = load_dashboards()
    for name in names:
        if name not in known:
            raise UsageError(f"no such dashboard: {name}{nearest(name, known)}")
    path = out or get_settings().home / "dashboards.html"
    problems = write_page(path, [known[name] for name in names or known])
    click.echo(f"wrote {shown_path(path)}")
    if problems:
        raise TerminalError("; ".join(problems))


@main.command()
def plan() -> None:
    """Show what `apply` would change in Metabase; exit code 0: nothing, 2: something."""
    if _provision(is_writing=False, prune=False):
        raise click.exceptions.Exit(2)


@main.command()
@click.option(
    "--prune", is_flag=True, help="Archive our cards and dashboards that left the repository."
)
def apply(*, prune: bool) -> None:
    """Bring the dashboards to Metabase (WAREHOUSE_METABASE_...); again changes nothing."""
    _provision(is_writing=True, prune=prune)


def _provision(*, is_writing: bool, prune: bool) -> int:
    """How many changes there were, each of them printed."""
    from dashboards.definitions import load_dashboards
    from dashboards.metabase.changes import Change
    from dashboards.metabase.provision import Provision
    from dashboards.metabase.session import Session, as_expected
    from loader.warehouse.settings import get_settings

    changes: list[Change] = []

    def report(change: Change) -> None:
        changes.append(change)
        click.echo(str(change))

    settings = get_settings()
    load_dashboards()
    with as_expected(settings):
        Provision(
            Session(settings, may_set_up=is_writing),
            settings,
            is_writing=is_writing,
            prune=prune,
            report=report,
            notice=lambda line: click.echo(line, err=True),
        ).run()
    click.echo(f"{len(changes)} changes" if changes else "nothing to change")
    return len(changes)


def _command(question: "Question") -> click.Command:
    def run(output_format: str, **given: str | None) -> None:
        from dashboards import answers, known

        values = question.bind({name: text for name, text in given.items() if text is not None})
        with answers.reading() as connection:
            values = known.as_known(connection, question, values)
            if output_format == "csv":
                rows = answers.copy_answer(connection, question, values, sys.stdout.buffer)
            else:
                answer = answers.ask(connection, question, values)
                rows = len(answer.rows)
                (_print_json if output_format == "json" else _print_table)(answer)
            # On stderr: stdout carries nothing but the answer.
            if not rows or output_format == "table":
                click.echo(known.note(connection, question, values, rows), err=True)

    options: list[click.Parameter] = [
        _option(name, parameter) for name, parameter in question.parameters.items()
    ]
    formats = click.Option(
        ["--format", "output_format"],
        type=click.Choice(["table", "csv", "json"]),
        default="table",
        show_default=True,
        help="How to print the answer.",
    )
    return click.Command(
        question.name, callback=run, params=[*options, formats], help=question.description
    )


def _option(name: str, parameter: "Parameter") -> click.Option:
    return click.Option(
        # `name` once more: from is no name that click would make of --from by itself.
        ["--" + name.replace("_", "-"), name],
        metavar="|".join(parameter.choices) or parameter.type.upper(),
        help=f"{parameter.description}  [default: {parameter.default_text}]",
    )


def _print_json(answer: "Answer") -> None:
    """One object a row, in UTF-8 whatever the terminal has, as JSON always is.

    Amounts are strings: most JSON readers make floats of numbers.
    """
    rows = (
        json.dumps(dict(zip(answer.columns, row, strict=True)), ensure_ascii=False)
        for row in answer.rows
    )
    text = "[\n" + ",\n".join(rows) + "\n]" if answer.rows else "[]"
    click.echo(text.encode())


def _print_table(answer: "Answer") -> None:
    from loader.warehouse.table import text_table

    click.echo(text_table(answer.columns, answer.rows))
