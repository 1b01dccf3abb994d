"""Market records into raw: one COPY a batch, nothing twice, bad ones to quarantine."""

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from loader.sources import bitso, coincap, coingecko
from loader.sources.records import BadRecord, Body, Parsed, Record
from loader.warehouse import Run, connect, copy_rows

# A batch ends at whichever comes first: it is what a COPY, and a retry of it, holds in memory.
BATCH_ROWS = 5_000
BATCH_CHARACTERS = 8_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feed:
    """A raw table: how the replies for it are read, and what its rows hold beside the rest."""

    table: str
    key: str
    parse: Callable[[Body], Parsed]
    # What the source puts around one record.
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
            _instant(record.received_at), _escaped(record.key), _escaped(record.payload), run_id,
        ]  # fmt: skip
        if self.quoted:
            values += [_or_null(record.bid), _or_null(record.ask)]
        if self.channel:
            values += [self.channel, _or_null(record.sequence)]
        return ",".join(map(str, values))


# What a recording, a quarantined row and the sources call `source` is one of these.
FEEDS = {
    feed.table: feed
    for feed in (
        Feed(bitso.TICKERS, "book", bitso.parse_tickers, ('{"payload":[', "]}"), quoted=True),
        Feed(
            bitso.ORDER_BOOKS, "book", bitso.parse_order_books, ('{"payload":', "}"),
            quoted=True, channel="order_book",
        ),
        Feed(bitso.BOOKS, "book", bitso.parse_books, ('{"payload":[', "]}")),
        Feed(coingecko.EXCHANGES, "exchange_id", coingecko.parse_exchanges, ("[", "]")),
        Feed(coingecko.TICKERS, "exchange_id", coingecko.parse_tickers, ('{"tickers":[', "]}")),
        Feed(coincap.EXCHANGES, "exchange_id", coincap.parse_exchanges, ('{"data":[', "]}")),
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


class Days:
    """Sees to it that a day has its partition before its first row comes.

    On a connection of its own, committed at once: a long load must not keep others from
    making theirs. One that stays empty because the load fails does no harm.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, date]] = set()

    def ensure(self, table: str, days: set[date]) -> None:
        """Make the partitions that are missing."""
        wanted = {(table, day) for day in days} - self._known
        if not wanted:
            return
        with closing(connect("loader")) as connection, connection, connection.cursor() as cursor:
            for name, day in sorted(wanted):
                cursor.execute("select raw.ensure_day(%s, %s)", (name, day))
        self._known |= wanted


class _Bad(NamedTuple):
    received_at: datetime
    location: str
    code: str
    reason: str
    raw: str


class Writer:
    """Takes the records of a run into raw, in its transaction; counts them in the run.

    A row that is there already (received at the same instant, with the same key and an equal
    payload) is a duplicate, in raw and in quarantine alike: so a load repeated adds nothing.
    With `wanted`, records of other keys are no part of the load.
    """

    def __init__(
        self,
        connection: Connection,
        run: Run,
        feed: Feed,
        days: Days,
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
        self._bad: dict[_Bad, None] = {}
        self._characters = 0

    def add(self, body: Body) -> None:
        """Take the records of one reply."""
        for item in self._feed.parse(body):
            if not self._wanted or not item.key or item.key in self._wanted:
                self.take(item, body.received_at)

    def take(self, item: Record | BadRecord, received_at: datetime) -> None:
        """Take one record, good or bad."""
        self._run.rows_read += 1
        if item.key:
            self.missing.discard(item.key)
        else:
            # Any of them may be this one, which is in quarantine.
            self.missing.clear()
        if isinstance(item, BadRecord):
            self._set_aside(received_at, item)
        elif not (_is_storable(item.key) and _is_storable(item.payload)):
            reason = "it holds a character that no text in Postgres can hold"
            self._set_aside(received_at, BadRecord(item.key, "not_storable", reason, item.payload))
        elif self._records.setdefault(item[:3], item) is not item:
            self._run.rows_duplicate += 1
        else:
            self._characters += len(item.payload)
            if len(self._records) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
                self.flush()

    def _set_aside(self, received_at: datetime, bad: BadRecord) -> None:
        row = _Bad(received_at, storable(bad.key), bad.code, bad.reason, storable(bad.raw))
        if row in self._bad:
            self._run.rows_duplicate += 1
        else:
            self._bad[row] = None

    def flush(self) -> None:
        """Write what was taken so far."""
        records = list(self._records.values())
        self._records.clear()
        self._characters = 0
        if records:
            instants = {record.received_at for record in records}
            days = {instant.astimezone(UTC).date() for instant in instants}
            self._days.ensure(self._feed.table, days)
            self._store(records)
        bad = list(self._bad)
        self._bad.clear()
        if bad:
            self._quarantine(bad)

    def _store(self, records: list[Record]) -> None:
        """COPY a batch; where Postgres refuses a value, halve it until the culprit is alone."""
        with self._connection.cursor() as cursor:
            cursor.execute("savepoint batch")
            try:
                fresh = self._not_stored(records)
                inserted = self._copy(fresh)
            except (psycopg2.DataError, psycopg2.errors.ProgramLimitExceeded,
                    psycopg2.errors.StatementTooComplex) as error:  # fmt: skip
                cursor.execute("rollback to savepoint batch")
                refused = error
            else:
                cursor.execute("release savepoint batch")
                self._run.rows_inserted += inserted
                self._run.rows_duplicate += len(records) - inserted
                return
        if len(records) == 1:
            [record] = records
            reason = "Postgres cannot hold it: " + str(refused).splitlines()[0]
            self._set_aside(
                record.received_at, BadRecord(record.key, "not_storable", reason, record.payload)
            )
            return
        middle = len(records) // 2
        self._store(records[:middle])
        self._store(records[middle:])

    def _not_stored(self, records: list[Record]) -> list[Record]:
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
                sql.SQL(
                    "select position from unnest(%s::timestamptz[], %s::text[], %s::text[]) "
                    "with ordinality as suspect (received_at, key, payload, position) "
                    "where exists (select from {table} as stored "
                    "where stored.received_at = suspect.received_at "
                    "and stored.{key} = suspect.key "
                    "and stored.payload = suspect.payload::jsonb{channel})"
                ).format(
                    table=table,
                    key=sql.Identifier(self._feed.key),
                    channel=sql.SQL(
                        " and stored.channel = {}" if self._feed.channel else ""
                    ).format(sql.Literal(self._feed.channel)),
                ),
                (
                    [record.received_at for record in suspects],
                    [record.key for record in suspects],
                    [record.payload for record in suspects],
                ),
            )
            stored = {suspects[position - 1] for (position,) in cursor}
        return [record for record in records if record not in stored]

    def _copy(self, records: list[Record]) -> int:
        if not records:
            return 0
        lines = [self._feed.copy_line(record, self._run.run_id) for record in records]
        return copy_rows(
            self._connection,
            sql.Identifier("raw", self._feed.table),
            self._feed.columns,
            io.BytesIO("\n".join([*lines, ""]).encode()),
        )

    def _quarantine(self, rows: list[_Bad]) -> None:
        """Write the bad records, each once however often its load is repeated."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "insert into ops.quarantine "
                "(run_id, source, received_at, location, reason_code, reason, raw) "
                "select %(run_id)s, %(source)s, bad.* "
                "from unnest(%(instants)s::timestamptz[], %(locations)s::text[], "
                "%(codes)s::text[], %(reasons)s::text[], %(raws)s::text[]) "
                "as bad (received_at, location, reason_code, reason, raw) "
                "where not exists (select from ops.quarantine as stored "
                "where stored.source = %(source)s and stored.received_at = bad.received_at "
                "and stored.location = bad.location and stored.raw = bad.raw) "
                "returning reason",
                {
                    "run_id": self._run.run_id,
                    "source": self._feed.table,
                    "instants": [row.received_at for row in rows],
                    "locations": [row.location for row in rows],
                    "codes": [row.code for row in rows],
                    "reasons": [row.reason for row in rows],
                    "raws": [row.raw for row in rows],
                },
            )
            written = len(cursor.fetchall())
        self._run.rows_quarantined += written
        self._run.rows_duplicate += len(rows) - written
        for row in rows[:3]:
            log.warning("%s: %s: %s", self._feed.table, row.location, row.reason)


def _escaped(text: str) -> str:
    """Text for COPY: of the characters that mean something to it, JSON mostly has commas."""
    text = text.replace("\\", "\\\\").replace(",", "\\,")
    return text.replace("\n", "\\n").replace("\r", "\\r")


@lru_cache(maxsize=16)
def _instant(instant: datetime) -> str:
    """A time for COPY; all records of a reply have the same."""
    return instant.isoformat()


def _or_null(value: object) -> str:
    return "" if value is None else str(value)


def _is_storable(text: str) -> bool:
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def storable(text: str) -> str:
    r"""Text that Postgres can hold: what it cannot is written as \xNN or \uNNNN."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
