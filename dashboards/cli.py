"""The `dashboards` command: parse, call, print; a command imports what it runs, when it runs."""

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loader.warehouse.commands import CommandGroup, GivenPath, refuse_options_before
from loader.warehouse.errors import TerminalError, UsageError

if TYPE_CHECKING:
    from dashboards.formats import Written
    from dashboards.parameters import Parameter
    from dashboards.questions import Question

log = logging.getLogger(__name__)
FORMATS = ("table", "csv", "json", "jsonl", "parquet")


class Ask(click.Group):
    """A group with one command a question."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The questions' names."""
        from dashboards.questions import load_questions

        return list(load_questions())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """The command that asks a question, its parameters as options."""
        from dashboards.questions import broken_questions, load_questions
        from loader.warehouse.text import nearest

        questions = load_questions()
        if cmd_name in broken_questions():
            raise broken_questions()[cmd_name]
        if cmd_name not in questions:
            hint = nearest(cmd_name, questions) or ": `dashboards ask` lists them"
            raise UsageError(f"no such question: {cmd_name}{hint}")
        return _command(questions[cmd_name])


@click.group(cls=CommandGroup, name="dashboards")
def main() -> None:
    """Show what the warehouse knows.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 75 temporary (try again).
    """


@main.group(cls=Ask, invoke_without_command=True)
@click.option("--list", "list_only", is_flag=True, help="List the questions, a line each.")
@click.option(
    "--all",
    "rows_of_each",
    type=click.IntRange(min=1),
    metavar="N",
    help="Answer them all, each with its defaults: the first N rows.",
)
@click.pass_context
def ask(context: click.Context, *, list_only: bool, rows_of_each: int | None) -> None:
    """Answer a question; without a name, list the questions by who asks them."""
    from dashboards.questions import broken_questions, load_questions

    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    questions = load_questions().values()
    if rows_of_each:
        for question in questions:
            click.echo(f"\n{question.name}: {question.title}")
            _answer(question, {}, FORMATS[0], rows_of_each)
    else:
        _list(questions, by_group=not list_only)
    _fail_for(map(str, broken_questions().values()))


def _list(questions: Collection["Question"], *, by_group: bool) -> None:
    from dashboards.questions import GROUPS

    width = max(len(question.name) for question in questions)
    for group in GROUPS if by_group else [None]:
        if group:
            click.echo(f"{group}:")
        for question in questions:
            if group in (None, question.asked_by):
                click.echo(f"{'  ' * bool(group)}{question.name:{width}}  {question.title}")
    if by_group:
        click.echo("\n`dashboards ask NAME --help` tells a question's parameters.")


# How an answer is printed.
_PRINTED: tuple[click.Parameter, ...] = (
    click.Option(
        ["--format", "output_format"],
        type=click.Choice(FORMATS),
        default=FORMATS[0],
        show_default=True,
        help="How to print the answer.",
    ),
    click.Option(
        ["--limit"], type=click.IntRange(min=1), metavar="N", help="Print the first N rows only."
    ),
)


@main.command("sql", params=[click.Argument(["query"], metavar="SELECT"), *_PRINTED])
def ask_sql(query: str, output_format: str, limit: int | None) -> None:
    """Answer a query over the marts, as the reader, who can change nothing.

    Such as: dashboards sql "select * from marts.spread_alerts" --limit 10
    """
    from dashboards import answers, formats, typed_sql

    formats.refuse_terminal(output_format, sys.stdout)
    with answers.reading() as connection:
        checked = typed_sql.checked(connection, query)
        written = formats.write(connection, checked, output_format, sys.stdout, limit)
    if not written.rows:
        click.echo("no rows", err=True)
    _tell_left_out(written)


@main.command()
@click.argument("directory", metavar="DIR", type=GivenPath(path_type=Path, file_okay=False))
def export(directory: Path) -> None:
    """Write every target table and every question's answer as CSV below DIR.

    DIR/target/<table>.csv and DIR/questions/<question>.csv; each file is written whole or not
    at all, and all of them show the same moment.
    """
    from dashboards.export import export as write_files
    from loader.warehouse.text import shown_path

    _fail_for(write_files(directory, lambda path: click.echo(f"wrote {shown_path(path)}")))


@main.command()
@click.argument(
    "names",
    nargs=-1,
    metavar="[DASHBOARD...]",
    shell_complete=lambda _context, _argument, text: _dashboards_like(text),
)
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
    _fail_for(problems)


@main.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen at; one that others reach needs WAREHOUSE_PAGE_PASSWORD.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port; 0: any that is free.",
)
def serve(host: str, port: int) -> None:
    """Show the dashboards as a live page: filters, zoom and refresh, until Ctrl-C.

    /healthz answers 200 while the database does.
    """
    from dashboards.serve.server import serve as serve_page

    def listening(address: str) -> None:
        click.echo(f"{address} shows the dashboards; Ctrl-C ends it")

    serve_page(host, port, listening)


def _dashboards_like(begun: str) -> list[str]:
    from dashboards.definitions import load_dashboards

    return [name for name in load_dashboards() if name.startswith(begun)]


def _fail_for(problems: Iterable[str]) -> None:
    """End with exit code 1 where there are problems, each of which is told."""
    if told := "; ".join(problems):
        raise TerminalError(told)


@main.command()
def plan() -> None:
    """Show what `apply` would change in Metabase; exit code 0: nothing, 2: something."""
    if _provision(is_writing=False, prune=False, may_overwrite=lambda _: False):
        raise click.exceptions.Exit(2)


@main.command()
@click.option(
    "--prune", is_flag=True, help="Archive our cards and dashboards that left the repository."
)
@click.option("--yes", is_flag=True, help="Overwrite what was changed by hand, without asking.")
def apply(*, prune: bool, yes: bool) -> None:
    """Bring the dashboards to Metabase (WAREHOUSE_METABASE_...); again changes nothing.

    What somebody changed there by hand is overwritten when you say so: asked in a terminal, or
    with --yes. Otherwise it is left as it is, and named.
    """

    def may_overwrite(change: object) -> bool:
        if yes or not sys.stdin.isatty():
            return yes
        click.echo(str(change), err=True)
        return click.confirm("overwrite it?", err=True)

    _provision(is_writing=True, prune=prune, may_overwrite=may_overwrite)


def _provision(*, is_writing: bool, prune: bool, may_overwrite: Callable[[object], bool]) -> int:
    """How many changes there were, each of them printed."""
    from dashboards.definitions import load_dashboards
    from dashboards.metabase.changes import Changes
    from dashboards.metabase.provision import Provision
    from dashboards.metabase.session import Session, as_expected
    from dashboards.questions import broken_questions
    from loader.warehouse.settings import get_settings

    settings = get_settings()
    changes = Changes(
        is_writing,
        report=lambda change: click.echo(str(change)),
        notice=lambda line: click.echo(line, err=True),
        may_overwrite=may_overwrite,
    )
    load_dashboards()
    # What has no question here would be taken for one that has left.
    _fail_for(map(str, broken_questions().values()))
    with as_expected(settings):
        Provision(Session(settings, may_set_up=is_writing), settings, changes, prune=prune).run()
    made, left = len(changes.made), len(changes.left)
    if left:
        click.echo(f"{made} changes, {left} left")
    else:
        click.echo(f"{made} changes" if made else "nothing to change")
    return made


def _answer(
    question: "Question", given: Mapping[str, str], output_format: str, limit: int | None
) -> None:
    from dashboards import answers, formats, known
    from loader.warehouse.postgres.reporting import reporting_now

    formats.refuse_terminal(output_format, sys.stdout)
    values = question.bind(given, lambda: reporting_now("reader"))
    with answers.reading() as connection:
        values = known.as_known(connection, question, values)
        with connection, connection.cursor() as cursor:
            query = answers.bound(cursor, question, values)
        log.debug("%s", query)
        written = formats.write(connection, query, output_format, sys.stdout, limit)
        # On stderr: stdout carries nothing but the answer.
        if not written.rows or output_format == "table":
            click.echo(known.note(connection, question, values, written.rows), err=True)
        elif beyond := known.beyond(connection, question, values):
            click.echo(beyond, err=True)
    _tell_left_out(written)


def _command(question: "Question") -> click.Command:
    def run(output_format: str, limit: int | None, **given: str | None) -> None:
        typed = {name: text for name, text in given.items() if text is not None}
        _answer(question, typed, output_format, limit)

    options: list[click.Parameter] = [
        _option(name, parameter) for name, parameter in question.parameters.items()
    ]
    return click.Command(
        question.name, callback=run, params=[*options, *_PRINTED], help=question.description
    )


def _tell_left_out(written: "Written") -> None:
    from loader.warehouse.text import counted

    if written.left_out:
        click.echo(f"the first {counted(written.rows, 'row')}; {written.left_out:,} more", err=True)


def _option(name: str, parameter: "Parameter") -> click.Option:
    return click.Option(
        # `name` once more: from is no name that click would make of --from by itself.
        ["--" + name.replace("_", "-"), name],
        metavar="|".join(parameter.choices) or parameter.type.upper(),
        help=f"{parameter.description}  [default: {parameter.default_text}]",
        shell_complete=lambda _context, _option, text: _values_like(parameter, text),
    )


def _values_like(parameter: "Parameter", begun: str) -> list[str]:
    """What a value may become: one of its choices, or a known name that is nobody's own."""
    from loader.warehouse.completing import names_in

    values = list(parameter.choices)
    if parameter.known and not parameter.known.private:
        values = names_in(parameter.known.table, parameter.known.column)
    elif parameter.type in ("date", "instant"):
        values = ["today", "yesterday"]
    return [value for value in values if value.startswith(begun)]
