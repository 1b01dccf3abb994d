"""`loader snapshots`: files of deposits, withdrawals, events, users and user levels."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loader.cli.typed import counts
from loader.warehouse.commands import GivenPath
from loader.warehouse.errors import UsageError

if TYPE_CHECKING:
    from loader.warehouse.ledger.runs import LedgerRun


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    metavar="[DIR|FILE...]",
    # A file that cannot be read is refused in its turn, with its row in the ledger.
    type=GivenPath(readable=False, path_type=Path),
)
@click.option(
    "--allow-shrink", is_flag=True, help="Take a snapshot with less than half of the current rows."
)
@click.option(
    "--columns",
    multiple=True,
    metavar="THEIRS=OURS,...",
    help="What columns of the files are called here; THEIRS= leaves one out.",
)
def snapshots(paths: tuple[Path, ...], *, allow_shrink: bool, columns: tuple[str, ...]) -> None:
    """Load snapshot files: deposits, withdrawals, events, users, user levels.

    A file is recognised by its header, whatever its name, plain or packed (gzip, zip, zstd), and
    becomes the current snapshot of its kind, whole or not at all. A directory holds one file of
    each kind; without a name it is WAREHOUSE_INBOX, where files are taken when they have rested.
    """
    from loader.snapshots.header import COLUMNS
    from loader.snapshots.inbox import load_inbox
    from loader.snapshots.load import load_snapshots
    from loader.warehouse.columns import ColumnNames

    if not paths and allow_shrink:
        raise UsageError("snapshots: --allow-shrink needs the name of a file")
    names = ColumnNames.parse(",".join(columns), COLUMNS) if columns else None
    runs = load_snapshots(paths, allow_shrink=allow_shrink, names=names)
    for run in runs if paths else load_inbox(names):
        click.echo(_summary(run))


def _summary(run: "LedgerRun") -> str:
    if "file" not in run.detail:
        return f"{run.job}: {run.detail['reason']}, nothing to do"
    what = f"{run.detail['file']}: {run.detail['kind']}"
    if run.status == "unchanged":
        return f"{what}: the same bytes as the current snapshot, nothing to do"
    return f"{what}: {counts(run)}"
