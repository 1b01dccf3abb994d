"""Write docs/reference from the code: `python -m docs.reference DIRECTORY` (`make docs`)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import yaml
from pydantic import SecretStr

from dashboards.cli import main as dashboards
from dashboards.definitions import load_dashboards
from dashboards.questions import Question, load_questions
from docs.messages import messages
from loader.cli.main import main as loader
from loader.operations.checks.every import CHECKS
from loader.warehouse.settings import PROJECT_ROOT, Settings

MODELS = PROJECT_ROOT / "dbt_project" / "models"
_WRITTEN = "Written from the code by `make docs`.\n\n"
_WIDTH = 100


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    made = {
        "commands": ("Commands", _commands()),
        "settings": ("Settings", _settings()),
        "questions": ("Questions", _questions()),
        "tables": ("Tables", _tables()),
        "dashboards": ("Dashboards", _dashboards()),
        "checks": ("Checks of loader status", _checks()),
        "alert-messages": ("Alert messages", messages()),
    }
    return {
        f"{name}.md": f"# {title}\n\n{_WRITTEN}" + "\n".join(lines) + "\n"
        for name, (title, lines) in made.items()
    }


def _commands() -> Iterator[str]:
    yield "The help that each command prints. The questions of `dashboards ask` have [their own"
    yield "page](questions.md), `make help` lists the targets of make."
    for group in (loader, dashboards):
        yield from _help(group, str(group.name), None)


def _help(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    name = path.rsplit(maxsplit=1)[-1]
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    context.terminal_width = _WIDTH
    yield from ("", f"## {path}", "", "```text", command.get_help(context), "```")
    if isinstance(command, click.Group) and command.name != "ask":
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner:
                yield from _help(inner, f"{path} {name}", context)


def _checks() -> Iterator[str]:
    yield "What `loader status` looks at. Each finding has a line that says what is wrong, since"
    yield "when, and what to do; `--format json` has them under `problems`, by name of the check."
    yield ""
    yield from ("| check | what it looks at |", "|---|---|")
    for check in CHECKS:
        said = " ".join((check.look.__doc__ or "").split())
        yield f"| `{check.name}` | {_cell(said)} |"


def _settings() -> Iterator[str]:
    yield "Where they are read from, and how to use a Postgres of your own:"
    yield "[set things](../how-to/set-things.md)."
    yield ""
    yield from ("| variable | meaning | default |", "|---|---|---|")
    for name, field in Settings.model_fields.items():
        meaning = _cell(field.description or "")
        yield f"| `WAREHOUSE_{name.upper()}` | {meaning} | {_default(field.default)} |"


def _default(value: object) -> str:
    """A default as somebody would write it into `.env`; nothing where there is none."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, Path):
        value = value.relative_to(PROJECT_ROOT)
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if str(value) else ""


def _questions() -> Iterator[str]:
    yield "`dashboards ask NAME`, with these parameters. Examples with answers:"
    yield "[ask questions](../how-to/ask-questions.md)."
    for name, question in load_questions().items():
        yield from ("", f"## {name}", "", f"*{question.title}* {question.description}")
        yield from _parameters(question)


def _parameters(question: Question) -> Iterator[str]:
    if not question.parameters:
        return
    yield from ("", "| option | a value | meaning | default |", "|---|---|---|---|")
    for name, parameter in question.parameters.items():
        option = f"`--{name.replace('_', '-')}`"
        described = (parameter.expected, parameter.description, parameter.default_text)
        yield f"| {option} | " + " | ".join(map(_cell, described)) + " |"


def _tables() -> Iterator[str]:
    yield "Everything in `target` and `marts`: what people and dashboards may depend on."
    yield "How `target` hangs together: [the diagram](../erd.md)."
    words = _shared_words()
    for room in ("target", "marts"):
        yield from ("", f"## {room}")
        for file in sorted((MODELS / room).rglob("*.yml"), key=lambda each: each.name):
            for model in yaml.safe_load(file.read_text()).get("models", ()):
                yield from ("", f"### {room}.{model['name']}", "")
                yield _cell(_told(model["description"], words))
                yield from ("", "| column | type | meaning |", "|---|---|---|")
                for column in model["columns"]:
                    meaning = _cell(_told(column["description"], words))
                    yield f"| `{column['name']}` | {column.get('data_type', '')} | {meaning} |"


def _shared_words() -> dict[str, str]:
    """Dbt's blocks of description that several columns share, by name."""
    blocks = (MODELS / "_columns.md").read_text().split("{% docs ")[1:]
    parted = (block.partition("{% enddocs %}")[0].partition("%}") for block in blocks)
    return {name.strip(): text.strip() for name, _, text in parted}


def _told(description: str, words: dict[str, str]) -> str:
    for name, text in words.items():
        description = description.replace("{{ doc('" + name + "') }}", text)
    return description


def _dashboards() -> Iterator[str]:
    yield "Files `dashboards/*.yml`, in the order of the page."
    for dashboard in load_dashboards().values():
        yield from ("", f"## {dashboard.title}", "", dashboard.description, "")
        filters = ", ".join(f"*{chosen.title}*" for chosen in dashboard.filters.values())
        yield from (f"Filters: {filters or 'none'}.", "")
        for tile in dashboard.tiles:
            if tile.question:
                title = load_questions()[tile.question].title
                yield f"- {title} [`{tile.question}`](questions.md#{tile.question})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    for file, page in pages().items():
        (Path(sys.argv[1]) / file).write_text(page)
