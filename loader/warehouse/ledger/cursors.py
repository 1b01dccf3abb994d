"""How far a job has got, item by item, so that an interrupted one goes on where it stopped."""

from datetime import datetime
from typing import Any

# The item of a resuming job that says that its whole list is done.
WHOLE_LIST = "*"


def done_at(cursor: Any, job: str, item: str) -> datetime | None:
    """Until when an item is done; None where it never was."""
    cursor.execute("select done_at from ops.cursors where job = %s and item = %s", (job, item))
    row: tuple[datetime] | None = cursor.fetchone()
    return row[0] if row else None


def done_after(cursor: Any, job: str, moment: datetime) -> set[str]:
    """The items that were done after a moment."""
    cursor.execute("select item from ops.cursors where job = %s and done_at > %s", (job, moment))
    return {item for (item,) in cursor}


def mark(cursor: Any, job: str, item: str, moment: datetime, run_id: int) -> None:
    """Take note that a run has done an item, up to a moment."""
    cursor.execute(
        "insert into ops.cursors (job, item, done_at, run_id) values (%s, %s, %s, %s) "
        "on conflict (job, item) do update "
        "set done_at = excluded.done_at, run_id = excluded.run_id",
        (job, item, moment, run_id),
    )


def mark_whole_list(cursor: Any, job: str) -> None:
    """Take note that no item is left; as of the latest one, however often it is said."""
    cursor.execute(
        "select max(done_at), max(run_id) from ops.cursors where job = %s and item <> %s",
        (job, WHOLE_LIST),
    )
    [(moment, run_id)] = cursor.fetchall()
    if moment is not None:
        mark(cursor, job, WHOLE_LIST, moment, run_id)
