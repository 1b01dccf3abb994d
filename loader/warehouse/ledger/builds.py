"""What the models were last built from, and what has come in since: asked of the ledger.

A build notes in the `detail` of its run what it was made from; the next one compares.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg2 import sql

from loader.warehouse.ledger.partitions import tables_over_time
from loader.warehouse.postgres.statements import statement

# Where a run's detail says what its build was made from.
BUILT = "built"


class RunsSeen(NamedTuple):
    """Which of the loader's runs had ended, at some moment.

    All with a number below `settled_below`, and from there on those in `ended`, as Postgres
    writes an int8multirange: runs that overlap end in another order than they began.
    """

    settled_below: int
    ended: str


class News(NamedTuple):
    """What runs have brought: rows to some tables of raw, time that was watched to the account."""

    tables: tuple[str, ...]
    has_watched_time: bool


def last_built(cursor: Any, jobs: Sequence[str], run_id: int) -> dict[str, Any] | None:
    """What the last build before a run was made from; None where it ended badly, or never was."""
    cursor.execute(
        "select last.status, last.detail -> %(built)s from unnest(%(jobs)s) as jobs (job) "
        "cross join lateral (select run_id, status, detail from ops.runs "
        "where runs.job = jobs.job and run_id < %(run_id)s order by started_at desc limit 1) "
        "as last order by last.run_id desc limit 1",
        {"built": BUILT, "jobs": list(jobs), "run_id": run_id},
    )
    status, built = cursor.fetchone() or ("", None)
    return built if status in ("succeeded", "unchanged") else None


def project_built(cursor: Any, jobs: Sequence[str]) -> str | None:
    """The project that the last good build was made from; None where none has noted it."""
    cursor.execute(
        "select detail -> %(built)s ->> 'project' from ops.runs "
        "where job = any(%(jobs)s) and detail ? %(built)s order by run_id desc limit 1",
        {"built": BUILT, "jobs": list(jobs)},
    )
    return next((project for (project,) in cursor), None)


def have_models(cursor: Any) -> bool:
    """Whether dbt has made any marts."""
    cursor.execute(
        "select exists (select from pg_class "
        "where relnamespace = to_regnamespace('marts') and relkind in ('r', 'p', 'v'))"
    )
    [(are_there,)] = cursor.fetchall()
    return bool(are_there)


def runs_seen(cursor: Any, settled_below: int = 0) -> RunsSeen:
    """The runs that have ended by now; those below `settled_below` are known to have."""
    cursor.execute(statement(__package__, "runs_seen"), {"settled_below": settled_below})
    [row] = cursor.fetchall()
    return RunsSeen(*row)


def news_since(cursor: Any, seen: RunsSeen) -> News:
    """What the runs have brought that had not ended then."""
    cursor.execute(statement(__package__, "runs_since"), seen._asdict())
    [(runs, has_watched_time)] = cursor.fetchall()
    return News(
        tuple(table for table in tables_over_time(cursor) if runs and _has(cursor, table, runs)),
        has_watched_time,
    )


def _has(cursor: Any, table: str, runs: Sequence[int]) -> bool:
    cursor.execute(
        sql.SQL("select exists (select from {} where run_id = any(%s))").format(
            sql.Identifier("raw", table)
        ),
        (runs,),
    )
    [(has_rows,)] = cursor.fetchall()
    return bool(has_rows)


def current_snapshots(cursor: Any) -> list[int]:
    """The snapshots that are current, one of each kind."""
    cursor.execute("select snapshot_id from raw.snapshots where is_current order by 1")
    return [snapshot_id for (snapshot_id,) in cursor]


def standing(cursor: Any) -> str:
    """A digest of the relations that dbt has made: another one where somebody has made any anew."""
    cursor.execute(statement(__package__, "standing"))
    [(digest,)] = cursor.fetchall()
    return str(digest)
