"""The `loader` command: parse, call, print."""

import logging
import sys
from contextlib import closing
from pathlib import Path

import click

from loader import privileges
from loader.commands import CommandGroup
from loader.embedded import Embedded
from loader.profiles import write_profile
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
    """Start the database if it is the embedded one, and bring schema, roles and profile up to date."""
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
@click.argument("paths", nargs=-1, required=True, metavar="DIR|FILE...", type=click.Path(path_type=Path))
@click.option("--allow-shrink", is_flag=True, help="Take a snapshot with less than half of the current rows.")
def snapshots(paths: tuple[Path, ...], *, allow_shrink: bool) -> None:
    """Load snapshot files: deposits, withdrawals, events, users, user levels.

    A file is recognised by its header, whatever its name, plain or gzipped, and becomes the
    current snapshot of its kind, whole or not at all. A directory holds one file of each kind.
    """
    for run in load_snapshots(paths, allow_shrink=allow_shrink):
        click.echo(_summary(run))


def _summary(run: Run) -> str:
    what = f"{run.detail['file']}: {run.detail['kind']}"
    if run.status == "unchanged":
        return f"{what}: the same bytes as the current snapshot, nothing to do"
    return (
        f"{what}: {run.rows_inserted} rows loaded, {run.rows_duplicate} duplicate, "
        f"{run.rows_quarantined} quarantined (run {run.run_id})"
    )
