"""`loader lake`: observations as files, out and in."""

from datetime import datetime
from pathlib import Path

import click

from loader.cli.typed import print_runs, time_option
from loader.lake.layouts import DEFAULT, FORMATS, PRESETS, Format, layout_of
from loader.warehouse.commands import GivenPath
from loader.warehouse.errors import UsageError


@click.group()
def lake() -> None:
    """Observations as files, one for each book and ten minutes: out, and in from old lakes."""


@lake.command("export")
@time_option("--since", "From this instant; by default from where the last export ended.")
@time_option(
    "--until", "Until before this instant; by default the last window that is over and modelled."
)
@click.option("--to", metavar="DIR|URI", help="A directory, or s3://...; see WAREHOUSE_LAKE.")
@click.option(
    "--by",
    default=DEFAULT,
    show_default=True,
    metavar="LAYOUT",
    help=f"{', '.join(PRESETS)}; or keys such as book,date,hour.",
)
@click.option(
    "--format", "file_format", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True
)
def lake_export(
    since: datetime | None, until: datetime | None, to: str | None, by: str, file_format: Format
) -> None:
    """Write the windows that are closed, each file whole or not at all; again gives the same."""
    from loader.lake.export import export_lake
    from loader.warehouse.settings import get_settings
    from loader.warehouse.text import counted

    to = to or get_settings().lake
    if not to:
        raise UsageError("lake export: say where, with --to or WAREHOUSE_LAKE")
    run = export_lake(to, layout_of(by), file_format, since, until)
    if run.detail["why"]:
        click.echo(f"stopped at {run.detail['until']}: {run.detail['why']}", err=True)
    click.echo(
        f"lake export: {counted(run.detail['observations'], 'observation')} in "
        f"{counted(run.detail['files'], 'file')} "
        f"(run {run.run_id})"
    )


@lake.command("import")
@click.argument("path", metavar="DIR|FILE", type=GivenPath(readable=False, path_type=Path))
@click.option(
    "--columns",
    multiple=True,
    metavar="THEIRS=OURS,...",
    help="What columns are called here: compra=bid,venta=ask; `THEIRS=` leaves one out.",
)
def lake_import(path: Path, columns: tuple[str, ...]) -> None:
    """Load recorded observations, CSV or Parquet in any layout, packed or not; each once.

    A file that has a header is read by it alone, bad rows are set aside. Of a directory, files
    named .csv and .parquet, also .gz, .zip and .zst of them; a file that is named itself may have
    any name.
    """
    from loader.lake.lines import COLUMNS
    from loader.lake.load import import_lake
    from loader.warehouse.columns import ColumnNames

    print_runs(import_lake(path, ColumnNames.parse(",".join(columns), COLUMNS)))
