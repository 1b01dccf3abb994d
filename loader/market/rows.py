"""Market records into raw: one COPY a batch, nothing twice, bad ones to quarantine."""

import io
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.market import bitso, coincap, coingecko
from loader.warehouse.halving import refused_rows
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.quarantine import SetAside, set_aside
from loader.warehouse.ledger.runs import LedgerRun
from loader.warehouse.postgres.copy import copy_rows
from loader.warehouse.postgres.failures import cannot_hold
from loader.warehouse.postgres.statements import statement
from loader.warehouse.redaction import KEYS
from loader.warehouse.text import copy_text, is_storable
from loader.wire.records import BadRecord, Body, Parsed, Record

# A batch, which is held in memory, ends at whichever of the two comes first.
BATCH_ROWS = 5_000
BATCH_BYTES = 4_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawFeed:
    """A raw table: how the replies for it are read, and what its rows hold beside the rest."""

    table: str
    key: str
    parse: Callable[[Body], Parsed]
    # What stands before and after a record in a reply: a record alone becomes a reply with it.
    around: tuple[str, str]
    quoted: bool = False
    channel: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `copy_line` fills, in its order."""
        return (
            "received_at", self.key, "payload", "run_id",
            *(("bid", "ask") if self.quoted else ()),
            *(("channel", "sequence") if self.channel else ()),
        )  # fmt: skip

    def copy_line(self, record: Record, run_id: int) -> str:
        """A record as a line of COPY's text format, without its line end."""
        values: list[object] = [
            _instant(record.received_at), copy_text(record.key), copy_text(record.payload), run_id,
        ]  # fmt: skip
        if self.quoted:
            values += [_or_null(record.bid), _or_null(record.ask)]
        if self.channel:
            values += [self.channel, _or_null(record.sequence)]
        return ",".join(map(str, values))

    def copy(self, connection: Connection, records: Iterable[Record], run_id: int) -> int:
        """COPY records into the table, as rows of a run; returns how many Postgres took."""
        # Written one by one: Python takes four bytes for each character beside a wide one.
        lines = io.BytesIO()
        for record in records:
            lines.write(self.copy_line(record, run_id).encode() + b"\n")
        lines.seek(0)
        return copy_rows(connection, sql.Identifier("raw", self.table), self.columns, lines)


# By the name of the table, which recordings and the quarantine call `source`.
FEEDS = {
    feed.table: feed
    for feed in (
        RawFeed(bitso.TICKERS, "book", bitso.parse_tickers, ('{"payload":[', "]}"), quoted=True),
        RawFeed(
            bitso.ORDER_BOOKS, "book", bitso.parse_order_books, ('{"payload":', "}"),
            quoted=True, channel="order_book",
        ),
        RawFeed(bitso.BOOKS, "book", bitso.parse_books, ('{"payload":[', "]}")),
        RawFeed(coingecko.EXCHANGES, "exchange_id", coingecko.parse_exchanges, ("[", "]")),
        RawFeed(coingecko.TICKERS, "exchange_id", coingecko.parse_tickers, ('{"tickers":[', "]}")),
        RawFeed(coincap.EXCHANGES, "exchange_id", coincap.parse_exchanges, ('{"data":[', "]}")),
    )
}  # fmt: skip


def reread(table: str, key: str, received_at: datetime, text: str) -> list[Record | BadRecord]:
    """The records in a text that was set aside: one record, or a whole reply."""
    feed = FEEDS[table]
    before, after = feed.around
    as_record, as_reply = (
        list(feed.parse(Body(table, key, received_at, reply)))
        for reply in (before + text + after, text)
    )
    is_reply = as_reply and not any(isinstance(item, BadRecord) for item in as_reply)
    return as_reply if is_reply else as_record


class MarketRows:
    """Takes the records of a run into raw, in its transaction; counts them in the run.

    A row that is there already (received at the same instant, with the same key and an equal
    payload) is a duplicate, in raw and in quarantine alike: so a load repeated adds nothing.
    With `wanted`, records of other keys are no part of the load.
    """

    def __init__(
        self,
        connection: Connection,
        run: LedgerRun,
        feed: RawFeed,
        days: TimePartitions,
        wanted: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._run = run
        self._feed = feed
        self._days = days
        self._wanted = frozenset(wanted)
        # The wanted keys that have not come.
        self.missing = set(wanted)
        # By what makes two of them the same row.
        self._records: dict[tuple[datetime, str, str], Record] = {}
        self._bad: dict[SetAside, None] = {}
        # How many could be read and stored, those that are there already among them.
        self.readable = 0
        # The first that was set aside, if any was.
        self.first_bad: BadRecord | None = None
        self._bytes = 0

    def add(self, body: Body) -> str | None:
        """Take the records of one reply; returns why none of it can be read, where none can.

        One that holds a key of ours is set aside: whoever repeats our key is not who we take it
        for, or in no state to be believed.
        """
        items: Iterable[Record | BadRecord] = self._feed.parse(body)
        if KEYS.are_in(body.text):
            reason = "the reply holds a key of ours, which is taken out here"
            items = [BadRecord(body.key, "holds_a_key", reason, body.text)]
        is_readable, problem = False, None
        for item in items:
            if isinstance(item, BadRecord):
                problem = problem or item.reason
            else:
                is_readable = True
            if not self._wanted or not item.key or item.key in self._wanted:
                self.take(item, body.received_at)
        return None if is_readable else problem or "there is no record in it"

    def add_all(self, bodies: Iterable[Body]) -> dict[str, str]:
        """Take and write replies; returns those that cannot be read at all, by key, and why.

        Of several pages one is enough: the last one may be empty.
        """
        unread: dict[str, str] = {}
        read = set()
        for body in bodies:
            reason = self.add(body)
            if reason is None:
                read.add(body.key)
            else:
                unread.setdefault(body.key, reason)
        self.flush()
        unread = {key: reason for key, reason in unread.items() if key not in read}
        if self.first_bad and not (unread or self.readable):
            # Postgres could not hold what could be read.
            unread[""] = self.first_bad.reason
        return unread

    def take(self, item: Record | BadRecord, received_at: datetime) -> None:
        """Take one record, good or bad."""
        self._run.rows_read += 1
        if item.key:
            self.missing.discard(item.key)
        else:
            # The record has no readable key: it may be any of the wanted ones.
            self.missing.clear()
        if isinstance(item, BadRecord):
            self._set_aside(received_at, item)
        elif not (is_storable(item.key) and is_storable(item.payload)):
            reason = "it holds a character that no text in Postgres can hold"
            self._set_aside(received_at, BadRecord(item.key, "not_storable", reason, item.payload))
        elif self._records.setdefault(item[:3], item) is not item:
            self._run.rows_duplicate += 1
            self.readable += 1
        else:
            self._bytes += sys.getsizeof(item.payload)
            self.readable += 1
        if len(self._records) + len(self._bad) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self.flush()

    def _set_aside(self, received_at: datetime, bad: BadRecord) -> None:
        self.first_bad = self.first_bad or bad
        row = SetAside(
            bad.key, bad.code, bad.reason, bad.raw, received_at=received_at
        ).as_storable()
        if row in self._bad:
            self._run.rows_duplicate += 1
        else:
            self._bad[row] = None
            self._bytes += sys.getsizeof(row.raw)

    def flush(self) -> None:
        """Write what was taken so far."""
        records = list(self._records.values())
        self._records.clear()
        self._bytes = 0
        if records:
            instants = {record.received_at for record in records}
            days = {instant.astimezone(UTC).date() for instant in instants}
            self._days.ensure(self._feed.table, days)
            for record, reason in refused_rows(records, self._store):
                self.readable -= 1
                self._set_aside(
                    record.received_at,
                    BadRecord(record.key, "not_storable", reason, record.payload),
                )
        bad = list(self._bad)
        self._bad.clear()
        if bad:
            self._quarantine(bad)

    def _store(self, records: Sequence[Record]) -> str | None:
        """COPY a batch; returns why Postgres refuses a value of it, if it does."""
        with self._connection.cursor() as cursor:
            cursor.execute("savepoint batch")
            try:
                fresh = self._not_stored(records)
                inserted = self._copy(fresh)
            except (psycopg2.DataError, psycopg2.errors.ProgramLimitExceeded,
                    psycopg2.errors.StatementTooComplex) as error:  # fmt: skip
                cursor.execute("rollback to savepoint batch")
                return cannot_hold(error)
            cursor.execute("release savepoint batch")
        self._run.rows_inserted += inserted
        self._run.rows_duplicate += len(records) - inserted
        self._tell_unreadable(fresh)
        return None

    def _tell_unreadable(self, records: Sequence[Record]) -> None:
        """Count what the models will not have of records: by source and member, in the run."""
        for name in (name for record in records for name in record.unreadable):
            by_source = self._run.detail.setdefault("unreadable", {})
            by_member = by_source.setdefault(self._feed.table, {})
            by_member[name] = by_member.get(name, 0) + 1

    def _not_stored(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those that raw does not hold yet.

        Payloads are compared only where something was received at the very same instant: on a
        load that is new, that is nowhere.
        """
        instants = sorted({record.received_at for record in records})
        table = sql.Identifier("raw", self._feed.table)
        with self._connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "select distinct received_at from {} "
                    "where received_at between %s and %s and received_at = any(%s)"
                ).format(table),
                (instants[0], instants[-1], instants),
            )
            seen = {received_at for (received_at,) in cursor}
            suspects = [record for record in records if record.received_at in seen]
            if not suspects:
                return records
            cursor.execute(
                sql.SQL(statement(__package__, "stored_records")).format(
                    raw_table=table,
                    raw_key=sql.Identifier(self._feed.key),
                    is_of_channel=sql.SQL(
                        "known.channel = {}" if self._feed.channel else "true"
                    ).format(sql.Literal(self._feed.channel)),
                ),
                {
                    "instants": [record.received_at for record in suspects],
                    "keys": [record.key for record in suspects],
                    "payloads": [record.payload for record in suspects],
                },
            )
            stored = {suspects[position - 1] for (position,) in cursor}
        return [record for record in records if record not in stored]

    def _copy(self, records: Sequence[Record]) -> int:
        if not records:
            return 0
        return self._feed.copy(self._connection, records, self._run.run_id)

    def _quarantine(self, rows: list[SetAside]) -> None:
        """Write the bad records, each once however often its load is repeated."""
        with self._connection.cursor() as cursor:
            written = set_aside(cursor, self._run.run_id, self._feed.table, rows)
        self._run.rows_quarantined += written
        self._run.rows_duplicate += len(rows) - written
        for row in rows[:3]:
            log.warning("%s: %s: %s", self._feed.table, row.location, row.reason)


@lru_cache(maxsize=16)
def _instant(instant: datetime) -> str:
    """A time for COPY; all records of a reply have the same."""
    return instant.isoformat()


def _or_null(value: object) -> str:
    return "" if value is None else str(value)
