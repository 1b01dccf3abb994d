"""The `loader` command: parse, call, print."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from prettytable import PrettyTable

from loader.alerts.report import report
from loader.alerts.sender import deliver, follow
from loader.lake.export import FORMATS, Format, export_lake
from loader.lake.layouts import DEFAULT, PRESETS, layout_of
from loader.lake.load import import_lake
from loader.market.jobs import (
    load_books,
    load_exchange_volumes,
    load_exchanges,
    load_order_books,
    load_tickers,
)
from loader.market.live import open_bitso
from loader.market.recording import replay
from loader.operations.prune import prune
from loader.operations.redrive import export_rows, redrive
from loader.operations.schedule import SCHEDULE
from loader.operations.status import status_table, statuses
from loader.operations.transform import transform
from loader.snapshots.load import load_inbox, load_snapshots
from loader.stream.daemon import Options, Stream
from loader.stream.spool import Spool
from loader.warehouse.commands import CommandGroup
from loader.warehouse.errors import TerminalError, TransientError, UsageError
from loader.warehouse.ledger.quarantine import count_open, open_rows
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres import logins
from loader.warehouse.postgres import roles as privileges
from loader.warehouse.postgres.connection import connect, endpoint
from loader.warehouse.postgres.embedded import Embedded
from loader.warehouse.postgres.migrate import migrate
from loader.warehouse.postgres.profiles import write_profile
from loader.warehouse.settings import get_settings
from loader.warehouse.signals import Terminated


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
    for told in logins.apply():
        click.echo(told)
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
    metavar="[DIR|FILE...]",
    # A file that cannot be read is refused in its turn, with its row in the ledger.
    type=click.Path(readable=False, path_type=Path),
)
@click.option(
    "--allow-shrink", is_flag=True, help="Take a snapshot with less than half of the current rows."
)
def snapshots(paths: tuple[Path, ...], *, allow_shrink: bool) -> None:
    """Load snapshot files: deposits, withdrawals, events, users, user levels.

    A file is recognised by its header, whatever its name, plain or gzipped, and becomes the
    current snapshot of its kind, whole or not at all. A directory holds one file of each kind;
    without a name it is WAREHOUSE_INBOX, which may be empty.
    """
    if not paths and allow_shrink:
        raise UsageError("snapshots: --allow-shrink needs the name of a file")
    runs = load_snapshots(paths, allow_shrink=allow_shrink) if paths else load_inbox()
    for run in runs:
        click.echo(_summary(run))


def _books_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--books",
        callback=lambda _context, _option, text: _book_names(text),
        metavar="BOOK,...",
        help="The books, separated by commas; by default those of WAREHOUSE_BOOKS.",
    )(command)


def _book_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return get_settings().books
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one book, such as btc_mxn")
    return names


@main.command()
@_books_option
def tickers(*, books: tuple[str, ...]) -> None:
    """Load a ticker of each book from Bitso."""
    _print_runs(load_tickers(books))


@main.command()
@_books_option
def order_books(*, books: tuple[str, ...]) -> None:
    """Load the order book (50 levels a side) of each book from Bitso."""
    _print_runs(load_order_books(books))


@main.command()
def books() -> None:
    """Load the listing of the books that Bitso trades."""
    _print_runs(load_books())


@main.command()
@click.option("--again", is_flag=True, help="Also what was loaded in the last 20 hours.")
def exchanges(*, again: bool) -> None:
    """Load exchanges and who trades Bitso's markets from CoinGecko; goes on where it stopped."""
    _print_runs(load_exchanges(again=again))


@main.command()
@_books_option
def stream(*, books: tuple[str, ...]) -> None:
    """Record each book every second from Bitso's WebSocket, until terminated."""
    asyncio.run(_stream(books))
    # It has ended well, and nothing else ends it.
    raise Terminated


async def _stream(books: tuple[str, ...]) -> None:
    settings = get_settings()
    daemon = Stream(
        books,
        url=settings.bitso_stream_url,
        rest=lambda: open_bitso(lambda: connect("loader")),
        spool=Spool(
            settings.stream_spool_dir / f"{settings.db}.jsonl", settings.stream_spool_mib << 20
        ),
        connect=lambda: connect("loader"),
        options=Options(settings.stream_depth, settings.stream_check_seconds),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.stop)
    await daemon.run()


@main.command()
def exchange_volumes() -> None:
    """Load exchanges and their volumes from CoinCap (needs a key)."""
    _print_runs(load_exchange_volumes())


@main.command("replay")
@click.argument("path", metavar="DIR|FILE", type=click.Path(path_type=Path, exists=True))
def replay_command(path: Path) -> None:
    """Load recorded market replies, as if they came now; what is loaded already stays."""
    _print_runs(replay(path))


def _instant(text: str | None) -> datetime | None:
    """A time as it was typed; what has no zone is UTC, as in the files."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a time such as 2026-11-01 or 2026-11-01T09:30Z"
        ) from None


def _time_option(name: str, help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        name,
        callback=lambda _context, _option, text: _instant(text),
        metavar="TIME",
        help=help_text,
    )


@main.command("transform")
@_time_option("--since", "Rebuild the hours from this instant on from raw.")
@_time_option("--until", "Up to this instant; by default now.")
@click.option("--tests", is_flag=True, help="Also test the data and the models, as dbt build does.")
def transform_command(since: datetime | None, until: datetime | None, *, tests: bool) -> None:
    """Run the models over what is new, or again over a stretch of time, from raw."""
    run = transform(since, until, tests=tests)
    what = " until ".join([run.detail["since"], run.detail["until"]]) if since else "what is new"
    click.echo(f"{run.job}: {what} (run {run.run_id})")


@main.group()
def lake() -> None:
    """Observations as files, one for each book and ten minutes: out, and in from old lakes."""


@lake.command("export")
@_time_option("--since", "From this instant; by default from where the last export ended.")
@_time_option(
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
    to = to or get_settings().lake
    if not to:
        raise UsageError("lake export: say where, with --to or WAREHOUSE_LAKE")
    run = export_lake(to, layout_of(by), file_format, since, until)
    if run.detail["why"]:
        click.echo(f"stopped at {run.detail['until']}: {run.detail['why']}", err=True)
    click.echo(
        f"lake export: {run.detail['observations']} observations in {run.detail['files']} files "
        f"(run {run.run_id})"
    )


@lake.command("import")
@click.argument("path", metavar="DIR|FILE", type=click.Path(path_type=Path))
def lake_import(path: Path) -> None:
    """Load recorded observations, CSV or Parquet in any layout; each once, bad rows set aside."""
    _print_runs(import_lake(path))


@main.command()
@click.option("--follow", "is_following", is_flag=True, help="Go on, as quotes come in.")
def alerts(*, is_following: bool) -> None:
    """Deliver alerts that opened or closed to their channels (WAREHOUSE_ALERT_CHANNELS)."""
    if is_following:
        follow()
    run, tally = deliver()
    counts = f"{tally.sent} sent, {tally.failed} failed, {tally.skipped} too old"
    click.echo(f"alerts: {counts} (run {run.run_id})")
    if tally.failed:
        raise TransientError(
            f"{tally.failed} messages did not go through: see ops.alert_deliveries"
        )


@main.command("report")
def report_command() -> None:
    """Tell how often each spread was above its thresholds in the last whole hour.

    Goes to the channel `report` of WAREHOUSE_ALERT_CHANNELS as well, if there is one.
    """
    run, text = report()
    click.echo(text)
    if failed := run.detail["failed"]:
        raise TransientError(f"the report did not reach {failed} of its addresses")


@main.command("prune")
def prune_command() -> None:
    """Drop days of raw market data past their retention (WAREHOUSE_KEEP_DAYS_...) and modelled."""
    run = prune()
    for partition, why in run.detail["kept"].items():
        click.echo(f"kept raw.{partition}: {why}", err=True)
    for partition in run.detail["dropped"]:
        click.echo(f"dropped raw.{partition}")
    click.echo(f"{len(run.detail['dropped'])} days dropped, {len(run.detail['kept'])} kept")


@main.command()
@click.argument("names", nargs=-1, metavar="[JOB...]")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(names: tuple[str, ...], *, as_json: bool) -> None:
    """Show whether each scheduled job, or each of some, is on time; exit code 1 when one is not."""
    known = {job.name: job for job in SCHEDULE}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no such job: {unknown[0]}: they are {', '.join(known)}")
    jobs = statuses([known[name] for name in names or known])
    if as_json:
        click.echo(json.dumps({"jobs": [job.as_json() for job in jobs]}, indent=2))
    else:
        click.echo(status_table(jobs))
    late = [job.job for job in jobs if job.is_late]
    if late:
        raise TerminalError(f"late: {', '.join(late)}")


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


def _print_runs(runs: Iterable[LedgerRun]) -> None:
    for run in runs:
        if run.status == "unchanged":
            click.echo(f"{run.job}: {run.detail['reason']}, nothing to do")
        else:
            what = run.detail.get("file") or ", ".join(run.detail["items"])
            click.echo(f"{run.job}: {what}: {_counts(run)}")


def _counts(run: LedgerRun) -> str:
    return (
        f"{run.rows_inserted} rows loaded, {run.rows_duplicate} duplicate, "
        f"{run.rows_quarantined} quarantined (run {run.run_id})"
    )


def _summary(run: LedgerRun) -> str:
    if "file" not in run.detail:
        return f"{run.job}: {run.detail['reason']}, nothing to do"
    what = f"{run.detail['file']}: {run.detail['kind']}"
    if run.status == "unchanged":
        return f"{what}: the same bytes as the current snapshot, nothing to do"
    return f"{what}: {_counts(run)}"
