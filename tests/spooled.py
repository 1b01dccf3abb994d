"""Seconds of the stream on their way through the spool into Postgres, for tests."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.stream.seconds import Sample, Second, Why
from loader.stream.spool import Spool
from loader.stream.writer import SpoolWriter
from loader.warehouse.clock import SECOND
from loader.warehouse.postgres.connection import connect
from tests.conftest import Server, Warehouse
from tests.waiting import LAST_RESORT_SECONDS

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOKS = ("btc_mxn", "usd_mxn")
PAYLOAD = '{"bids":[["1.5","2"]],"asks":[],"note":"a, \\"b\\" \\\\ c"}'

Interval = tuple[str, int, int, str]


def at(second: float) -> datetime:
    """So many seconds after noon."""
    return NOON + second * SECOND


def second(number: int, *missing: str, cause: Any = "resync", books: Any = BOOKS) -> Second:
    """One second of some books, each observed or missing."""
    samples = (
        Sample(book, 4_520_986_709 + number, "1.5", None, PAYLOAD)
        for book in books
        if book not in missing
    )
    gaps = {book: Why(cause) for book in missing}
    return Second(at(number), at(number + 1), books, gaps, tuple(samples))


def with_payload(one: Second, book: str, payload: str) -> Second:
    """A second in which the sample of a book holds something else."""
    samples = (
        sample._replace(payload=payload) if sample.book == book else sample
        for sample in one.samples
    )
    return Second(one.at, one.until, one.books, one.gaps, tuple(samples))


def id_of(warehouse: Warehouse) -> str:
    """What the lines of its spool name."""
    [(found,)] = warehouse.rows("select warehouse_id::text from ops.warehouse")
    return str(found)


def write_lines(spool: Path, lines: Iterable[bytes]) -> None:
    """What an earlier process has left."""
    spool.write_bytes(b"".join(line + b"\n" for line in lines))


def loader_connection() -> Connection:
    """As the stream connects."""
    return connect("loader")


@contextmanager
def writer(
    spool: Path, most_bytes: int = 1 << 20, connect: Callable[[], Connection] = loader_connection
) -> Iterator[SpoolWriter]:
    """A writer until it has written everything."""
    writer = SpoolWriter(Spool(spool, most_bytes), connect)
    writer.start()
    yield writer
    assert writer.stop(LAST_RESORT_SECONDS)


def is_in_the_spool(spool: Path, number: int) -> bool:
    """Whether the line of a second is."""
    return b'"at":%d' % at(number).timestamp() in spool.read_bytes()


@contextmanager
def away(server: Server, warehouse: Warehouse) -> Iterator[None]:
    """Postgres throws everybody out and lets nobody in."""
    name = warehouse.where.db
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(f'alter database "{name}" allow_connections false')
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        try:
            yield
        finally:
            cursor.execute(f'alter database "{name}" allow_connections true')


def gaps(warehouse: Warehouse) -> list[Interval]:
    """Book, from, until (in seconds after noon) and cause of each."""
    return [
        (book, round((start - NOON) / SECOND), round((until - NOON) / SECOND), cause)
        for book, start, until, cause in warehouse.rows(
            "select book, gap_from, gap_until, cause from ops.gaps order by book, gap_from"
        )
    ]
