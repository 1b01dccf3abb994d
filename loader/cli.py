"""The `loader` command: parse, call, print."""

import logging
import sys
from contextlib import closing
from pathlib import Path

import click
from prettytable import PrettyTable

from loader import privileges
from loader.commands import CommandGroup
from loader.embedded import Embedded
from loader.profiles import write_profile
from loader.quarantine import count_open, export_rows, open_rows, redrive
from loader.settings import get_settings
from loader.snapshot_load import load_snapshots
from loader.warehouse import Run, connect, endpoint, migrate


@click.group(cls=CommandGroup, name="loader", context_settings={"max_content_width": 100})
def main() -> None:
    """Bring data into the warehouse.

    Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 75 temporary (try again).
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


@main.command()
def init() -> None:
    """Bring schema, roles and dbt's profile up to date; start the database if it is embedded."""
    for name in migrate():
        click.echo(f"applied {name}")
    with closing(connect()) as connection:
        problem = privileges.apply(connection)
    if problem:
        click.echo(problem, err=True)
    where = endpoint()
    directory = get_settings().profiles_dir
    write_profile(directory, where, with_role=problem is None)
    click.echo(f"ready: {where.user}@{where.host}:{where.port}/{where.db}")


@main.command()
def stop() -> None:
    """Stop the embedded database."""
    stopped = Embedded(get_settings().home).stop()
    click.echo("stopped" if stopped else "not running")


@main.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="DIR|FILE...",
    # A file that cannot be read is refused in its turn, with its row in the ledger.
    type=click.Path(readable=False, path_type=Path),
)
@click.option(
    "--allow-shrink", is_flag=True, help="Take a snapshot with less than half of the current rows."
)
def snapshots(paths: tuple[Path, ...], *, allow_shrink: bool) -> None:
    """Load snapshot files: deposits, withdrawals, events, users, user levels.

    A file is recognised by its header, whatever its name, plain or gzipped, and becomes the
    current snapshot of its kind, whole or not at all. A directory holds one file of each kind.
    """
    for run in load_snapshots(paths, allow_shrink=allow_shrink):
        click.echo(_summary(run))


@main.group()
def quarantine() -> None:
    """See, export and load again the rows that could not be loaded."""


@quarantine.command("list")
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(min=0),
    help="The most rows to show.",
)
def quarantine_list(*, limit: int) -> None:
    """Show the rows in quarantine, oldest first."""
    with closing(connect("loader")) as connection:
        rows = open_rows(connection, limit)
        total = count_open(connection)
    table = PrettyTable(["id", "location", "reason_code", "reason", "raw"], align="l")
    for row in rows:
        raw = row.raw if len(row.raw) <= 60 else row.raw[:59] + "…"
        # A row must not break the table, nor speak to the terminal.
        raw = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in raw)
        table.add_row([row.quarantine_id, row.location, row.reason_code, row.reason, raw])
    if rows:
        click.echo(table.get_string())
    click.echo(f"{total} rows in quarantine" + (f", {len(rows)} shown" if rows else ""))


@quarantine.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def quarantine_export(file: Path) -> None:
    """Write the rows in quarantine to FILE as CSV: edit its raw column, then redrive it."""
    click.echo(f"{export_rows(file)} rows written to {file}")


@quarantine.command("redrive")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def quarantine_redrive(file: Path | None) -> None:
    """Load the rows in quarantine again, with the texts of the edited FILE if given."""
    run = redrive(file)
    for problem in run.detail["still_bad"]:
        click.echo(problem, err=True)
    replaced = run.detail.get("replaced", 0)
    click.echo(
        f"{run.rows_inserted} rows loaded, {run.rows_duplicate} were loaded already, "
        f"{run.rows_quarantined} stay in quarantine"
        + (f", {replaced} are of replaced snapshots" if replaced else "")
    )


def _summary(run: Run) -> str:
    what = f"{run.detail['file']}: {run.detail['kind']}"
    if run.status == "unchanged":
        return f"{what}: the same bytes as the current snapshot, nothing to do"
    return (
        f"{what}: {run.rows_inserted} rows loaded, {run.rows_duplicate} duplicate, "
        f"{run.rows_quarantined} quarantined (run {run.run_id})"
    )
