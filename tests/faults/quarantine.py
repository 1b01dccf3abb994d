"""Rows in quarantine, and the edited export: what `loader quarantine redrive` is given."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from loader.warehouse.text import storable
from tests.faults.cases import Case, Holds, Surface, cases_of
from tests.faults.files import counted
from tests.faults.lakes import ROWS as LAKE_ROWS
from tests.faults.misplaced import LOCKED, ODD_PLACES, PLACES
from tests.faults.place import Place
from tests.faults.recordings import RECORDS, TEXTS_OF_RECORDS
from tests.faults.values import CUT, ENCODED, TEXTS, numbers_of_csv, spoiled_records, with_field
from tests.waiting import wait_for

NAME = "quarantine row"
REDRIVE = ("loader", "quarantine", "redrive")
LAKE, TICKERS = "spread_observations", "bitso_tickers"
AT = "2026-01-05T12:00:00+00:00"
COUNTS = {name: f"select count(*) from raw.{name}" for name in (LAKE, TICKERS)}
GOOD = {LAKE: LAKE_ROWS, TICKERS: TEXTS_OF_RECORDS}


class SetAsideRow(NamedTuple):
    """An odd row between two that are good by now: where it is said to be from, and its text."""

    source: str
    raw: str
    location: str = ""
    received_at: str | None = None


def _put(place: Place, source: str, location: str, raw: str, received_at: str | None) -> None:
    place.rows(
        "insert into ops.quarantine "
        "(run_id, source, received_at, location, reason_code, reason, raw) "
        "select run_id, %s, %s, %s, 'bad', 'it was bad', %s from ops.runs limit 1",
        source, received_at, location, raw,
    )  # fmt: skip


def _fill(place: Place, odd: SetAsideRow) -> None:
    """A ledger with three rows set aside."""
    place.rows(
        "insert into ops.runs (job, status, finished_at, rows_read, rows_quarantined) "
        "values ('x', 'succeeded', now(), 3, 3)"
    )
    source = odd.source if odd.source in COUNTS else LAKE
    first, _, last = GOOD[source]
    at = AT if source == TICKERS else None
    _put(place, source, "a.csv:1" if source == LAKE else "", first, at)
    _put(place, odd.source, odd.location, odd.raw, odd.received_at)
    _put(place, source, "a.csv:3" if source == LAKE else "", last, at)


def bring(place: Place, case: Case) -> None:
    """Redrive, and again: every row is loaded or stays, and none is told twice."""
    odd = case.what if isinstance(case.what, SetAsideRow) else SetAsideRow(LAKE, "x", "a.csv:2")
    _fill(place, odd)
    count = COUNTS[odd.source if odd.source in COUNTS else LAKE]
    if callable(case.what):
        case.what(place)
    ran = place.run(*REDRIVE)
    place.survived(ran, case.holds.exits)
    rows = counted(place, count)
    assert rows in case.holds.good, f"{rows} rows, not {case.holds.good}"
    [(all_rows, is_open)] = place.rows(
        "select count(*), count(*) filter (where redriven_by is null) from ops.quarantine"
    )
    assert all_rows >= 3, f"{3 - all_rows} rows have gone from quarantine"
    place.survived(place.run(*REDRIVE))
    [(still_open,)] = place.rows("select count(*) from ops.quarantine where redriven_by is null")
    assert counted(place, count) == rows, "redriven again, other rows are there"
    assert still_open == is_open, f"{is_open} rows were open, redriven again {still_open}"
    place.conserved()


def _two_at_once(place: Place) -> None:
    """The one that comes second is told so, or finds everything done."""
    started = [place.start(*REDRIVE) for _ in range(2)]
    for each in started:
        place.survived(each.end(), (0, 75))


def _killed(place: Place) -> None:
    """While it takes the rows: nothing of it has happened then."""
    with closing(place.server.admin(place.where.db)) as admin, admin.cursor() as cursor:
        admin.autocommit = False
        cursor.execute(f"lock table raw.{LAKE} in access exclusive mode")
        started = place.start(*REDRIVE)
        waits = (
            "select 1 from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock'"
        )
        wait_for(lambda: place.rows(waits) or not started.is_running, "the redrive at the lock")
        started.send(signal.SIGKILL)
        admin.rollback()
    place.survived(started.end(), (-signal.SIGKILL, 0))
    ours = (
        "select 1 from pg_stat_activity where datname = current_database() "
        "and application_name = 'bitso-warehouse'"
    )
    wait_for(lambda: not place.rows(ours), "the end of its connection")


def _no_room(place: Place) -> None:
    """Postgres has no room for what becomes of the rows."""
    place.rows(
        "create function public.fail() returns trigger language plpgsql as "
        "$$ begin raise exception 'no room' using errcode = '53100'; end $$"
    )
    place.rows(
        "create trigger fail before update on ops.quarantine "
        "for each row execute function public.fail()"
    )
    place.survived(place.run(*REDRIVE), (75,))
    place.rows("drop trigger fail on ops.quarantine")


def _many(place: Place) -> None:
    """A million rows that are bad still."""
    place.rows(
        "insert into ops.quarantine (run_id, source, location, reason_code, reason, raw) "
        "select run_id, %s, 'b.csv:' || line, 'bad', 'it was bad', 'x' || line "
        "from ops.runs, generate_series(1, 1000000) as line", LAKE,
    )  # fmt: skip


Act = Callable[[Place], None]
ACTS: dict[str, tuple[str, Act]] = {
    "two at once": ("duplication", _two_at_once),
    "killed": ("lost", _killed),
    "no room in Postgres": ("full disk", _no_room),
    "a million rows": ("size", _many),
}


class Edited(NamedTuple):
    """An edited export that is odd: its bytes, or what stands in its place."""

    what: bytes | Callable[[Path, bytes], Path]
    is_locked: bool = False

    def __call__(self, place: Place) -> None:
        """Hand it over."""
        path = place.directory / "edited.csv"
        place.survived(place.run("loader", "quarantine", "export", path))
        good = path.read_bytes()
        path.unlink()
        handed = path
        if callable(self.what):
            handed = self.what(path, good)
        else:
            path.write_bytes(self.what)
        rights = "few" if self.is_locked else "all"
        place.survived(place.run(*REDRIVE, handed, rights=rights), (0, 1, 2))


def _quarantine_cases() -> Iterator[Case]:
    holds = Holds((0,), (2, 3))
    for kind, name, text in spoiled_records(RECORDS[1], "bid", "book"):
        row = SetAsideRow(TICKERS, storable(text), "", AT)
        yield Case(NAME, kind, f"a ticker: {name}", row, holds)
    for name, value in {**numbers_of_csv(), **TEXTS}.items():
        place, kind = (2, "numbers") if name not in TEXTS else (1, "text")
        raw = with_field(LAKE_ROWS[1], place, value).decode(errors="backslashreplace")
        yield Case(NAME, kind, f"a lake's: {name}", SetAsideRow(LAKE, storable(raw), "a.csv:2"),
                   holds)  # fmt: skip
    for name, row in {
        "an unknown source": SetAsideRow("nobody", "x", "somewhere"),
        "an unknown source with a time": SetAsideRow("nobody", "x", "somewhere", AT),
        "a source of escapes": SetAsideRow("\x1b[2J\u202e", "x", "\x1b[2J\x07:2"),
        "no line": SetAsideRow(LAKE, LAKE_ROWS[1], "a.csv"),
        "a line of letters": SetAsideRow(LAKE, LAKE_ROWS[1], "a.csv:x"),
        "a huge line": SetAsideRow(LAKE, LAKE_ROWS[1], "a.csv:" + "9" * 30),
        "a line below zero": SetAsideRow(LAKE, LAKE_ROWS[1], "a.csv:-1"),
        "no location": SetAsideRow(LAKE, LAKE_ROWS[1], ""),
        "a snapshot's row that is of none": SetAsideRow("deposits", "1,2,3", "a.csv:2"),
        "a snapshot's row with a time": SetAsideRow("deposits", "1,2,3", "a.csv:2", AT),
        "a frame": SetAsideRow("bitso_stream", '{"sequence": NaN}', "btc_mxn"),
        "the year 1": SetAsideRow(TICKERS, TEXTS_OF_RECORDS[1], "", "0001-01-01T00:00:00+00:00"),
        "the end of time": SetAsideRow(TICKERS, TEXTS_OF_RECORDS[1], "", "infinity"),
        "before all time": SetAsideRow(TICKERS, TEXTS_OF_RECORDS[1], "", "-infinity"),
    }.items():  # fmt: skip
        yield Case(NAME, "version" if "source" in name else "shape", name, row, holds)
    for name, (kind, act) in ACTS.items():
        yield Case(NAME, kind, name, act, Holds((0,), (2,)), is_dear=name.startswith("a million"))
    yield from _edited_cases()


def _edited_cases() -> Iterator[Case]:
    export = b"quarantine_id,raw\n1,x\n"
    holds = Holds((0,), (2,))
    for kind, changes in (("cut", CUT), ("encoding", ENCODED)):
        for name, change in changes.items():
            yield Case(NAME, kind, f"an edited export: {name}", Edited(change(export)), holds)
    for name, text in {
        "an id of letters": b"quarantine_id,raw\nx,y\n",
        "a huge id": b"quarantine_id,raw\n" + b"9" * 5000 + b",y\n",
        "a line of 1 MB": b"quarantine_id,raw\n1," + b"x" * 1_000_000 + b"\n",
        "NUL": b"quarantine_id,raw\n2,a\0b\n",
    }.items():
        yield Case(NAME, "shape", f"an edited export: {name}", Edited(text), holds)
    yield Case(NAME, "order", "an edited export: columns reversed",
               Edited(b"raw,quarantine_id\nx,2\n"), holds)  # fmt: skip
    edits = {name: Edited(place) for name, place in {**PLACES, **ODD_PLACES}.items()}
    yield from cases_of(NAME, "place", edits.items(), holds)
    yield Case(NAME, "permission", "an edited export: nobody may read it", Edited(LOCKED, True),
               holds)  # fmt: skip


QUARANTINE = Surface(NAME, list(_quarantine_cases()), bring, {
    "time": "a row is there or is not; an export that does not end is a pipe or a device (place)",
})  # fmt: skip
