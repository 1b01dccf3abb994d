"""`loader report`: how often each spread was above its thresholds in the last whole hour."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from psycopg2.extensions import connection as Connection

from loader.alerts.channels import Channels, Message
from loader.alerts.message import percent
from loader.alerts.misnamed import REPORT, warn_of_misnamed
from loader.warehouse.clock import HOUR
from loader.warehouse.ledger import cursors
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.settings import get_settings
from loader.warehouse.text import counted, plain

JOB = "report"


class Count(NamedTuple):
    """What an hour has of a book and one of its thresholds; shares are 0 to 1."""

    book: str
    threshold_pct: Decimal
    observations: int
    breaches: int
    # None: nobody knows what was to be observed
    coverage: Decimal | None


def report(now: datetime | None = None) -> tuple[LedgerRun, str]:
    """Tell of the last whole hour, once to each address of the channel `report`.

    Returns the run, whose detail has how many messages were `sent` and `failed`, and the text.
    """
    now = now or datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0) - HOUR
    with (
        exclusive(JOB) as connection,
        ledger_run(connection, JOB, {"hour": hour.isoformat(), "sent": 0, "failed": 0}) as run,
    ):
        warn_of_misnamed(connection)
        counts = _counts(connection, hour)
        text = "\n".join([_title(hour), *_lines(counts, get_settings().books)])
        _send(connection, run, hour, _message(hour, counts, text))
    return run, text


def _counts(connection: Connection, hour: datetime) -> list[Count]:
    with connection.cursor() as cursor:
        cursor.execute(
            "select book, threshold_pct, observations, breaches, coverage "
            "from marts.spread_hourly inner join marts.book_thresholds "
            "using (book, threshold_pct) where hour = %s order by book, threshold_pct",
            (hour,),
        )
        return [Count(*row) for row in cursor]


def _title(hour: datetime) -> str:
    return f"Spreads from {hour:%Y-%m-%d %H:%M} to {hour + HOUR:%H:%M} UTC"


def _lines(counts: Iterable[Count], watched: Iterable[str]) -> list[str]:
    """One a book. A watched book without a row was seen by nobody, which is not calm."""
    by_book = {book: list(rows) for book, rows in groupby(counts, lambda count: count.book)}
    return [
        _line(book, by_book[book]) if book in by_book else f"{book}: not observed"
        for book in sorted({*by_book, *watched})
    ]


def _line(book: str, counts: list[Count]) -> str:
    above = ", ".join(f"{count.breaches} above {plain(count.threshold_pct)} %" for count in counts)
    coverage = counts[0].coverage
    share = "coverage not known" if coverage is None else f"{percent(coverage)} of those expected"
    return f"{book}: {above} ({counted(counts[0].observations, 'observation')}, {share})"


def _message(hour: datetime, counts: list[Count], text: str) -> Message:
    title, _, body = text.partition("\n")
    breaches = sum(count.breaches for count in counts)
    facts = {"event": "report", "hour": hour.isoformat(), "breaches": str(breaches)}
    return Message(title, body, breaches == 0, f"report-{hour:%Y%m%dT%H}", facts)


def _send(connection: Connection, run: LedgerRun, hour: datetime, message: Message) -> None:
    """To each address that has not got it yet: who tries again reaches the others only."""
    with contextlib.closing(Channels()) as channels, connection.cursor() as cursor:
        for address in range(1, channels.count(REPORT) + 1):
            item = f"{REPORT}/{address}"
            told_until = cursors.done_at(cursor, JOB, item)
            if told_until is not None and told_until >= hour:
                continue
            if channels.send(REPORT, address, message).error:
                run.detail["failed"] += 1
                continue
            run.detail["sent"] += 1
            cursors.mark(cursor, JOB, item, hour, run.run_id)
