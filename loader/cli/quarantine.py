"""`loader quarantine`: the rows that could not be loaded."""

from contextlib import closing
from pathlib import Path

import click

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
    type=click.IntRange(0, MOST_SHOWN),
    help="The most rows to show.",
)
def quarantine_list(*, limit: int) -> None:
    """Show the rows in quarantine, oldest first."""
    from prettytable import PrettyTable

    from loader.warehouse.ledger.quarantine import count_open, first_open
    from loader.warehouse.postgres.connection import connect
    from loader.warehouse.text import printable, shortened

    with closing(connect("loader")) as connection:
        rows = first_open(connection, limit, LONGEST_TEXT + 1)
        total = count_open(connection)
    table = PrettyTable(["id", "location", "reason_code", "reason", "raw"], align="l")
    for row in rows:
        # A row must not break the table, nor speak to the terminal.
        table.add_row([printable(shortened(str(value), LONGEST_TEXT)) for value in row])
    if rows:
        click.echo(table.get_string())
    click.echo(f"{total} rows in quarantine" + (f", {len(rows)} shown" if rows else ""))


@quarantine.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def quarantine_export(file: Path) -> None:
    """Write the rows in quarantine to FILE as CSV: edit its raw column, then redrive it."""
    from loader.operations.edited import export_rows

    click.echo(f"{export_rows(file)} rows written to {file}")


@quarantine.command("redrive")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def quarantine_redrive(file: Path | None) -> None:
    """Load the rows in quarantine again, with the texts of the edited FILE if given."""
    from loader.operations.redrive import redrive

    run = redrive(file)
    for problem in run.detail["still_bad"]:
        click.echo(problem, err=True)
    replaced = run.detail.get("replaced", 0)
    click.echo(
        f"{run.rows_inserted} rows loaded, {run.rows_duplicate} were loaded already, "
        f"{run.rows_quarantined} stay in quarantine"
        + (f", {replaced} are of replaced snapshots" if replaced else "")
    )
