r"""`loader replay`: recorded replies through the same parser and the same load as live ones.

A recording is a file of JSON objects, one a line, plain or gzipped:

    {"source": "bitso_tickers", "key": "", "received_at": "2026-01-05T12:00:00.25+00:00",
     "body": "{\"success\":true,\"payload\":[...]}"}

`source` is the raw table that the reply is for, `key` what was asked for (a book, an exchange, a
coin, or "" for all there are), `body` its text as received.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from psycopg2.extensions import connection as Connection

from loader.market.rows import FEEDS, MarketRows
from loader.warehouse.errors import RefusedError, UsageError
from loader.warehouse.ledger.partitions import TimePartitions
from loader.warehouse.ledger.runs import LedgerRun, exclusive, ledger_run
from loader.warehouse.values import is_of_a_market
from loader.wire.records import Body
from loader.wire.session import MAX_BODY_BYTES

JOB = "replay"
FIELDS = ("source", "key", "received_at", "body")
# A reply is at most half as long: escaping it as a JSON text may double it.
LONGEST_LINE = 2 * MAX_BODY_BYTES


def find_recordings(path: Path) -> list[Path]:
    """The recordings of a directory, in the order of their names, or the one that is named.

    Raises UsageError when there is none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.iterdir()
        if re.fullmatch(r"[^.].*\.jsonl(\.gz)?", file.name, re.DOTALL)
    )
    if not files:
        raise UsageError(f"{path}: no .jsonl or .jsonl.gz file in it")
    return files


def replay(path: Path) -> Iterator[LedgerRun]:
    """Load each recording of a directory, or one file, a run each; yield its closed run.

    What is in raw already stays as it is: replaying twice changes nothing.
    """
    files = find_recordings(path)
    days = TimePartitions()
    with exclusive(JOB) as connection:
        for file in files:
            yield _replay_file(connection, file, days)


def _replay_file(connection: Connection, file: Path, days: TimePartitions) -> LedgerRun:
    with ledger_run(connection, JOB, {"file": file.name, "replies": 0}) as run:
        writers = {table: MarketRows(connection, run, feed, days) for table, feed in FEEDS.items()}
        for number, line in enumerate(_lines(file), start=1):
            try:
                body = read_body(line)
            except ValueError as error:
                raise RefusedError(f"{file.name}:{number}: {error}") from None
            run.detail["replies"] = number
            writers[body.source].add(body)
        for writer in writers.values():
            writer.flush()
    return run


def _lines(file: Path) -> Iterator[bytes]:
    open_file = gzip.open if file.suffix == ".gz" else open
    with open_file(file, "rb") as lines:
        try:
            while line := lines.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise RefusedError(f"{file.name}: a line of over {LONGEST_LINE >> 20} MiB")
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RefusedError(f"{file.name}: the archive is damaged: {error}") from None


def read_body(line: bytes) -> Body:
    """The reply that a line of a recording holds.

    A reply may be bad, but what a recorder wrote about it may not: raises ValueError, saying why.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON: is the recording whole?") from None
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in FIELDS):
        raise ValueError(f"it needs {', '.join(FIELDS)}, each a text")
    source, key, received_at, text = (entry[name] for name in FIELDS)
    if source not in FEEDS:
        raise ValueError(f"its source is none of {', '.join(FEEDS)}")
    return Body(source, key, _instant(received_at), text)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("its received_at is not an ISO 8601 time") from None
    if instant.tzinfo is None:
        raise ValueError("its received_at has no time zone")
    if not is_of_a_market(instant):
        raise ValueError("its received_at lies in the future, or before all markets")
    return instant.astimezone(UTC)
