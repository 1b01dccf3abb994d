"""Files of snapshots, and how a case brings any file: by name, to the command that reads it."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tests.faults.cases import Case, Holds, Surface, cases_of
from tests.faults.misplaced import LINK, LOCKED, ODD_PLACES, PLACES
from tests.faults.place import Place
from tests.faults.values import (
    CUT,
    ENCODED,
    TEXTS,
    bomb,
    damaged_gzip,
    numbers_of_csv,
    tarred,
    with_field,
    zipped,
)
from tests.odd_values import NOISE
from tests.snapshot_files import HEADERS, good_rows
from tests.waiting import wait_for

REFUSED = Holds((1,), (0,))
TAKEN = Holds((0,), (3,))
# One row of three may be bad.
BESIDE = Holds((0,), (2, 3))
# A fault of the whole file: refused, or what of it can be read.
WHOLE = Holds((0, 1, 75), (0, 1, 2, 3))


class FileKind(NamedTuple):
    """A kind of file: what a good one with three rows holds, who loads it, and the rows in raw."""

    name: str
    good: bytes
    command: tuple[str, ...]
    rows: str
    # What the loader asks for while it has the file open: who holds it, has the loader wait.
    held: str


def bring(kind: FileKind, place: Place, case: Case) -> None:
    """Put the file there and load it: `what` is its bytes, or makes something in its place."""
    path = place.directory / kind.name
    handed = path
    if callable(case.what):
        handed = case.what(path, kind.good)
    else:
        path.write_bytes(case.what)
    if case.kind == "lost":
        ran = _changed_while_read(kind, place, handed)
    else:
        more = {"WAREHOUSE_BAD_ROWS_PERCENT": "100"} if case.kind == "full disk" else {}
        ran = place.run(
            "loader", *kind.command, handed, env=more,
            rights="few" if case.kind == "permission" else "all",
            most_written=65_536 if case.kind == "full disk" else 0,
        )  # fmt: skip
    place.survived(ran, case.holds.exits, case.holds.says)
    rows = counted(place, kind.rows)
    assert not case.holds.good or rows in case.holds.good, f"{rows} rows, not {case.holds.good}"
    if ran.code == 0 and "snapshots" not in kind.command and case.kind != "lost":
        # Nothing is counted twice when it comes again.
        again = place.run("loader", *kind.command, handed)
        place.survived(again, (0,))
        assert counted(place, kind.rows) == rows, "the same again brought other rows"
    place.conserved()


def counted(place: Place, query: str) -> int:
    """The one number that a query answers."""
    [(rows,)] = place.rows(query)
    return int(rows)


def _changed_while_read(kind: FileKind, place: Place, handed: Path) -> Any:
    """Load a file that grows after it has been opened."""
    with closing(place.server.admin(place.where.db)) as admin, admin.cursor() as cursor:
        admin.autocommit = False
        cursor.execute(f"lock table {kind.held} in access exclusive mode")
        started = place.start("loader", *kind.command, handed)
        waits = (
            "select 1 from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock'"
        )
        wait_for(lambda: place.rows(waits) or not started.is_running, "the loader at the lock")
        with handed.open("ab") as file:
            file.write(kind.good.splitlines(keepends=True)[-1])
        admin.rollback()
        return started.end()


def whole_files(surface: str, kind: FileKind, packed: Holds = TAKEN) -> Iterator[Case]:
    """What may befall any file, whatever is in it; `packed` is what becomes of a packed one."""
    good = kind.good
    for name, cut in CUT.items():
        yield Case(surface, "cut", name, cut(good), WHOLE)
    yield Case(surface, "cut", "half of a gzip", gzip.compress(good)[:-12], REFUSED)
    yield Case(surface, "cut", "a damaged gzip", damaged_gzip(good), REFUSED)
    yield Case(surface, "place", "gzip", gzip.compress(good), packed)
    zst = pa.compress(good, codec="zstd", asbytes=True)
    yield Case(surface, "place", "zstd", zst, packed)
    yield Case(surface, "place", "zip", zipped(a=good), packed)
    yield Case(surface, "place", "zip of two", zipped(a=good, b=good), REFUSED)
    yield Case(surface, "cut", "half of a zstd", zst[: len(zst) // 2], REFUSED)
    yield Case(surface, "shape", "a tar archive", tarred(good), Holds((0, 1), (0,)))
    yield Case(surface, "size", "a bomb", _Bomb(), Holds((0, 1), (0, 1, 2, 3)), is_dear=True)
    yield from cases_of(surface, "place", PLACES.items(), Holds((1, 2), (0,)))
    yield from cases_of(surface, "place", ODD_PLACES.items(), TAKEN)
    yield Case(surface, "place", "a link to a file", LINK, Holds((0, 1), (0, 3)))
    yield Case(surface, "permission", "nobody may read it", LOCKED, Holds((1, 2), (0,)))


class _Bomb:
    """Made when it is thrown, not for every list of the cases."""

    def __call__(self, path: Path, good: bytes) -> Path:
        path.write_bytes(bomb(good))
        return path

    def __repr__(self) -> str:
        return "1 GiB of blanks behind good rows"


def as_file(data: Callable[[], bytes]) -> Callable[[Path, bytes], Path]:
    """A file whose bytes are made when the case runs."""

    def write(path: Path, _: bytes) -> Path:
        path.write_bytes(data())
        return path

    return write


# --- snapshots --------------------------------------------------------------------------------

NAME = "snapshot file"
HEADER = HEADERS["deposits"]
ROWS = good_rows("deposits", 3)
AMOUNT, USER = 3, 2


def _file(*rows: bytes | str, header: str = HEADER) -> bytes:
    lines = [header, *rows]
    return b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)


SNAPSHOT = FileKind(
    "a.csv", _file(*ROWS), ("snapshots",),
    "select count(*) from raw.deposits inner join raw.snapshots using (snapshot_id) "
    "where is_current", "raw.deposits",
)  # fmt: skip


def _beside(row: bytes) -> bytes:
    return _file(ROWS[0], row, ROWS[2])


def _snapshot_cases() -> Iterator[Case]:
    for name, value in numbers_of_csv().items():
        yield Case(NAME, "numbers", name, _beside(with_field(ROWS[1], AMOUNT, value)), BESIDE)
    for name, value in TEXTS.items():
        kind = "size" if name[0] == "1" else "text"
        holds = Holds((0,), (2,)) if name in ("no value", "a backslash and N") else BESIDE
        yield Case(NAME, kind, name, _beside(with_field(ROWS[1], USER, value)), holds)
    for name, encode in ENCODED.items():
        yield Case(NAME, "encoding", name, encode(SNAPSHOT.good), WHOLE)
    yield from _snapshot_shapes()
    yield from _snapshot_sizes()
    yield from whole_files(NAME, SNAPSHOT)
    yield Case(NAME, "lost", "it grows while it is read", SNAPSHOT.good, Holds((1, 75), (0,)))
    many = _file(ROWS[0], *(f"{n},x,u,1,mxn,complete" for n in range(2, 20_000)))
    yield Case(NAME, "full disk", "no room to set rows aside", many, Holds((1, 75), (0,)))


def _snapshot_shapes() -> Iterator[Case]:
    odd: dict[str, bytes] = {
        "too few fields": b"2,2023-01-02 03:04:05+00,u",
        "too many fields": ROWS[1].encode() + b",x,y",
        "a stray quote": b'2,"' + ROWS[1].encode(),
        "a blank line": b"   ",
        "a formula": with_field(ROWS[1], USER, "=1+1"),
    }
    for name, row in odd.items():
        yield Case(NAME, "shape", name, _beside(row), BESIDE)
    for name, header in {
        "no header": ROWS[0], "an unknown column": HEADER + ",color",
        "a column twice": HEADER + ",id", "a missing column": "id,user_id",
        "a header of controls": "\x1b[2J,\x07\u202e",
    }.items():  # fmt: skip
        yield Case(NAME, "shape", name, _file(*ROWS, header=header), REFUSED)
    yield Case(NAME, "shape", "a header alone", _file(), Holds((0,), (0,)))
    bad = [with_field(row, AMOUNT, "x") for row in ROWS]
    yield Case(NAME, "shape", "no good row at all", _file(*bad), REFUSED)
    yield Case(NAME, "duplication", "a row twice", _file(*ROWS, ROWS[1]), TAKEN)
    other = with_field(ROWS[1], AMOUNT, "9")
    yield Case(NAME, "duplication", "a key twice", _file(*ROWS, other), TAKEN)
    yield Case(NAME, "order", "rows reversed", _file(*reversed(ROWS)), TAKEN)
    turned = [",".join(reversed(line.split(","))) for line in (HEADER, *ROWS)]
    yield Case(NAME, "order", "columns reversed", _file(*turned[1:], header=turned[0]), TAKEN)


def _snapshot_sizes() -> Iterator[Case]:
    yield Case(NAME, "size", "a line of 3 MB", _beside(b"x" * 3_000_000), WHOLE)
    yield Case(NAME, "size", "a header of 1 MB", _file(*ROWS, header="x" * 1_000_000), REFUSED)
    quoted = b'2,"' + (NOISE.encode() + b"\n") * 200
    yield Case(NAME, "size", "a quote that runs on", _beside(quoted), WHOLE)
    yield Case(
        NAME, "size", "400 000 bad rows",
        as_file(lambda: _file(*(f"{n},x,u{n},1,mxn,complete" for n in range(400_000)))),
        REFUSED, is_dear=True,
    )  # fmt: skip


SNAPSHOTS = Surface(
    NAME,
    list(_snapshot_cases()),
    lambda place, case: bring(SNAPSHOT, place, case),
    {
        "time": "a file is there or is not; one that does not end is a pipe or a device (place)",
        "version": "the format has no version: other columns are another shape",
    },
)
