"""`loader backup` and `loader restore`."""

from pathlib import Path

import click

from loader.cli.database import init
from loader.warehouse.commands import GivenPath


@click.command()
@click.argument("folder", metavar="TO", type=GivenPath(path_type=Path))
def backup(folder: Path) -> None:
    """Copy the warehouse as it is at one moment into a new entry of a folder, TO.

    The rows, roles and grants without passwords, and what waits in the stream's spool, with a
    manifest of counts and checksums. Everything may run meanwhile. Of this warehouse's older
    entries there, WAREHOUSE_BACKUPS_KEPT stay.
    """
    from loader.operations.backup import backup as back_up
    from loader.warehouse.text import counted, told_path

    run = back_up(folder)
    detail = run.detail
    for name in detail["dropped"]:
        click.echo(f"dropped {told_path(folder / name)}")
    click.echo(
        f"{told_path(folder / detail['entry'])}: {counted(detail['tables'], 'table')}, "
        f"{counted(detail['rows'], 'row')}, {detail['bytes'] / 1e6:.1f} MB (run {run.run_id})"
    )


@click.command()
@click.argument("source", metavar="FROM", type=GivenPath(path_type=Path))
@click.pass_context
def restore(context: click.Context, source: Path) -> None:
    """Make a warehouse in an empty database from a backup: an entry, or a folder's newest one.

    All of it is held against the manifest before it counts. It becomes a warehouse of its own, and
    the spool that it brings is for it. Then comes what `loader init` does.
    """
    from loader.operations.restore import restore as restore_from
    from loader.warehouse.text import counted, told_path

    entry, manifest = restore_from(source)
    rows = sum(rows for rows, _ in manifest.tables.values())
    click.echo(
        f"{told_path(entry)}: {manifest.database} as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{counted(len(manifest.tables), 'table')}, {counted(rows, 'row')}, all as it was"
    )
    context.invoke(init)
