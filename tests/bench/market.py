"""Market data: recordings into raw and marts, against others; a run after ever more history."""

import json
import os
import random
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from psycopg2.extras import execute_batch

from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import PROJECT_ROOT
from tests.bench.figures import Table, median
from tests.bench.load import url
from tests.bench.stage import SCRIPTS, Stage, Work, psql
from tests.conftest import Warehouse
from tests.market import open_run

START = datetime(2026, 1, 5, tzinfo=UTC)
BOOKS = [f"{coin}_{money}" for money in ("mxn", "brl", "usd") for coin in (
    "btc", "eth", "xrp", "ltc", "bch", "tusd", "mana", "gnt", "bat",
    "dai", "aave", "uni", "link", "sol", "ada", "dot", "avax", "shib",
)]  # fmt: skip
LEVELS = 20
NEW_ROWS = 600
BARE = "create table public.bare_market (received_at timestamptz, book text, payload jsonb)"
INSERT = "insert into public.bare_market values (%s, %s, %s)"
# The history of a poll a minute of each book: calm, with wide hours now and then.
HISTORY = """
insert into raw.bitso_tickers (received_at, book, bid, ask, payload, run_id)
select
    timestamptz '{start:%Y-%m-%d %H:%M}+00' + n / {books} * interval '1 minute',
    ('{{{names}}}'::text[])[n % {books} + 1],
    1000 - (case when mod(n / {books} / 60 * 7 + n % {books}, 29) = 0 then 12 else 0.8 end)
    + mod(n * 7919, 1000) * 0.0003,
    1000, '{{}}', {run_id}
from generate_series({first}::bigint, {first} + {rows} - 1) as n
"""


def market(stage: Stage, *, rows: int, least: int, most: int, runs: int) -> Iterator[Table]:
    """Recordings into raw and marts; then the models after ever more history."""
    tickers = _record(stage.directory / "tickers", _tickers(rows))
    yield _one_feed(stage, "tickers", tickers, rows, min(3, runs))
    rows //= 20
    books = _record(stage.directory / "order-books", _order_books(rows))
    yield _one_feed(stage, f"order books of {LEVELS} levels", books, rows, min(3, runs))
    yield _history(stage, [least, most], runs)


def write_recordings(directory: Path, rows: int, new: int) -> None:
    """history.jsonl with so many tickers, and new.jsonl with those of the minutes after them."""
    directory.mkdir(parents=True, exist_ok=True)
    replies = list(_tickers(rows + new))
    first = -(-rows // len(BOOKS))
    _record(directory / "history", replies[:first])
    _record(directory / "new", replies[first:])


def _history(stage: Stage, sizes: list[int], runs: int) -> Table:
    """What the models take for 600 new rows after a little and after a lot of history."""
    medians = []
    rows: list[tuple[str, ...]] = [("history", "first build", "run", "slowest", "ratio", "models")]
    for size in sizes:
        with stage.warehouse() as warehouse:
            whole, taken = _after(warehouse, size, runs)
        totals = [sum(run.values()) for run in taken]
        medians.append(median(totals))
        by_model = {name: median([run[name] for run in taken]) for name in taken[0]}
        slowest = sorted(by_model, key=lambda name: -by_model[name])[:3]
        rows.append(
            (
                f"{size:,}", f"{whole:.1f} s", f"{medians[-1]:.2f} s", f"{max(totals):.2f} s",
                f"{medians[-1] / medians[0]:.2f}",
                ", ".join(f"{name} {by_model[name]:.2f}" for name in slowest),
            )
        )  # fmt: skip
    return Table(
        f"Market models after {NEW_ROWS} new rows, execution in dbt, median of {runs}",
        rows,
        {"history": sizes, "seconds": medians},
    )


def _after(warehouse: Warehouse, size: int, runs: int) -> tuple[float, list[dict[str, float]]]:
    """Seconds of the first build over so much history, and by model those of the runs after it."""
    warehouse.dbt("seed")
    extend(warehouse, 0, size)
    psql(warehouse, "vacuum analyze raw.bitso_tickers")
    whole = sum(seconds_by_model(warehouse).values())
    psql(warehouse, "vacuum analyze")
    taken = []
    for number in range(runs + 1):
        extend(warehouse, size + number * NEW_ROWS, NEW_ROWS)
        taken.append(seconds_by_model(warehouse))
    # the first one finds nothing in memory
    return whole, taken[1:]


def _one_feed(stage: Stage, what: str, file: Path, rows: int, runs: int) -> Table:
    """`loader replay` and then the models, against one INSERT a row and dlt."""
    fewer = max(rows // 10, len(BOOKS))
    part = _part(file, rows, fewer)
    others = ("execute_batch, jsonb", "dlt, rows of dicts")
    contenders: dict[str, Work] = {
        "loader replay": partial(_replay, file=file),
        "and the market models": partial(_replay_and_build, file=file),
        others[0]: partial(_execute_batch, file=file),
        others[1]: partial(_dlt, file=part),
    }
    times = stage.race(contenders, runs, _make_ready)
    counts = {name: fewer if name == others[1] else rows for name in times}
    speeds = {name: counts[name] / median(taken) for name, taken in times.items()}
    best = max(speeds[name] for name in others if name in speeds)
    return Table(
        f"Recorded {what}, median of {runs} (ratio to the best of the others)",
        [
            ("", "rows", "rows/s", "ratio"),
            *(
                (name, f"{counts[name]:,}", f"{speed:,.0f}", f"{speed / best:.2f}")
                for name, speed in speeds.items()
            ),
        ],
        {"rows": counts, "seconds": times},
    )


def _make_ready(warehouse: Warehouse) -> None:
    """What ours needs, and what the others need."""
    warehouse.dbt("seed")
    psql(warehouse, BARE)


# --- recordings --------------------------------------------------------------------------------


def _record(name: Path, replies: Iterable[dict[str, str]]) -> Path:
    file = name.with_suffix(".jsonl")
    with file.open("w") as lines:
        lines.writelines(json.dumps(reply) + "\n" for reply in replies)
    return file


def _part(file: Path, rows: int, fewer: int) -> Path:
    part = file.with_stem(f"{file.stem}-part")
    lines = file.read_text().splitlines(keepends=True)
    part.write_text("".join(lines[: max(1, len(lines) * fewer // rows)]))
    return part


def _reply(source: str, key: str, at: datetime, payload: object) -> dict[str, str]:
    body = json.dumps({"success": True, "payload": payload}, separators=(",", ":"))
    return {"source": source, "key": key, "received_at": at.isoformat(), "body": body}


def _tickers(rows: int) -> Iterator[dict[str, str]]:
    """All books in one reply, one a minute."""
    chance = random.Random(1)
    price = dict.fromkeys(BOOKS, 1_000_000)
    for number in range(0, rows, len(BOOKS)):
        at = START + timedelta(minutes=number // len(BOOKS), milliseconds=chance.randrange(900))
        yield _reply(
            "bitso_tickers", "", at,
            [_ticker(book, at, price, chance) for book in BOOKS[: rows - number]],
        )  # fmt: skip


def _ticker(
    book: str, at: datetime, price: dict[str, int], chance: random.Random
) -> dict[str, object]:
    price[book] += chance.randint(-500, 500)
    ask = price[book]
    return {
        "high": str(ask + 9000), "last": str(ask - 20), "created_at": _second(at), "book": book,
        "volume": f"{chance.random() * 50:.8f}", "vwap": f"{ask * 0.99:.10f}",
        "low": str(ask - 9000), "ask": str(ask), "bid": str(ask - chance.randint(100, 1500)),
        "change_24": str(chance.randint(-9000, 9000)),
        "rolling_average_change": {"6": f"{chance.random():.4f}"},
    }  # fmt: skip


def _order_books(rows: int) -> Iterator[dict[str, str]]:
    """Each book once in five minutes."""
    chance = random.Random(2)
    for number in range(rows):
        book = BOOKS[number % len(BOOKS)]
        at = START + timedelta(seconds=number // len(BOOKS) * 300 + number % len(BOOKS))
        middle = 1_000_000 + chance.randint(-5000, 5000)
        sides = {
            side: [
                {
                    "book": book,
                    "price": str(middle + step * (200 + 30 * level)),
                    "amount": f"{chance.random():.8f}",
                }
                for level in range(LEVELS)
            ]
            for side, step in (("bids", -1), ("asks", 1))
        }
        yield _reply(
            "bitso_order_books", book, at,
            {"updated_at": _second(at), **sides, "sequence": str(number)},
        )  # fmt: skip


def _second(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


# --- contenders --------------------------------------------------------------------------------


def _replay(warehouse: Warehouse, file: Path) -> None:
    done = warehouse.loader("replay", file)
    assert done.returncode == 0, done.stderr


def _replay_and_build(warehouse: Warehouse, file: Path) -> None:
    _replay(warehouse, file)
    _dbt(warehouse)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open() as lines:
        for line in lines:
            reply = json.loads(line)
            payload = json.loads(reply["body"])["payload"]
            for record in payload if isinstance(payload, list) else [payload]:
                yield reply["received_at"], {"book": reply["key"], **record}


def _execute_batch(_: Warehouse, file: Path) -> None:
    rows = ((at, record["book"], json.dumps(record)) for at, record in _rows(file))
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        execute_batch(cursor, INSERT, rows)


def _dlt(warehouse: Warehouse, file: Path) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt  # noqa: PLC0415 (installed by `make bench` only)

    rows = ({"received_at": at, **record} for at, record in _rows(file))
    # What is nested stays in one jsonb, as with the others: tables of their own are far slower.
    market: Any = dlt.resource(rows, name="market", max_table_nesting=0)
    pipeline: Any = dlt.pipeline(
        "bench",
        pipelines_dir=str(file.parent / f"dlt-{warehouse.where.db}"),
        destination=dlt.destinations.postgres(url(warehouse)),
        dataset_name="bench",
    )
    pipeline.run(market)
    with suppress(Exception):
        pipeline.drop()


# --- history and models ------------------------------------------------------------------------


def extend(warehouse: Warehouse, first: int, rows: int) -> None:
    """Add rows of history as one finished run of `tickers`; ever later ones."""
    run_id = open_run(warehouse)
    days = [START + timedelta(minutes=n // len(BOOKS)) for n in (first, first + rows - 1)]
    warehouse.rows(
        "select raw.ensure_day('bitso_tickers', day::date) "
        "from generate_series(%s::date, %s::date, interval '1 day') as day",
        *(day.date() for day in days),
    )
    warehouse.rows(
        HISTORY.format(
            start=START, books=len(BOOKS), names=",".join(BOOKS), run_id=run_id, first=first,
            rows=rows,
        )
    )  # fmt: skip
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = %s, "
        "rows_inserted = %s where run_id = %s",
        rows, rows, run_id,
    )  # fmt: skip


def _dbt(warehouse: Warehouse, *options: str) -> Path:
    """Run the market models, however long they take; where dbt wrote what it did."""
    target = warehouse.directory / "dbt_target"
    subprocess.run(
        [
            SCRIPTS / "dbt", "--quiet", "run", "--select", "+marts.spread",
            "--project-dir", PROJECT_ROOT / "dbt_project", "--target-path", target,
            "--log-path", warehouse.directory / "dbt_logs", *options,
        ],
        check=True,
    )  # fmt: skip
    return target


def seconds_by_model(warehouse: Warehouse, *options: str) -> dict[str, float]:
    """The seconds that each model took; views, which read nothing while they are made, aside."""
    target = _dbt(warehouse, *options)
    made = json.loads((target / "manifest.json").read_text())["nodes"]
    written = json.loads((target / "run_results.json").read_text())
    return {
        made[result["unique_id"]]["name"]: float(result["execution_time"])
        for result in written["results"]
        if made[result["unique_id"]]["config"]["materialized"] != "view"
    }
