"""Redriven rows are loaded and closed, or stay as they were, whatever is in them and how often."""

import json
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.lake.reading import TABLE
from loader.operations.redrive import MOST_TOLD, redrive
from tests.conftest import Server, Warehouse
from tests.faults.place import MOST_MIB, World
from tests.ledger import counts
from tests.odd_records import RECORDS
from tests.odd_values import json_values, written_values

AT = "2026-01-05T12:00:00+00:00"


class Aside(NamedTuple):
    """A row of the quarantine; with a `key` it is good by now, and its record is called so."""

    source: str
    raw: str
    location: str = ""
    received_at: str | None = None
    key: str = ""


def ticker(book: str, bid: str = '"100.5"', *, key: str = "") -> Aside:
    text = json.dumps({**RECORDS["bitso_tickers"], "book": book, "bid": "@"}).replace('"@"', bid)
    return Aside("bitso_tickers", text, "", AT, key)


def lake_row(book: str, bid: str = "1", *, key: str = "") -> Aside:
    return Aside(TABLE, f"2024-03-02 10:00:00,{book},{bid},2,0.5", "a.csv:2", None, key)


def set_aside(warehouse: Warehouse, rows: list[Aside]) -> list[int]:
    """Put rows into quarantine; returns their ids."""
    ids = []
    [(run,)] = warehouse.rows(
        "insert into ops.runs (job, status, finished_at, rows_read, rows_quarantined) "
        "values ('x', 'succeeded', now(), %s, %s) returning run_id", len(rows), len(rows),
    )  # fmt: skip
    for row in rows:
        [(number,)] = warehouse.rows(
            "insert into ops.quarantine "
            "(run_id, source, received_at, location, line_number, reason_code, reason, raw) "
            "values (%s, %s, %s, %s, 2, 'bad', 'it was bad', %s) returning quarantine_id",
            run, row.source, row.received_at, row.location, row.raw,
        )  # fmt: skip
        ids.append(number)
    return ids


def is_closed(warehouse: Warehouse, ids: list[int]) -> list[bool]:
    """Of each row whether it is closed; fails when one is not what it was."""
    found = warehouse.rows(
        "select redriven_by is not null from ops.quarantine "
        "where quarantine_id = any(%s) and reason = 'it was bad' order by quarantine_id", ids,
    )  # fmt: skip
    assert len(found) == len(ids)
    return [closed for (closed,) in found]


def in_raw(warehouse: Warehouse) -> dict[str, int]:
    """How often there is a record of each name."""
    return dict(
        warehouse.rows(
            "select book, count(*) from (select book from raw.bitso_tickers "
            "union all select book from raw.spread_observations) as books group by book"
        )
    )


_numbers = iter(range(1_000_000))


def _new() -> str:
    return f"good{next(_numbers)}_mxn"


ROWS = st.one_of(
    st.builds(_new).map(lambda book: ticker(book, key=book)),
    st.builds(_new).map(lambda book: lake_row(book, key=book)),
    st.sampled_from(json_values()).map(lambda value: ticker("", value)),
    st.sampled_from(written_values())
    .filter(lambda text: text.isprintable())
    .map(lambda text: Aside(TABLE, text, "a.csv:2")),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
        lambda text: Aside("nobody", text, "somewhere")
    ),
    st.sampled_from(["", "x", "\\x00", "{", '{"payload": []}', "[" * 5000]).map(
        lambda text: Aside("coincap_exchanges", text, "", AT)
    ),
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROWS, max_size=10), twice=st.booleans())
def test_a_row_is_loaded_and_closed_or_stays_just_as_it_was(
    module_warehouse: Warehouse, rows: list[Aside], twice: bool
) -> None:
    module_warehouse.activate()
    module_warehouse.rows("delete from ops.quarantine")
    rows = rows + rows if twice else rows
    ids = set_aside(module_warehouse, rows)
    run = redrive(None)
    good = [bool(row.key) for row in rows]
    assert is_closed(module_warehouse, ids) == good
    known = in_raw(module_warehouse)
    assert {row.key: known[row.key] for row in rows if row.key} == {
        row.key: 1 for row in rows if row.key
    }
    new = len({row.key for row in rows if row.key})
    assert counts(run) == (len(rows), new, sum(good) - new, len(rows) - sum(good))
    again = redrive(None)
    assert counts(again) == (len(rows) - sum(good), 0, 0, len(rows) - sum(good))
    assert is_closed(module_warehouse, ids) == good
    assert in_raw(module_warehouse) == known


@pytest.fixture
def refusing(warehouse: Warehouse) -> Warehouse:
    """A warehouse whose Postgres refuses some rows that the loader takes for good."""
    for table, code in (("bitso_tickers", "22000"), (TABLE, "23514")):
        warehouse.rows(
            f"create function raw.refuse_{table}() returns trigger language plpgsql as $$ begin "
            f"if new.book like 'refused%' then raise exception 'no' using errcode = '{code}'; "
            "end if; return new; end $$"
        )
        warehouse.rows(
            f"create trigger refuse before insert on raw.{table} "
            f"for each row execute function raw.refuse_{table}()"
        )
    return warehouse


def test_what_postgres_refuses_stays_and_the_rows_beside_it_are_loaded(
    refusing: Warehouse,
) -> None:
    rows = [row for n in range(7) for row in (ticker(f"good{n}_mxn"), lake_row(f"fine{n}_mxn"))]
    rows[3:3] = [ticker("refused_mxn"), lake_row("refused_mxn")]
    ids = set_aside(refusing, rows)
    run = redrive(None)
    assert counts(run) == (16, 14, 0, 2)
    assert is_closed(refusing, ids) == ["refused" not in row.raw for row in rows]
    assert set(in_raw(refusing).values()) == {1}
    assert len(run.detail["still_bad"]) == 2
    # None of it is set aside a second time.
    assert refusing.rows("select count(*) from ops.quarantine") == [(16,)]
    assert counts(redrive(None)) == (2, 0, 0, 2)


def test_rows_that_no_memory_holds_are_exported_and_redriven(server: Server) -> None:
    rows = 27_000
    with World(server).place() as place:
        place.rows(
            "insert into ops.runs (job, status, finished_at, rows_read, rows_quarantined) "
            "values ('x', 'succeeded', now(), %s, %s)", rows, rows,
        )  # fmt: skip
        place.rows(
            "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw) "
            "select run_id, %s, 'a.csv:2', 'bad', 'it was bad', repeat('x', 6000) "
            "from ops.runs, generate_series(1, %s)", TABLE, rows,
        )  # fmt: skip
        file = place.directory / "edited.csv"
        place.survived(place.run("loader", "quarantine", "export", file))
        assert file.stat().st_size > MOST_MIB * 2**20
        for edited in ((), (file,)):
            done = place.run("loader", "quarantine", "redrive", *edited)
            # Within the bound of memory of every command.
            place.survived(done)
            place.conserved()
            said = f"0 rows loaded, 0 were loaded already, {rows} stay in quarantine\n"
            assert done.out.decode() == said
            assert len(done.said.splitlines()) == MOST_TOLD
