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
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for machines.",
)
# As it was called before.
@click.option("--json", "as_before", is_flag=True, hidden=True)
def status(names: tuple[str, ...], output_format: str, *, as_before: bool) -> None:
    """Show how everything is, what is wrong and what to do; exit code 1 when somebody should look.

    Of each scheduled job, or of some, and of what belongs to no job. Where no schedule has ever
    run, as after `make run`, no job that it would run is late.
    """
    from loader.operations.checks.every import look
    from loader.operations.schedule import SCHEDULE
    from loader.operations.status_told import as_json, status_lines, what_fails

    known = {job.name: job for job in SCHEDULE}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no such job: {unknown[0]}: they are {', '.join(known)}")
    found = look([known[name] for name in names or known])
    if as_before or output_format == "json":
        click.echo(json.dumps(as_json(found), indent=2))
    else:
        for line in status_lines(found):
            click.echo(line)
    if found.error:
        raise found.error
    if wrong := what_fails(found):
        raise TerminalError(wrong)


def _jobs_like(begun: str) -> list[str]:
    from loader.operations.schedule import SCHEDULE

    return [job.name for job in SCHEDULE if job.name.startswith(begun)]
