"""The `loader` command: its groups put together.

What a command needs is imported when it runs, so that `--help` reads no settings and loads no
driver: each command's function imports its own.
"""

import logging

import click

from loader.cli import (
    alerts,
    backups,
    database,
    lake,
    market,
    operations,
    quarantine,
    snapshots,
    stream,
)
from loader.warehouse.commands import CommandGroup


@click.group(cls=CommandGroup, name="loader", log_level=logging.INFO)
def main() -> None:
    """Bring data into the warehouse.

    Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 75 temporary (try again).
    """


for command in (
    *(database.init, database.stop),
    snapshots.snapshots,
    *(market.tickers, market.order_books, market.books, market.exchanges),
    *(market.exchange_volumes, market.replay),
    stream.stream,
    *(operations.transform, operations.prune, operations.status),
    *(backups.backup, backups.restore),
    lake.lake,
    *(alerts.alerts, alerts.report),
    quarantine.quarantine,
):
    main.add_command(command)
