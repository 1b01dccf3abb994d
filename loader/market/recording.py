r"""`loader replay`: recorded replies through the same parser and the same load as live ones.

A recording is a file of JSON objects, one a line, plain or packed:

    {"source": "bitso_tickers", "key": "", "received_at": "2026-01-05T12:00:00.25+00:00",
     "body": "{\"success\":true,\"payload\":[...]}"}

`source` is the raw table that the reply is for, `key` what was asked for (a book, an exchange, a
coin, or "" for all there are), `body` its text as received. Lines of another kind, anywhere in it,
say what was to be recorded, so that it is known what is missing:

    {"watched": {"feed": "ticker", "interval_seconds": 10, "books": ["btc_mxn"],
     "from": "2026-01-05T12:00:00+00:00", "until": "2026-01-05T14:00:00+00:00"}}

`feed` is ticker or order_book; each book was to be seen once in each interval, cut at its whole
multiples since 1970, from the one that `from` is in to the last one before `until`.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from loader.market.polls import POLLED, slot_start
from loader.market.rows import FEEDS, MarketRows
from loader.warehouse.errors import RefusedError
from loader.warehouse.files import Unpacked
from loader.warehouse.folders import find_files
from loader.warehouse.ledger import monitored
from loader.warehouse.ledger.monitored import Watch
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.runs import LedgerRun, each_file, exclusive, ledger_run
from loader.warehouse.text import counted, shown
from loader.warehouse.values import is_book_name, is_of_a_market
from loader.wire.records import Body
from loader.wire.reply import MAX_BODY_BYTES

JOB = "replay"
FIELDS = ("source", "key", "received_at", "body")
WATCHED = "watched"
LONGEST_INTERVAL_SECONDS = 24 * 60 * 60
# A reply is at most half as long: escaping it as a JSON text may double it.
LONGEST_LINE = 2 * MAX_BODY_BYTES
# They wait in memory for the end of their file. A year of one a day, for each feed and more.
MOST_WATCHES = 10_000


def replay(path: Path) -> Iterator[LedgerRun]:
    """Load each recording of a directory, or one file, a run each; yield its closed run.

    What is in raw already stays as it is: replaying twice changes nothing. Raises as `find_files`
    and `each_file` do.
    """
    [files] = find_files([path], "jsonl")
    with exclusive(JOB) as connection:
        yield from each_file(files, lambda file: _replay_file(connection, file))


def _replay_file(connection: Connection, file: Path) -> LedgerRun:
    with ledger_run(connection, JOB, {"file": shown(file), "replies": 0}) as run:
        # Of this run alone: partitions that were made in it go with it, where it is refused.
        days = TimePartitions()
        writers = {table: MarketRows(connection, run, feed, days) for table, feed in FEEDS.items()}
        watches: dict[tuple[str, datetime], Watch] = {}
        for number, line in enumerate(_lines(file), start=1):
            try:
                item = read_line(line)
                if isinstance(item, Watch):
                    _keep(watches, item)
            except ValueError as error:
                raise RefusedError(f"{shown(file)}:{number}: {error}") from None
            if isinstance(item, Body):
                run.detail["replies"] += 1
                writers[item.source].add(item)
        for writer in writers.values():
            writer.flush()
        _check_readable(shown(file), run, writers.values(), has_watches=bool(watches))
        with connection.cursor() as cursor:
            for watch in watches.values():
                monitored.note_watch(cursor, run.run_id, watch)
    return run


def _check_readable(
    name: str, run: LedgerRun, writers: Iterable[MarketRows], *, has_watches: bool
) -> None:
    """Raise RefusedError for a recording without a line, or in which nothing can be read."""
    if not run.detail["replies"] and not has_watches:
        raise RefusedError(f"{name}: it is empty: there is no line in it")
    bad = [writer.first_bad.reason for writer in writers if writer.first_bad]
    if bad and not any(writer.readable for writer in writers):
        raise RefusedError(
            f"{name}: none of its {counted(run.rows_read, 'record')} can be read: {bad[0]}"
        )


def _keep(watches: dict[tuple[str, datetime], Watch], watch: Watch) -> None:
    if watches.setdefault((watch.feed, watch.since), watch) is not watch:
        raise ValueError(f"a line before says already what {watch.feed} watched from then on")
    if len(watches) > MOST_WATCHES:
        raise ValueError(f"over {MOST_WATCHES} lines say what was watched: split the recording")


def _lines(file: Path) -> Iterator[bytes]:
    with closing(Unpacked(file)) as lines:
        while line := lines.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise RefusedError(f"{lines.name}: a line of over {LONGEST_LINE >> 20} MiB")
            yield line
        lines.check_unchanged()


def read_line(line: bytes) -> Body | Watch:
    """The reply that a line of a recording holds, or what was to be recorded.

    A reply may be bad, but what a recorder wrote about it may not: raises ValueError, saying why.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON: is the recording whole?") from None
    if isinstance(entry, dict) and WATCHED in entry:
        return _watch(entry[WATCHED])
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in FIELDS):
        raise ValueError(f"it needs {', '.join(FIELDS)}, each a text")
    source, key, received_at, text = (entry[name] for name in FIELDS)
    if source not in FEEDS:
        raise ValueError(f"its source is none of {', '.join(FEEDS)}")
    return Body(source, key, _instant(received_at, "received_at"), text)


def _watch(entry: Any) -> Watch:
    """What a recording says of itself, with its ends on whole intervals."""
    values = entry if isinstance(entry, dict) else {}
    feed, seconds, books = (values.get(name) for name in ("feed", "interval_seconds", "books"))
    if not isinstance(feed, str) or feed not in POLLED.values():
        raise ValueError(f"its feed is none of {', '.join(POLLED.values())}")
    if type(seconds) is not int or not 1 <= seconds <= LONGEST_INTERVAL_SECONDS:
        raise ValueError("its interval_seconds is no whole number of seconds up to a day")
    if not isinstance(books, list) or not books or not all(map(_is_a_book, books)):
        raise ValueError("its books are no list of names such as btc_mxn")
    since, until = (_instant(values.get(name), name) for name in ("from", "until"))
    if since >= until:
        raise ValueError("its from is not before its until")
    interval = timedelta(seconds=seconds)
    last = slot_start(until - timedelta(microseconds=1), interval)
    return Watch(
        feed, interval, tuple(sorted({book.lower() for book in books})),
        slot_start(since, interval), last + interval, is_recorded=True,
    )  # fmt: skip


def _is_a_book(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and is_book_name(value.lower())


def _instant(value: object, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"its {name} is not an ISO 8601 time") from None
    if instant.tzinfo is None:
        raise ValueError(f"its {name} has no time zone")
    if not is_of_a_market(instant):
        raise ValueError(f"its {name} lies in the future, or before all markets")
    return instant.astimezone(UTC)
