"""`loader transform`, `prune` and `status`: what runs it, day by day."""

import json
from datetime import datetime

import click

from loader.cli.typed import time_option
from loader.warehouse.errors import TerminalError, UsageError


@click.command()
@time_option("--since", "Rebuild the hours from this instant on from raw.")
@time_option("--until", "Up to this instant; by default now.")
@click.option("--tests", is_flag=True, help="Also test the data and the models, as dbt build does.")
def transform(since: datetime | None, until: datetime | None, *, tests: bool) -> None:
    """Run the models over what is new, or again over a stretch of time, from raw."""
    from loader.operations.transform import transform as run_models

    run = run_models(since, until, tests=tests)
    if run.status == "unchanged":
        click.echo(f"{run.job}: {run.detail['reason']}, nothing to do (run {run.run_id})")
        return
    what = " until ".join([run.detail["since"], run.detail["until"]]) if since else "what is new"
    click.echo(f"{run.job}: {what} (run {run.run_id})")


@click.command()
def prune() -> None:
    """Drop days of raw market data past their retention (WAREHOUSE_KEEP_DAYS_...) and modelled.

    Old runs of the ledger are folded into counts by day.
    """
    from loader.operations.prune import prune as drop_old
    from loader.warehouse.text import counted

    run = drop_old()
    for partition, why in run.detail["kept"].items():
        click.echo(f"kept raw.{partition}: {why}", err=True)
    for partition in run.detail["dropped"]:
        click.echo(f"dropped raw.{partition}")
    click.echo(
        f"{counted(len(run.detail['dropped']), 'day')} dropped, {len(run.detail['kept'])} kept"
    )
    if run.detail["folded"]:
        click.echo(f"{counted(run.detail['folded'], 'run')} folded into counts by day")


@click.command()
@click.argument(
    "names",
    nargs=-1,
    metavar="[JOB...]",
    shell_complete=lambda _context, _argument, text: _jobs_like(text),
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(names: tuple[str, ...], *, as_json: bool) -> None:
    """Show whether each scheduled job, or each of some, is on time; exit code 1 when one is not.

    Where no schedule has ever run, as after `make run`, no job that it would run is late.
    """
    from loader.alerts.mutes import current
    from loader.operations.schedule import SCHEDULE
    from loader.operations.status import statuses
    from loader.operations.status_told import status_lines
    from loader.operations.unreadable import unreadable_records
    from loader.warehouse.ledger.mutes import ALL
    from loader.warehouse.postgres.sample import shown_while_alone

    known = {job.name: job for job in SCHEDULE}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no such job: {unknown[0]}: they are {', '.join(known)}")
    shown_while_alone()
    jobs = statuses([known[name] for name in names or known])
    unreadable, mutes = unreadable_records(), current()
    if as_json:
        told = {
            "jobs": [job.as_json() for job in jobs],
            "unreadable": [records._asdict() for records in unreadable],
            "muted_until": {each.book or ALL: each.until.isoformat() for each in reversed(mutes)},
        }
        click.echo(json.dumps(told, indent=2))
    else:
        for line in (*status_lines(jobs, SCHEDULE), *unreadable, *mutes):
            click.echo(line)
    late = [job.job for job in jobs if job.is_late]
    if late:
        raise TerminalError(f"late: {', '.join(late)}")


def _jobs_like(begun: str) -> list[str]:
    from loader.operations.schedule import SCHEDULE

    return [job.name for job in SCHEDULE if job.name.startswith(begun)]
