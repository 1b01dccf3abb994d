"""`loader quarantine`: the rows that could not be loaded."""

from contextlib import closing
from pathlib import Path

import click

from loader.cli.typed import RegularFile
from loader.warehouse.errors import UsageError

LONGEST_TEXT = 60
MOST_SHOWN = 10_000


@click.group()
def quarantine() -> None:
    """See, export and load again the rows that could not be loaded."""


@quarantine.command("list")
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(min=0, max=MOST_SHOWN),
    help="The most rows to show.",
)
def quarantine_list(*, limit: int) -> None:
    """Show the rows in quarantine, oldest first."""
    from loader.warehouse.ledger.quarantine import count_open, first_open
    from loader.warehouse.postgres.connection import connect
    from loader.warehouse.postgres.sample import shown_while_alone
    from loader.warehouse.table import text_table
    from loader.warehouse.text import counted, shortened

    shown_while_alone()
    with closing(connect("loader")) as connection:
        rows = first_open(connection, limit, LONGEST_TEXT + 1)
        total = count_open(connection)
    if rows:
        shown = [[shortened(str(value), LONGEST_TEXT) for value in row] for row in rows]
        click.echo(text_table(["id", "location", "reason_code", "reason", "raw"], shown))
    click.echo(f"{counted(total, 'row')} in quarantine" + (f", {len(rows)} shown" if rows else ""))


@quarantine.command("export")
@click.argument("file", type=RegularFile())
def quarantine_export(file: Path) -> None:
    """Write the rows in quarantine to FILE as CSV: edit its raw column, then redrive it."""
    from loader.operations.edited import export_rows
    from loader.warehouse.text import counted, shown_path

    click.echo(f"{counted(export_rows(file), 'row')} written to {shown_path(file)}")


@quarantine.command("redrive")
@click.argument("file", required=False, type=RegularFile())
def quarantine_redrive(file: Path | None) -> None:
    """Load the rows in quarantine again, with the texts of the edited FILE if given."""
    from loader.operations.redrive import redrive
    from loader.warehouse.text import counted

    run = redrive(file)
    for problem in run.detail["still_bad"]:
        click.echo(problem, err=True)
    replaced = run.detail.get("replaced", 0)
    click.echo(
        f"{counted(run.rows_inserted, 'row')} loaded, {run.rows_duplicate} were loaded already, "
        f"{run.rows_quarantined} stay in quarantine"
        + (f", {replaced} are of replaced snapshots" if replaced else "")
    )
    if unknown := run.detail.get("unknown"):
        first = ", ".join(map(str, unknown["first"]))
        more = ", ..." if unknown["rows"] > len(unknown["first"]) else ""
        raise UsageError(
            f"{counted(unknown['rows'], 'row')} of the file never stood in this quarantine, with "
            f"the quarantine_id {first}{more}"
        )
