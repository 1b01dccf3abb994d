"""What `make bench` can measure, as data: a part is a name, its scale and what is typed or called.

To add one, add it to PARTS. A `Typed` part is a command as anybody types it, so it can be held
against another commit; a `Baseline` is held against other tools by a function of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import (
    alerts,
    answers,
    files,
    growth,
    lake,
    load,
    market,
    page,
    settings,
    stream,
    wire,
)  # fmt: skip
from tests.bench.figures import Table

Scale = Mapping[str, int]


@dataclass(frozen=True)
class Part:
    """What all have: a name, a sentence, and numbers for the whole form and the quick one."""

    name: str
    title: str
    full: Scale = field(default_factory=dict, kw_only=True)
    quick: Scale = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Baseline(Part):
    """Measured by a function, which gets the scale by name."""

    measure: Callable[..., Iterator[Table]]


@dataclass(frozen=True)
class Typed(Part):
    """A command, and what is typed before it, once.

    Words may hold {files}, where `files` has put the inputs that both versions get; {here}, this
    tree; {tree}, the version's own; and whatever the scale names.
    """

    command: str
    before: tuple[str, ...] = ()
    files: Callable[[Path, Scale], None] | None = None
    # A command that only reads needs no copy of the state for each run.
    is_reading: bool = False
    exits: frozenset[int] = frozenset({0})
    # After so many seconds a command that never ends by itself is asked to.
    seconds: int = 0


DBT = "dbt --quiet build --project-dir {tree}/dbt_project --exclude-resource-type test unit_test"
SAMPLE = ("loader snapshots {here}/seeds/sample", "loader replay {here}/seeds/market")
BUILT = (*SAMPLE, "loader transform")
HISTORY = ("loader replay {files}/history.jsonl", "loader transform")
RECORDED = {"rows": 100_000, "new": 600}
FEWER = {"rows": 5_000, "new": 600}

PARTS: tuple[Part, ...] = (
    Typed("help", "loader --help", "loader --help", is_reading=True),
    Typed(
        "status", "loader status, over the sample", "loader status", BUILT,
        # late jobs make it 1
        is_reading=True, exits=frozenset({0, 1}),
    ),
    Typed(
        "ask", "dashboards ask, over the sample", "dashboards ask active-users --format csv",
        BUILT, is_reading=True,
    ),
    Typed(
        "preview", "dashboards preview, over the sample", "dashboards preview",
        BUILT, is_reading=True,
    ),
    Typed(
        "snapshots", "loader snapshots: {rows:,} deposits",
        "loader snapshots {files}/deposits.csv", files=files.deposits,
        full={"rows": 2_000_000}, quick={"rows": 50_000},
    ),
    Typed(
        "replay", "loader replay: {rows:,} tickers", "loader replay {files}/history.jsonl",
        files=files.recordings,
        full={"rows": 200_000, "new": 0}, quick={"rows": 10_000, "new": 0},
    ),
    Typed(
        "lake-import", "loader lake import: two books at 1 Hz for {days} day(s)",
        "loader lake import {files}/lake", files=files.lake,
        full={"days": 5}, quick={"days": 1},
    ),
    Typed(
        "transform-new", "loader transform: {new:,} new rows after {rows:,}", "loader transform",
        (*HISTORY, "loader replay {files}/new.jsonl"), files.recordings, full=RECORDED, quick=FEWER,
    ),
    Typed(
        "transform-idle", "loader transform: nothing new after {rows:,} rows", "loader transform",
        HISTORY, files.recordings, full=RECORDED, quick=FEWER,
    ),
    Typed(
        "transform-sample", "loader transform: {new:,} new rows over the sample",
        "loader transform", (*BUILT, "loader replay {files}/new.jsonl"), files.recordings,
        full={"rows": 54, "new": 600}, quick={"rows": 54, "new": 600},
    ),
    Typed("dbt-build", "dbt build of the sample, without tests", DBT, SAMPLE),
    Typed(
        "idle", "loader alerts --follow: {seconds} s of nothing to tell", "loader alerts --follow",
        BUILT, is_reading=True, exits=frozenset({0, 143, -15}), seconds=20,
    ),
    Baseline(
        "load", "deposits against psql's \\copy", load.load,
        full={"rows": 5_000_000, "users": 200_000, "runs": 5},
        quick={"rows": 50_000, "users": 2_000, "runs": 1},
    ),
    Baseline(
        "others", "deposits against what people use instead", load.others,
        full={"rows": 500_000, "users": 20_000, "runs": 3},
        quick={"rows": 5_000, "users": 200, "runs": 1},
    ),
    Baseline(
        "answers", "dbt build after a snapshot, and the questions", answers.answers,
        full={"rows": 10_000_000, "steps": 10, "users": 200_000, "runs": 11},
        quick={"rows": 20_000, "steps": 1, "users": 1_000, "runs": 1},
    ),
    Baseline(
        "alerts", "from a row to the message", alerts.alerts,
        full={"seconds": 600, "idle_seconds": 30}, quick={"seconds": 12, "idle_seconds": 5},
    ),
    Baseline(
        "wire", "from a change on the wire to the message", wire.wire,
        full={"seconds": 600}, quick={"seconds": 20},
    ),
    Baseline(
        "stream", "54 books: throughput, memory, punctuality", stream.stream,
        full={"frames": 3_600_000, "seconds": 120}, quick={"frames": 50_000, "seconds": 10},
    ),
    Baseline(
        "lake", "imports against others, bytes, queries of a year", lake.lake,
        full={"days": 365, "imported_days": 5, "runs": 3},
        quick={"days": 60, "imported_days": 1, "runs": 1},
    ),
    Baseline(
        "transform-growth", "loader transform, whatever else the warehouse holds", growth.growth,
        full={"deposits": 2_000_000, "quotes": 10_000_000, "ledger": 1_000_000, "runs": 5},
        quick={"deposits": 20_000, "quotes": 20_000, "ledger": 20_000, "runs": 1},
    ),
    Baseline(
        "market", "recordings against others, models after ever more history", market.market,
        full={"rows": 1_000_000, "least": 100_000, "most": 10_000_000, "runs": 5},
        quick={"rows": 5_000, "least": 5_000, "most": 20_000, "runs": 1},
    ),
    Baseline(
        "page", "fifty viewers of the live page, the stream beside them", page.page,
        full={"quotes": 10_000_000, "viewers": 50, "seconds": 120},
        quick={"quotes": 50_000, "viewers": 5, "seconds": 12},
    ),
    Baseline(
        "settings", "a new threshold or book, against all made anew", settings.settings,
        full={"rows": 10_000_000, "runs": 3}, quick={"rows": 50_000, "runs": 1},
    ),
)  # fmt: skip
NAMES = [part.name for part in PARTS]
COMPARABLE = [part.name for part in PARTS if isinstance(part, Typed)]
