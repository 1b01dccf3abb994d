"""The jobs that bring the market in: tickers, order books, books, exchanges, exchange volumes.

Each is a run of the ledger: its rows, its quarantine, its cursor and its closing are one
transaction. What could not be had goes into a second, failed run beside what could.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from psycopg2.extensions import connection as Connection

from loader.market import bitso, coincap
from loader.market.bitso import Bitso
from loader.market.coingecko import CoinGecko, Listing, coin_listings
from loader.market.fetched import FetchedReplies
from loader.market.live import open_bitso, open_coincap, open_coingecko
from loader.market.polls import POLLED, account_for
from loader.market.rows import FEEDS, MarketRows
from loader.warehouse.errors import NotFoundError, TerminalError, TransientError, WarehouseError
from loader.warehouse.ledger import cursors
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run, single_flight
from loader.wire.records import Body, Record

TICKERS = "tickers"
ORDER_BOOKS = "order-books"
BOOKS = "books"
EXCHANGES = "exchanges"
EXCHANGE_VOLUMES = "exchange-volumes"

# Books come and go: a listing older than this is asked for anew before a book is refused.
LISTING_IS_NEW = timedelta(hours=1)
# A listing that was loaded within this time is not read again. It is less than the day between two
# runs, and more than the time between an interrupted run and the next try.
DONE_IS_DONE = timedelta(hours=20)
# A source that fails so often in a row is down: asking for the rest would only take time.
FAILURES_IN_A_ROW = 3

THE_EXCHANGES = Listing("exchanges")
BITSO_TICKERS = Listing("exchange", "bitso")

Calls = dict[str, Callable[[], Iterable[Body]]]
Failures = dict[str, WarehouseError]
Source = TypeVar("Source")

log = logging.getLogger(__name__)


class BookListing(NamedTuple):
    """The books that Bitso traded when it was last asked, those in quarantine among them."""

    received_at: datetime
    books: frozenset[str]

    @property
    def is_new(self) -> bool:
        """Whether asking again would hardly tell more."""
        return datetime.now(UTC) - self.received_at < LISTING_IS_NEW

    def may_hold(self, book: str) -> bool:
        """Whether nothing speaks against a book: a record without a name may be any of them."""
        return not self.books or book in self.books or "" in self.books


NEVER_ASKED = BookListing(datetime.min.replace(tzinfo=UTC), frozenset())


def load_tickers(books: Sequence[str]) -> Iterator[LedgerRun]:
    """Load a ticker of each book."""
    with exclusive(TICKERS) as connection:
        client = _opened(connection, TICKERS, open_bitso)
        listed, failures = yield from _listed(connection, client, books)
        asked = bitso.ticker_calls(listed) if listed else []
        calls: Calls = {book or "all books": partial(_one, client.ticker, book) for book in asked}
        yield from _load(connection, TICKERS, bitso.TICKERS, calls, failures, listed)


def load_order_books(books: Sequence[str]) -> Iterator[LedgerRun]:
    """Load the order book of each book."""
    with exclusive(ORDER_BOOKS) as connection:
        client = _opened(connection, ORDER_BOOKS, open_bitso)
        listed, failures = yield from _listed(connection, client, books)
        calls: Calls = {book: partial(_one, client.order_book, book) for book in listed}
        yield from _load(connection, ORDER_BOOKS, bitso.ORDER_BOOKS, calls, failures)


def load_books() -> Iterator[LedgerRun]:
    """Load the listing of the books that Bitso trades now."""
    with exclusive(BOOKS) as connection:
        client = _opened(connection, BOOKS, open_bitso)
        yield from _load_books(connection, client)


def load_exchange_volumes() -> Iterator[LedgerRun]:
    """Load the exchanges of CoinCap, with their volumes."""
    with exclusive(EXCHANGE_VOLUMES) as connection:
        client = _opened(connection, EXCHANGE_VOLUMES, open_coincap)
        calls: Calls = {"exchanges": client.exchanges}
        yield from _load(connection, EXCHANGE_VOLUMES, coincap.EXCHANGES, calls, {})


def load_exchanges(*, again: bool = False) -> Iterator[LedgerRun]:
    """Load the exchanges, Bitso's tickers, and those of each of its coins; a run each.

    What was loaded within 20 hours is not read again (unless `again`): so an interrupted load
    goes on where it stopped. One listing that fails does not keep the others from being loaded.
    """
    failures: Failures = {}
    with exclusive(EXCHANGES) as connection:
        client = _opened(connection, EXCHANGES, open_coingecko)
        done = set() if again else _done(connection)
        load = partial(_load_listings, connection, client, done, failures)
        loaded = yield from load([THE_EXCHANGES, BITSO_TICKERS])
        # If Bitso's tickers could not be loaded now, its coins are taken from the last load.
        loaded += yield from load(coin_listings(_bitso_tickers(connection)))
        if failures:
            raise _together(failures)
        _mark_whole_list(connection)
        if not loaded:
            reason = "all was loaded within 20 hours"
            with ledger_run(connection, EXCHANGES, {"reason": reason}) as run:
                run.status = "unchanged"
            yield run


def _opened(connection: Connection, job: str, open_source: Callable[[], Source]) -> Source:
    """A source of the settings; one that lacks its key is a failed run too."""
    try:
        return open_source()
    except WarehouseError:
        with ledger_run(connection, job, {}):
            raise


def _one(fetch: Callable[[str], Body], book: str) -> list[Body]:
    return [fetch(book)]


def _load_books(connection: Connection, client: Bitso) -> Iterator[LedgerRun]:
    calls: Calls = {"listing": lambda: [client.available_books()]}
    yield from _load(connection, BOOKS, bitso.BOOKS, calls, {})


def _listed(
    connection: Connection, client: Bitso, books: Sequence[str]
) -> Generator[LedgerRun, None, tuple[list[str], Failures]]:
    """Sort the wanted books into those that Bitso trades and failures.

    By the latest listing; where that does not know a book and is not new, a newer one is loaded.
    While there is none at all nothing is refused: Bitso itself will.
    """
    wanted = list(dict.fromkeys(books))
    listing = _latest_listing(connection)
    if not (listing.books.issuperset(wanted) or listing.is_new):
        try:
            with single_flight(connection, BOOKS):
                yield from _load_books(connection, client)
        except WarehouseError as error:
            log.warning("the listing of books could not be had: %s", error)
        listing = _latest_listing(connection)
    failures: Failures = {
        book: NotFoundError(_not_listed(book, listing.books))
        for book in wanted
        if not listing.may_hold(book)
    }
    return [book for book in wanted if book not in failures], failures


def _not_listed(book: str, listed: frozenset[str]) -> str:
    turned = "_".join(reversed(book.split("_")))
    hint = f": it is called {turned}" if turned in listed else ""
    return f"Bitso does not list it{hint}"


def _latest_listing(connection: Connection) -> BookListing:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "with latest as (select max(received_at) as received_at from raw.bitso_books) "
            "select received_at, book from raw.bitso_books inner join latest using (received_at) "
            "union select received_at, location from ops.quarantine "
            "inner join latest using (received_at) where source = %s",
            (bitso.BOOKS,),
        )
        rows = cursor.fetchall()
    return BookListing(rows[0][0], frozenset(book for _, book in rows)) if rows else NEVER_ASKED


def _load(
    connection: Connection,
    job: str,
    table: str,
    calls: Calls,
    failures: Failures,
    wanted: Sequence[str] = (),
) -> Iterator[LedgerRun]:
    """Make the calls and load what came, in one run; what failed closes a second one.

    With `wanted`, only those keys are loaded, and one that did not come is a failure; so is a
    reply in which nothing can be read. Where nothing at all could be, the one run is the failed
    one, and keeps what it has set aside.
    """
    if calls:
        with (
            ledger_run(connection, job, {"items": list(calls)}) as run,
            FetchedReplies() as replies,
        ):
            _fetch(calls, replies, failures)
            if not replies:
                raise _together(failures, run)
            writer = MarketRows(connection, run, FEEDS[table], TimePartitions(), wanted)
            for key, reason in writer.add_all(replies).items():
                # What was asked for without a name is all there is.
                failures[key or next(iter(calls))] = _unreadable(reason)
            for key in writer.missing:
                failures[key] = NotFoundError("it is not in the reply")
            if table in POLLED:
                with connection.cursor() as cursor:
                    account_for(cursor, run, table, wanted or list(calls), replies.instants)
            error = None if writer.readable else _together(failures, run)
            if error:
                run.fail(str(error))
        yield run
        if error:
            raise error
    if failures:
        with ledger_run(connection, job, {}) as run:
            raise _together(failures, run)


def _unreadable(reason: str) -> WarehouseError:
    return TerminalError(f"nothing in the reply can be read: {reason}")


def _fetch(calls: Calls, replies: FetchedReplies, failures: Failures) -> None:
    """Make the calls; one that fails, at whichever of its pages, goes to `failures` alone."""
    in_a_row = 0
    for item, call in calls.items():
        if in_a_row >= FAILURES_IN_A_ROW:
            failures[item] = TransientError("not asked for, after so many failures")
            continue
        try:
            replies.add(call())
            in_a_row = 0
        except WarehouseError as error:
            failures[item] = error
            in_a_row += not isinstance(error, NotFoundError)


def _together(failures: Failures, run: LedgerRun | None = None) -> WarehouseError:
    """One error for all; temporary if any is, because then trying again may help."""
    if len(failures) > 1:
        for item, error in failures.items():
            log.error("%s: %s", item, error)
    if run is not None:
        run.detail["failed"] = {item: str(error) for item, error in failures.items()}
    first = next(
        (error for error in failures.values() if isinstance(error, TransientError)),
        next(iter(failures.values())),
    )
    kind = TransientError if isinstance(first, TransientError) else TerminalError
    if len(failures) == 1:
        return kind(f"{next(iter(failures))}: {first}")
    return kind(f"{len(failures)} of them failed ({', '.join(failures)}): {first}")


def _load_listings(
    connection: Connection,
    client: CoinGecko,
    done: set[str],
    failures: Failures,
    listings: Iterable[Listing],
) -> Generator[LedgerRun, None, int]:
    """Load those that are not done; returns how many were loaded."""
    loaded = in_a_row = 0
    for listing in listings:
        if listing.name in done:
            continue
        if in_a_row >= FAILURES_IN_A_ROW:
            log.error("CoinGecko: so many failures in a row: the rest is left for the next run")
            break
        try:
            run, error = _load_listing(connection, client, listing)
            yield run
            if error:
                raise error
            loaded += 1
            in_a_row = 0
        except WarehouseError as error:
            failures[listing.name] = error
            in_a_row += not isinstance(error, NotFoundError)
    return loaded


def _load_listing(
    connection: Connection, client: CoinGecko, listing: Listing
) -> tuple[LedgerRun, WarehouseError | None]:
    """Load one, and mark it as done; or return why nothing of it could be read.

    A coin that nobody trades has no tickers, and that is known by then.
    """
    with (
        ledger_run(connection, EXCHANGES, {"items": [listing.name]}) as run,
        FetchedReplies() as replies,
    ):
        replies.add(page.body for page in client.pages(listing))
        writer = MarketRows(connection, run, FEEDS[listing.table], TimePartitions())
        unread = writer.add_all(replies)
        if unread and (run.rows_read or listing.kind != "coin"):
            [reason] = unread.values()
            error = _unreadable(reason)
            run.fail(f"{listing.name}: {error}")
            return run, error
        with connection.cursor() as cursor:
            cursors.mark(cursor, EXCHANGES, listing.name, replies.instants[-1], run.run_id)
    return run, None


def _done(connection: Connection) -> set[str]:
    with connection, connection.cursor() as cursor:
        return cursors.done_after(cursor, EXCHANGES, datetime.now(UTC) - DONE_IS_DONE)


def _bitso_tickers(connection: Connection) -> list[Record]:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select received_at, exchange_id, payload::text "
            "from ops.cursors inner join raw.coingecko_tickers using (run_id) "
            "where job = %s and item = %s "
            "and received_at between done_at - interval '1 day' and done_at "
            "order by payload ->> 'coin_id'",
            (EXCHANGES, BITSO_TICKERS.name),
        )
        return [Record(*row) for row in cursor]


def _mark_whole_list(connection: Connection) -> None:
    """Take note that no listing is left; as of the latest one, however often it is said."""
    with connection, connection.cursor() as cursor:
        cursors.mark_whole_list(cursor, EXCHANGES)
