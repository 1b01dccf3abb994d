"""`loader alerts` and `loader report`: what people are told."""

from datetime import timedelta

import click

from loader.cli.typed import completed_books, length_option
from loader.warehouse.commands import refuse_options_before
from loader.warehouse.errors import TransientError


@click.group(invoke_without_command=True)
@click.option("--follow", "is_following", is_flag=True, help="Go on, as quotes come in.")
@click.pass_context
def alerts(context: click.Context, *, is_following: bool) -> None:
    """Deliver alerts that opened or closed to their channels (WAREHOUSE_ALERT_CHANNELS)."""
    if context.invoked_subcommand:
        refuse_options_before(context)
        return
    from loader.alerts.sender import deliver, follow, undelivered
    from loader.warehouse.text import counted

    if is_following:
        follow()
    run, tally = deliver()
    counts = f"{tally.sent} sent, {tally.failed} failed, {tally.skipped} too old"
    muted = f", {tally.muted} muted" if tally.muted else ""
    click.echo(f"alerts: {counts}{muted} (run {run.run_id})")
    if tally.failed:
        raise TransientError(
            f"{counted(tally.failed, 'message')} did not go through: see ops.alert_deliveries"
        )
    waiting = undelivered()
    if waiting.messages:
        raise TransientError(
            f"{counted(waiting.messages, 'message')} to be tried again: {waiting.reason}"
        )


@alerts.command()
@click.argument(
    "book",
    metavar="BOOK|all",
    shell_complete=lambda _context, _option, text: completed_books(text),
)
@length_option("--for", "For so long from now; 0 ends what was muted before.")
def mute(book: str, length: timedelta) -> None:
    """Tell nothing of a book for a while, as during planned work.

    What is still open when it ends is told then.
    """
    from loader.alerts.mutes import mute as mute_book
    from loader.alerts.mutes import unmute
    from loader.warehouse.text import counted

    if length:
        click.echo(mute_book(book, length))
    else:
        click.echo(f"{book}: {counted(unmute(book), 'mute')} ended")


@alerts.command()
def mutes() -> None:
    """List the books that are muted, and until when."""
    from contextlib import closing

    from loader.alerts.misnamed import warn_of_misnamed
    from loader.alerts.mutes import current
    from loader.warehouse.postgres.connection import connect

    with closing(connect("loader")) as connection:
        warn_of_misnamed(connection)
    muted = current()
    for each in muted:
        click.echo(each)
    if not muted:
        click.echo("nothing is muted")


@click.command()
def report() -> None:
    """Tell how often each spread was above its thresholds in the last whole hour.

    Goes to the channel `report` of WAREHOUSE_ALERT_CHANNELS as well, if there is one.
    """
    from loader.alerts.report import report as tell_hour

    run, text = tell_hour()
    click.echo(text)
    if failed := run.detail["failed"]:
        raise TransientError(f"the report did not reach {failed} of its addresses")
