"""What people type for books and times, and what they are told of a run."""

import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loader.warehouse.relative import EXPECTED, instant, is_relative

if TYPE_CHECKING:
    from loader.warehouse.ledger.runs import LedgerRun

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_DAYS = 365
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def books_option(command: Callable[..., None]) -> Callable[..., None]:
    """`--books BOOK,...`, by default those of the settings."""
    return click.option(
        "--books",
        callback=lambda _context, _option, text: _book_names(text),
        metavar="BOOK,...",
        shell_complete=lambda _context, _option, text: completed_books(text),
        help="The books, separated by commas; by default those of WAREHOUSE_BOOKS.",
    )(command)


def _book_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        from loader.warehouse.settings import get_settings

        return get_settings().books
    from loader.warehouse.setting_values import books_of

    try:
        return books_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def completed_books(typed: str) -> list[str]:
    """What the last of some books, separated by commas, may become."""
    from loader.warehouse.completing import names_in

    before, comma, begun = typed.rpartition(",")
    names = names_in("book_names", "book")
    return [before + comma + name for name in names if name.startswith(begun)]


class RegularFile(click.Path):
    """A file that is there or is to be made; nothing that only looks like one."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        # Opening a pipe waits for somebody at its other end.
        if path.exists() and not path.is_file():
            self.fail(f"{str(path)!r} is no regular file.", param, ctx)
        return path


def time_option(name: str, help_text: str) -> Decorator:
    """An option that takes a time; what has no zone is UTC, as in the files.

    Days told from now begin in the reporting time zone, as in the answers; hours are cut to ten
    minutes.
    """
    return click.option(
        name,
        # Completing a line asks nobody what time it is.
        callback=lambda context, _option, text: (
            None if context.resilient_parsing else _instant(text)
        ),
        metavar="TIME",
        help=f"{help_text} A time, a date, or {EXPECTED}.",
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    if is_relative(text):
        from loader.lake.layouts import window_start
        from loader.warehouse.postgres.reporting import reporting_now

        # To where windows of the lake begin: nobody who types `2h` means the second.
        return window_start(instant(text, reporting_now("loader")))
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a time such as 2026-11-01, 2026-11-01T09:30Z, {EXPECTED}"
        ) from None


def length_option(name: str, help_text: str) -> Decorator:
    """A required option `length` that takes a length of time, such as 90s, 30m, 2h or 7d."""
    return click.option(
        name,
        "length",
        required=True,
        callback=lambda _context, _option, text: _length(text),
        metavar="LENGTH",
        help=f"{help_text} A number with s, m, h or d.",
    )


def _length(text: str) -> timedelta:
    if text == "0":
        return timedelta(0)
    found = re.fullmatch(r"([0-9]{1,18})([smhd])", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a length of time such as 30m, 2h or 7d")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > _LONGEST_DAYS * _SECONDS["d"]:
        raise click.BadParameter(f"{text!r} is longer than {_LONGEST_DAYS} days")
    return timedelta(seconds=seconds)


def print_runs(runs: Iterable["LedgerRun"]) -> None:
    """A line for each run, as soon as it has ended."""
    for run in runs:
        if run.status == "unchanged":
            click.echo(f"{run.job}: {run.detail['reason']}, nothing to do")
        else:
            what = run.detail.get("file") or ", ".join(run.detail["items"])
            click.echo(f"{run.job}: {what}: {counts(run)}")


def counts(run: "LedgerRun") -> str:
    """How many rows a run has brought, and its number."""
    from loader.warehouse.text import counted

    return (
        f"{counted(run.rows_inserted, 'row')} loaded, {run.rows_duplicate} duplicate, "
        f"{run.rows_quarantined} quarantined (run {run.run_id})"
    )
