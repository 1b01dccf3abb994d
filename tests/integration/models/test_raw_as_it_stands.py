"""Whatever stands in raw, however it came: the models are built, and say what they leave out."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple

from loader.market.rows import FEEDS
from loader.snapshots.grammar import KINDS, LONGEST_TEXT_BYTES
from loader.warehouse.text import is_storable
from loader.warehouse.values import BadValueError, name_of, positive
from loader.wire.records import Record
from tests.conftest import Warehouse
from tests.market import open_run
from tests.odd_records import NOON, odd_records
from tests.odd_values import NOISE, json_values, numbers, texts
from tests.snapshot_files import HEADERS, TEMPLATES, good_rows, write
from tests.staged import STAGED, assert_all_modelled

BUILD = ("build", "--exclude", "resource_type:unit_test")
# The members of a payload without which there is nothing to model.
NEEDED = {
    "coingecko_exchanges": {"name"},
    "coingecko_tickers": {"base", "target"},
    "coincap_exchanges": {"name"},
}
# What has its texts in an index in raw already, which holds no longer ones.
INDEXED = {"users", "user_levels", "spread_observations"}
SPECIAL = ("NaN", "Infinity", "-Infinity")
# Times that raw can hold, and whether a market can have been observed then.
MARKET_TIMES = {
    "2010-01-01 00:00+00": True, "2099-12-31 23:59:59.999999+00": True,
    "2009-12-31 23:59:59.999999+00": False, "2100-01-01 00:00+00": False,
    "0044-03-15 00:00+00 BC": False, "9999-12-31 00:00+00": False, "10000-01-01 00:00+00": False,
}  # fmt: skip
# And whether a user can have done something then.
USER_TIMES = {
    "0001-12-31 00:00+00": True, "1850-01-01 00:00+00": True, "9999-01-01 23:59:59+00": True,
    "0001-12-30 23:59:59+00": False, "9999-01-02 00:00+00": False, "infinity": False,
    "-infinity": False, "4713-01-01 00:00+00 BC": False, "294276-12-31 23:59:59+00": False,
}  # fmt: skip


class Put(NamedTuple):
    """A row to put into a table of raw, and whether the models can hold it."""

    table: str
    values: dict[str, Any]
    is_readable: bool


def holds(read: Any, text: str) -> bool:
    """Whether the loader's own rule takes a value."""
    try:
        read("it", text)
    except BadValueError:
        return False
    return True


def storable_texts() -> list[str]:
    return [text for text in [*texts(), *numbers(), NOISE[:5000]] if is_storable(text)]


def decimals() -> dict[str, bool]:
    """Numbers that a column of Postgres holds, and whether they are prices."""
    return {**{text: holds(positive, text) for text in numbers() if len(text) < 200},
            **dict.fromkeys(SPECIAL, False)}  # fmt: skip


def payloads() -> Iterator[Put]:
    """Every odd record of the JSON sources, and payloads that are no record at all."""
    for odd in odd_records():
        is_good = isinstance(next(iter(FEEDS[odd.source].parse(odd.body))), Record)
        is_needed = odd.field in NEEDED.get(odd.source, ())
        yield Put(odd.source, {"payload": odd.text}, is_good or not is_needed)
    for source in FEEDS:
        for value in json_values():
            # A text or a list has no members either.
            yield Put(source, {"payload": value}, source not in NEEDED)


def keys_prices_and_times() -> Iterator[Put]:
    """Every odd value of the columns beside the payloads."""
    for table in [*FEEDS, "spread_observations"]:
        key = FEEDS[table].key if table in FEEDS else "book"
        for text in storable_texts():
            if table not in INDEXED or len(text) <= 2000:
                yield Put(table, {key: text}, holds(name_of, text))
        for text, is_good in MARKET_TIMES.items():
            yield Put(table, {"received_at": text}, is_good)
    for table in ("bitso_tickers", "bitso_order_books", "spread_observations"):
        for side in ("bid", "ask"):
            for text, is_price in decimals().items():
                yield Put(table, {side: text}, is_price)


TYPES = {
    "received_at": "timestamptz", "payload": "jsonb", "bid": "numeric", "ask": "numeric",
    "file_id": "bigint", "line_number": "bigint", "snapshot_id": "bigint", "id": "bigint",
    "event_timestamp": "timestamptz", "amount": "numeric", "level": "integer",
}  # fmt: skip
# A good row of each table, but for when it was received.
QUOTED = {"book": "odd_mxn", "bid": "1", "ask": "2"}
GOOD: dict[str, dict[str, str]] = {
    "bitso_tickers": {**QUOTED, "payload": "{}"},
    "bitso_order_books": {**QUOTED, "payload": "{}", "channel": "diff-orders"},
    "bitso_books": {"book": "odd_mxn", "payload": "{}"},
    "spread_observations": {**QUOTED, "file_id": "1", "line_number": "1"},
    "coingecko_exchanges": {"exchange_id": "odd", "payload": '{"name": "Odd"}'},
    "coingecko_tickers": {"exchange_id": "odd", "payload": '{"base": "BTC", "target": "MXN"}'},
    "coincap_exchanges": {"exchange_id": "odd", "payload": '{"name": "Odd"}'},
}


def put_into(
    warehouse: Warehouse, table: str, rows: list[tuple[dict[str, str], bool]], run_id: int
) -> Counter[bool]:
    """Put rows into a table of raw; how many Postgres takes, by whether the models can."""
    columns = list(rows[0][0])
    casts = ", ".join(f"cast({name} as {TYPES.get(name, 'text')})" for name in columns)
    arrays = ", ".join(["%s::text[]"] * len(columns))
    payload = "payload" if "payload" in columns else "'{}'"
    return Counter(dict(warehouse.rows(
        f"with given as (select * from unnest({arrays}, %s::boolean[]) "
        f"as given ({', '.join(columns)}, is_readable) "
        f"where pg_input_is_valid({payload}, 'jsonb')), "
        f"put as (insert into raw.{table} ({', '.join(columns)}, run_id) "
        f"select {casts}, {run_id} from given) "
        "select is_readable, count(*)::int from given group by 1",
        *([row[name] for row, _ in rows] for name in columns),
        [is_readable for _, is_readable in rows],
    )))  # fmt: skip


def put_market(warehouse: Warehouse, puts: Iterable[Put]) -> dict[str, Counter[bool]]:
    """Put rows into raw as one finished run, each received at an instant of its own."""
    by_table: dict[str, list[tuple[dict[str, str], bool]]] = {}
    for number, put in enumerate(puts):
        at = (NOON + number * timedelta(milliseconds=1)).isoformat()
        row = {"received_at": at, **GOOD[put.table], **put.values}
        by_table.setdefault(put.table, []).append((row, put.is_readable))
    run_id = open_run(warehouse)
    found = {}
    for table, rows in by_table.items():
        for text in (NOON.isoformat(), *MARKET_TIMES):
            warehouse.rows(
                "select raw.ensure_day(%s, (%s::timestamptz at time zone 'UTC')::date)", table, text
            )
        found[table] = put_into(warehouse, table, rows, run_id)
    total = sum(counts.total() for counts in found.values())
    warehouse.rows(
        "update ops.runs set status = 'succeeded', finished_at = now(), rows_read = %s, "
        "rows_inserted = %s where run_id = %s",
        total, total, run_id,
    )  # fmt: skip
    return found


def snapshot_rows(kind: str) -> Iterator[tuple[dict[str, str], bool]]:
    """Rows with one odd value each, and whether the models can hold it."""
    columns = HEADERS[kind].split(",")
    for column in columns:
        for value, is_readable in values_of(column).items():
            if kind in INDEXED and len(value) > 2000:
                continue
            row = TEMPLATES[kind].format(f"{next(NUMBERS)}").split(",")
            yield {**dict(zip(columns, row, strict=True)), column: value}, is_readable


NUMBERS = iter(range(1000, 1_000_000))


def values_of(column: str) -> dict[str, bool]:
    """Every value that a column of a snapshot's table takes, and whether the models can."""
    if column == "event_timestamp":
        return USER_TIMES
    if column == "amount":
        found = {text: abs(rounded(text)) < 10**20 for text in numbers() if len(text) < 200}
        return {**found, **dict.fromkeys(SPECIAL, False)}
    if column in ("id", "level"):
        ends = ("-2147483648", "-1", "0", "2147483647")
        return dict.fromkeys(ends, True)
    return {text: 0 < len(text.encode()) <= LONGEST_TEXT_BYTES for text in storable_texts()}


def rounded(text: str) -> Decimal:
    """As numeric(38, 18) has it."""
    with localcontext(prec=12_000, Emax=99_999, Emin=-99_999):
        return Decimal(text).quantize(Decimal("1e-18"), ROUND_HALF_UP)


def put_snapshots(warehouse: Warehouse, directory: Path) -> dict[str, Counter[bool]]:
    """A snapshot of each kind, and into it the odd rows."""
    for kind in KINDS:
        write(directory, f"{kind}.csv", kind, good_rows(kind, 5))
    done = warehouse.call("loader", "snapshots", directory)
    assert done.returncode == 0, done.stderr
    found = {}
    for kind in KINDS:
        [(snapshot_id, run_id)] = warehouse.rows(
            "select snapshot_id, run_id from raw.snapshots where kind = %s and is_current", kind
        )
        rows = [
            ({"snapshot_id": str(snapshot_id), "line_number": str(number), **row}, is_readable)
            for number, (row, is_readable) in enumerate(snapshot_rows(kind), start=7)
        ]
        found[kind] = put_into(warehouse, kind, rows, run_id)
        found[kind][True] += 5
    return found


def test_it_is_modelled_or_counted_and_stops_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    expected = put_snapshots(warehouse, tmp_path)
    expected |= put_market(warehouse, [*payloads(), *keys_prices_and_times()])
    assert expected.keys() == STAGED.keys()
    done = warehouse.dbt(*BUILD)
    assert "Warning in test every_record_in_raw_can_be_read" in done.stdout
    found = assert_all_modelled(warehouse)
    assert found == {table: (counts[True], counts[False]) for table, counts in expected.items()}
    assert min(unreadable for _, unreadable in found.values()) > 0
    exported = warehouse.call("dashboards", "export", tmp_path / "all")
    assert exported.returncode == 0, exported.stderr
    status = json.loads(warehouse.call("loader", "status", "--format", "json").stdout)
    for table, (_, unreadable) in found.items():
        told = [one for one in status["facts"]["unreadable"] if one["source"] == table]
        assert sum(one["records"] for one in told) == unreadable
    pruned = warehouse.call("loader", "prune")
    assert pruned.returncode == 0, pruned.stderr
    # Nothing is counted twice, whatever comes then.
    counted = warehouse.rows("select * from marts.unreadable_records order by 1, 2")
    [more] = put_market(warehouse, [Put("bitso_tickers", {"bid": "NaN"}, False)]).values()
    assert more == {False: 1}
    warehouse.dbt("run", "--select", "+unreadable_records")
    assert [
        (source, reason, records + (f"{source} {reason}" == "bitso_tickers bid cannot be read"))
        for source, reason, records in counted
    ] == warehouse.rows("select * from marts.unreadable_records order by 1, 2")
