"""Faults of a warehouse that is well, each with what `loader status` is to say, and its mending."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from loader.operations.checks.here import FAIL_PERCENT, STANDS_STILL, WARN_PERCENT
from loader.operations.schedule import SCHEDULE
from loader.snapshots.grammar import KINDS
from loader.stream.word import leave_word
from loader.warehouse.clock import HOUR, MINUTE, SECOND
from loader.warehouse.postgres.migrate import migrations
from tests.conftest import Server, Warehouse
from tests.snapshot_files import HEADERS, content, good_rows, write

MIB = 1 << 20
# More than half of what the sample has of either kind.
NEIGHBOURS = 2_000
NEWEST = migrations()[-1].name


class Usage(NamedTuple):
    """What the system says of a disk."""

    total: int
    used: int
    free: int


@dataclass
class World:
    """A warehouse, the host around it, and what a test changes of either."""

    server: Server
    warehouse: Warehouse
    directory: Path
    percent: int = 10
    ahead: timedelta = field(default_factory=timedelta)

    @property
    def spool(self) -> Path:
        """The file of the stream."""
        return self.directory / f"{self.warehouse.where.db}.jsonl"

    def now(self) -> datetime:
        """What time it is on this host."""
        return datetime.now(UTC) + self.ahead

    def disk_usage(self, _: Path) -> Usage:
        """How full its disk is."""
        return Usage(100 * MIB, self.percent * MIB, (100 - self.percent) * MIB)

    def sql(self, statement: str) -> None:
        """As the superuser, also where nothing may be written by default."""
        db = self.warehouse.where.db
        with closing(self.server.admin(db)) as connection, connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = off")
            cursor.execute(statement.replace("{db}", db))

    def load(self, name: str, data: bytes, *options: str) -> None:
        """A file comes, together with a good one of another kind."""
        kind = "events" if "users" in name else "users"
        directory = self.directory / name.replace(".", "_")
        directory.mkdir(exist_ok=True)
        write(directory, f"{kind}.csv", kind, good_rows(kind, NEIGHBOURS))
        (directory / name).write_bytes(data)
        self.warehouse.call("loader", "snapshots", *options, directory)


Change = str | Callable[[World], object]


class Fault(NamedTuple):
    """What is done to a world and taken back, what is said of it by which check, and the advice."""

    check: str
    put: Change
    mend: Change
    says: str
    to_do: str
    # Other checks that it shows in as well.
    also: frozenset[str] = frozenset()


def clock(check: str, ahead: timedelta, says: str, to_do: str, *also: str) -> Fault:
    """The clock of this host is moved on, and back."""

    def move(by: timedelta) -> Callable[[World], None]:
        return lambda world: setattr(world, "ahead", by)

    return Fault(check, move(ahead), move(timedelta()), says, to_do, frozenset(also))


def disk(percent: int) -> Fault:
    """So much of the disk is taken."""

    def fill(to: int) -> Callable[[World], None]:
        return lambda world: setattr(world, "percent", to)

    return Fault("disk", fill(percent), fill(WARN_PERCENT - 1), f"is {percent} % full", "make room")


def spooled(size: int, age: timedelta, says: str, to_do: str) -> Fault:
    """So much waits in the spool, and came so long ago."""

    def leave(world: World) -> None:
        world.spool.write_bytes(b"x" * size)
        changed = (world.now() - age).timestamp()
        os.utime(world.spool, (changed, changed))

    return Fault("spool", leave, lambda world: world.spool.unlink(), says, to_do)


def refused(name: str, data: bytes, kind: str, says: str) -> Fault:
    """A file is refused, while its neighbour is taken; then a good one of its kind comes."""
    return Fault(
        "snapshots",
        lambda world: world.load(name, data),
        lambda world: world.load(
            f"{kind}.csv", content(kind, good_rows(kind, 3)), "--allow-shrink"
        ),
        says,
        "mend the file",
    )


def forbidden(check: str, table: str, *also: str) -> Fault:
    """The loader may not read a table any more."""
    return Fault(
        check,
        f"revoke select on {table} from warehouse_loader",
        f"grant select on {table} to warehouse_loader",
        "cannot be looked at: permission denied for",
        "loader init",
        frozenset(also),
    )


def delivery(check: str, status: str, retry: str, says: str) -> Fault:
    """A message does not arrive."""
    return Fault(
        check,
        "insert into ops.alert_deliveries (book, threshold_pct, opened_at, seen_until, "
        "episode_event, channel, address, attempt, status, idempotency_key, error, finished_at, "
        "retry_at) values ('btc_mxn', 1, now(), now(), 'opened', 'default', 1, 1, "
        f"'{status}', gen_random_uuid(), 'HTTP 503', now(), {retry})",
        "delete from ops.alert_deliveries where error = 'HTTP 503'",
        says,
        "look into the receiver",
    )


def muted(book: str) -> Fault:
    """Nothing is told of a book."""

    def mute(length: str) -> Callable[[World], object]:
        return lambda world: world.warehouse.call("loader", "alerts", "mute", book, "--for", length)

    to_do = f"`loader alerts mute {book} --for 0` ends it"
    return Fault("muted", mute("1h"), mute("0"), f"{book}: muted until ", to_do)


def ran(job: str, status: str, error: str = "null") -> str:
    """A run that ended just now."""
    return (
        "insert into ops.runs (job, started_at, finished_at, status, error) values "
        f"('{job}', clock_timestamp(), clock_timestamp(), '{status}', {error})"
    )


def well(world: World) -> None:
    """Everything has just succeeded, all books are seen, nothing is set aside."""
    rows = world.warehouse.rows
    for job in (*SCHEDULE, None):
        world.sql(ran(job.name if job else "scheduler", "succeeded"))
        for table in job.tables if job else ():
            key, channel = "exchange_id", ""
            if table.startswith("bitso"):
                key, channel = "book", ", channel" * (table == "bitso_order_books")
            rows("select raw.ensure_day(%s, (now() at time zone 'UTC')::date)", table)
            rows(
                f"insert into raw.{table} (received_at, {key}, payload, run_id{channel}) values "
                f"(now(), 'btc_mxn', '{{}}', 0{channel and chr(44) + repr('order_book')})"
            )
    rows(
        "insert into ops.cursors select 'exchanges', '*', now(), max(run_id) from ops.runs "
        "on conflict (job, item) do update set done_at = excluded.done_at"
    )
    # What was recorded for the sample is nobody's watch.
    rows("delete from ops.monitored")
    rows(
        "insert into ops.monitored (run_id, feed, interval, books, monitored_from, monitored_until)"
        " select run_id, feed, interval '10 minutes', '{btc_mxn}', until - interval '1 hour', "
        "until"
        " from (select max(run_id) as run_id, date_trunc('second', now()) as until from ops.runs "
        "where job = 'stream') as run "
        "cross join (values ('ticker'), ('stream')) as feeds (feed)"
    )
    # Its samples are a minute of the stream, which has just ended. However slow the machine.
    rows("update ops.runs set rows_inserted = 1, rows_read = 1, finished_at = now() + '1 hour' "
         "where job = 'stream'")  # fmt: skip
    rows("update ops.monitored set monitored_until = monitored_until + interval '1 hour' "
         "where feed = 'stream'")  # fmt: skip
    rows("update ops.quarantine set redriven_by = run_id where redriven_by is null")


FAULTS = {
    # The disk and the spool, on this host.
    "a disk that fills": disk(WARN_PERCENT),
    "a full disk": disk(FAIL_PERCENT),
    "a spool that fills": spooled(
        850 << 10, timedelta(), "spool is 83 % full", "WAREHOUSE_STREAM_SPOOL_MIB"
    ),
    "a full spool": spooled(
        1 << 20, timedelta(), "spool is 100 % full", "WAREHOUSE_STREAM_SPOOL_MIB"
    ),
    "a spool that nobody empties": spooled(
        10, STANDS_STILL + MINUTE, "10 bytes of the stream", "start `loader stream`"
    ),
    "a stream that cannot write": Fault(
        "stream",
        lambda world: leave_word(world.spool, "permission denied for table gaps"),
        lambda world: leave_word(world.spool, None),
        "permission denied for table gaps",
        "the stream goes on by itself",
    ),
    # The database.
    "a server that is read only": Fault(
        "writable",
        "alter database {db} set default_transaction_read_only = on",
        "alter database {db} reset default_transaction_read_only",
        "takes no writes",
        "reset it",
    ),
    "an old schema": Fault(
        "schema",
        f"delete from ops.migrations where name = '{NEWEST}'",
        f"insert into ops.migrations values ('{NEWEST}')",
        f"older than the loader: {NEWEST} is not applied",
        "run `loader init`",
    ),
    "a newer schema": Fault(
        "schema",
        "insert into ops.migrations values ('9999_years_from_now.sql')",
        "delete from ops.migrations where name > '9'",
        "newer than the loader: it has 9999_years_from_now.sql",
        "update the loader",
    ),
    "a clock ahead": clock(
        "clocks", 10 * SECOND, "the clock of the database is 10.0 s behind", "NTP"
    ),
    "a clock behind": clock("clocks", -HOUR / 2, "1,800.0 s ahead of this host's", "NTP"),
    # The schedule, and its jobs.
    "a dead cron": clock(
        "schedule", 26 * MINUTE, "no job has been started", "`make up`", "late", "clocks"
    ),
    "late jobs": clock(
        "late", 26 * MINUTE, "tickers: has not brought anything in time", "run `loader tickers`",
        "schedule", "clocks",
    ),
    "a dead stream": Fault(
        "late",
        "update ops.runs set finished_at = now() - interval '4 min' where job = 'stream'",
        "update ops.runs set finished_at = now() + interval '1 hour' where job = 'stream'",
        "stream: has not brought anything in time",
        "run `loader stream`",
    ),
    "a table that stands still": Fault(
        "late",
        "delete from raw.bitso_books where received_at > now() - interval '1 hour'",
        well,
        "books: has not brought anything in time",
        "run `loader books`",
    ),
    "a job that never ran": Fault(
        "late",
        "delete from ops.runs where job = 'report'",
        ran("report", "succeeded"),
        "report: has never succeeded",
        "run `loader report`",
    ),
    "a run without end": Fault(
        "late",
        "insert into ops.runs (job, started_at) values ('prune', now() - interval '2 hours')",
        "delete from ops.runs where status = 'running'",
        "prune: runs for longer than it may",
        "see its log",
    ),
    "a failed job": Fault(
        "failed",
        ran("tickers", "failed", "'HTTP 503'"),
        ran("tickers", "unchanged"),
        "tickers: HTTP 503",
        "`loader tickers` tries again",
    ),
    "a refused job": Fault(
        "failed",
        ran("transform", "refused", "'seeds: no such book'"),
        ran("transform", "succeeded"),
        "transform: seeds: no such book",
        "`loader transform` tries again",
    ),
    # Files, each beside a good one of another kind.
    **{
        f"refused {kind}": refused(
            f"{kind}.csv", b"x" + content(kind, good_rows(kind, 3)), kind, f"snapshot of {kind}"
        )
        for kind in KINDS
        # One column without its name could be anything.
        if kind != "users"
    },
    **{
        f"another name for {kind}": refused(
            f"{kind}_2026.csv", b"nothing,known\n1,2\n", kind, f"{kind}_2026.csv: "
        )
        for kind in HEADERS
    },
    "an empty file": refused("deposits.csv", b"", "deposits", "deposits.csv: "),
    "a file of bad rows": refused(
        "events.csv", content("events", ["?,?,?,?"] * 30), "events", "none of its 30 rows"
    ),
    "a file that has shrunk": refused(
        "users.csv", content("users", good_rows("users", 2)), "users", "less than half of the"
    ),
    "a broken archive": refused("users.csv.gz", b"\x1f\x8b\x08", "users", "users.csv.gz"),
    # Rows and records.
    "rows set aside": Fault(
        "quarantine",
        "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw) "
        "select max(run_id), 'bitso_stream', 'x', 'x', 'x', 'x' from ops.runs",
        "update ops.quarantine set redriven_by = run_id where redriven_by is null",
        "1 row of bitso_stream set aside, 1 of them in the last 24 hours",
        "`loader quarantine list`",
    ),
    "records that cannot be read": Fault(
        "unreadable",
        "insert into staging.stg_pipeline__unreadable "
        "values (0, 'bitso_tickers', 'bid cannot be read', 3, now())",
        "delete from staging.stg_pipeline__unreadable where run_id = 0",
        "bitso_tickers: bid cannot be read: 3",
        "`dashboards ask unreadable-records`",
    ),
    # What people hear.
    "a blind book": Fault(
        "blind",
        "update ops.monitored set interval = '1 second', books = '{btc_mxn,eth_mxn}' "
        "where feed = 'stream'",
        well,
        "blind: eth_mxn: ",
        "run `loader tickers`",
    ),
    "a message that waits": delivery(
        "waiting", "failed", "now()", "1 message not delivered yet: HTTP 503"
    ),
    "a message given up": delivery(
        "given_up", "failed", "null", "1 message of the last 24 hours given up: HTTP 503"
    ),
    "a message that may have arrived": delivery(
        "given_up", "unknown", "null", "1 message of the last 24 hours given up: HTTP 503"
    ),
    **{
        f"{book} muted": muted(book)
        for book in ("all", "btc_mxn")
    },
    # Rights.
    **{
        f"no right to {table}": forbidden(check, table, *also)
        for check, table, *also in (
            ("schema", "ops.migrations"), ("snapshots", "raw.snapshots"),
            ("unreadable", "marts.unreadable_records"), ("blind", "marts.book_states"),
            ("waiting", "ops.alert_deliveries", "given_up"), ("muted", "ops.alert_mutes"),
        )
    },
}  # fmt: skip
