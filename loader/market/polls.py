"""What polls were to see, and did not: the account of tickers and order books.

Time is counted in slots, as long as the time from one poll to the next: seen in a slot is seen for
all of it. A poll answers for its own slot, and for those that were missed before it.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import sql

from loader.market import bitso
from loader.warehouse.clock import MINUTE
from loader.warehouse.ledger import monitored
from loader.warehouse.ledger.monitored import Gap, Watch
from loader.warehouse.ledger.runs import LedgerRun

# By the raw table. How often they come the schedule says, and seeds/reference/feeds.csv.
POLLED = {bitso.TICKERS: "ticker", bitso.ORDER_BOOKS: "order_book"}
INTERVAL = 10 * MINUTE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def slot_start(instant: datetime, interval: timedelta = INTERVAL) -> datetime:
    """The start of the slot that an instant is in: they are cut at whole multiples since 1970."""
    return instant - (instant - _EPOCH) % interval


def account_for(
    cursor: Any, run: LedgerRun, table: str, books: Sequence[str], instants: Collection[datetime]
) -> None:
    """Write down what a poll of some books answers for, in the transaction of its rows.

    `instants` are those at which its replies were here.
    """
    feed = POLLED[table]
    first, until = slot_start(min(instants)), slot_start(max(instants)) + INTERVAL
    last = monitored.last_watched(cursor, feed)
    if last and last.until < first:
        _account_for_absence(cursor, run, feed, books, last, first)
    watch = Watch(feed, INTERVAL, tuple(sorted(books)), first, until)
    monitored.note_watch(cursor, run.run_id, watch)
    cursor.execute(
        sql.SQL("select book, received_at from {} where run_id = %s").format(
            sql.Identifier("raw", table)
        ),
        (run.run_id,),
    )
    seen = {(book, slot_start(received_at)) for book, received_at in cursor}
    slots = [first + n * INTERVAL for n in range((until - first) // INTERVAL)]
    monitored.write_gaps(
        cursor,
        run.run_id,
        feed,
        [
            Gap(book, slot, slot + INTERVAL, "failed", None)
            for book in watch.books
            for slot in slots
            if (book, slot) not in seen
        ],
    )


def _account_for_absence(
    cursor: Any,
    run: LedgerRun,
    feed: str,
    books: Sequence[str],
    last: monitored.Watched,
    until: datetime,
) -> None:
    """The slots between the last poll that brought something and this one."""
    both = tuple(sorted(set(last.books).intersection(books)))
    if not both:
        return
    cause = "failed" if monitored.has_failed(cursor, run.job, last.until) else "not_running"
    monitored.note_watch(cursor, run.run_id, Watch(feed, INTERVAL, both, last.until, until))
    gaps = [Gap(book, last.until, until, cause, None) for book in both]
    monitored.write_gaps(cursor, run.run_id, feed, gaps)
