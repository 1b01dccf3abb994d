"""Attempts to tell people something: written down before they are made, and when they ended.

Who finds an attempt that never ended knows that its message may have been sent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres.statements import statement


class Telling(NamedTuple):
    """A message about an alert to one address, as `ops.alert_deliveries` knows it."""

    book: str
    threshold_pct: Any
    opened_at: datetime
    episode_event: str
    channel: str
    # the place of the address in the channel's list; 0: none of them
    address: int


def recover(connection: Connection, mine: list[int], give_up: timedelta) -> int:
    """Find the attempts of a sender that died: whether they were sent nobody knows.

    Attempts in `mine` are under way in this process. Returns how many it found.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update ops.alert_deliveries set status = 'unknown', "
            "finished_at = clock_timestamp(), retry_at = clock_timestamp(), "
            "error = 'the sender died before it knew' "
            "where status = 'sending' and delivery_id <> all(%s)",
            (mine,),
        )
        found = int(cursor.rowcount)
        # An alert that the models no longer show is never sent; its retry ends with the time limit.
        cursor.execute(
            "update ops.alert_deliveries set retry_at = null "
            "where retry_at < clock_timestamp() - %s",
            (give_up,),
        )
    return found


def begin(
    cursor: Any, telling: Telling, seen_until: datetime, attempt: int, key: str, *, is_repeat: bool
) -> tuple[int, datetime]:
    """Write down an attempt before it is made; returns its id and the time of the first one."""
    values = telling._asdict()
    cursor.execute(
        "update ops.alert_deliveries set retry_at = null where retry_at is not null "
        f"and {_IS_TELLING}",
        values,
    )
    delivery_id = _insert(cursor, telling, seen_until, attempt, key, "sending", None, is_repeat)
    cursor.execute(f"select min(started_at) from ops.alert_deliveries where {_IS_TELLING}", values)
    [(first_try,)] = cursor.fetchall()
    return delivery_id, first_try


def note_failure(
    cursor: Any, telling: Telling, seen_until: datetime, attempt: int, key: str, error: str
) -> None:
    """Write down that nothing could be sent at all."""
    _insert(cursor, telling, seen_until, attempt, key, "failed", error, is_repeat=False)


def finish(cursor: Any, delivery_id: int, error: str | None, retry: datetime | None) -> None:
    """Write down how an attempt ended."""
    cursor.execute(
        "update ops.alert_deliveries set status = %s, error = %s, "
        "finished_at = clock_timestamp(), retry_at = %s "
        "where delivery_id = %s and status = 'sending'",
        ("failed" if error else "sent", error, retry, delivery_id),
    )


def skip(cursor: Any, chosen: str, values: Mapping[str, object]) -> int:
    """Write down what is not to be told of, and is never looked at again; returns how many.

    `chosen` is a query for book, threshold_pct, opened_at, seen_until and channel.
    """
    cursor.execute(statement(__package__, "skip_deliveries").replace("{chosen}", chosen), values)
    return int(cursor.rowcount)


_IS_TELLING = " and ".join(f"{name} = %({name})s" for name in Telling._fields)


def _insert(
    cursor: Any,
    telling: Telling,
    seen_until: datetime,
    attempt: int,
    key: str,
    status: str,
    error: str | None,
    is_repeat: bool,
) -> int:
    cursor.execute(
        statement(__package__, "insert_delivery"),
        {
            **telling._asdict(), "seen_until": seen_until, "attempt": attempt, "key": key,
            "status": status, "error": error, "is_repeat": is_repeat,
        },
    )  # fmt: skip
    [(delivery_id,)] = cursor.fetchall()
    return int(delivery_id)
