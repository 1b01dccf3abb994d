"""`loader alerts` and `loader report`: what people are told."""

import click

from loader.warehouse.errors import TransientError


@click.command()
@click.option("--follow", "is_following", is_flag=True, help="Go on, as quotes come in.")
def alerts(*, is_following: bool) -> None:
    """Deliver alerts that opened or closed to their channels (WAREHOUSE_ALERT_CHANNELS)."""
    from loader.alerts.sender import deliver, follow

    if is_following:
        follow()
    run, tally = deliver()
    counts = f"{tally.sent} sent, {tally.failed} failed, {tally.skipped} too old"
    click.echo(f"alerts: {counts} (run {run.run_id})")
    if tally.failed:
        raise TransientError(
            f"{tally.failed} messages did not go through: see ops.alert_deliveries"
        )


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
