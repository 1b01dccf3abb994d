"""Attempts to tell people something: written down before they are made, and when they ended.

Who finds an attempt that never ended knows that its message may have been sent.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from loader.warehouse.postgres.statements import statement


class Telling(NamedTuple):
    """What is told to one address, as `ops.alert_deliveries` knows it.

    `threshold_pct` None: about a book that is not seen since `opened_at`, not about an alert.
    """

    book: str
    threshold_pct: Any
    opened_at: datetime
    episode_event: str
    channel: str
    # the place of the address in the channel's list; 0: none of them
    address: int


class Undelivered(NamedTuple):
    """How many messages did not arrive; why the latest of them, and since when the first."""

    messages: int
    reason: str | None
    since: datetime | None


def recover(connection: Connection, mine: Iterable[int], give_up: timedelta) -> int:
    """Find the attempts of a sender that died: whether they were sent nobody knows.

    Attempts in `mine` are under way in this process. Returns how many it found.
    """
    with connection, connection.cursor() as cursor:
        # What may have arrived twice by now is not sent a third time.
        cursor.execute(
            "update ops.alert_deliveries set status = 'unknown', "
            "finished_at = clock_timestamp(), "
            "retry_at = case when not is_repeat then clock_timestamp() end, "
            "error = 'the sender died before it knew' "
            "where status = 'sending' and delivery_id <> all(%s)",
            (list(mine),),
        )
        found = int(cursor.rowcount)
        # An alert that the models no longer show is never sent; its retry ends with the time limit.
        cursor.execute(
            "update ops.alert_deliveries set retry_at = null "
            "where retry_at < clock_timestamp() - %s",
            (give_up,),
        )
        end_tellings(cursor)
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


def finish(
    cursor: Any, ids: Iterable[int], error: str | None, retry: datetime | None, *, is_doubtful: bool
) -> None:
    """Write down how attempts at one message ended; `is_doubtful`: it may have arrived."""
    status = ("unknown" if is_doubtful else "failed") if error else "sent"
    cursor.execute(
        "update ops.alert_deliveries set status = %s, error = %s, "
        "finished_at = clock_timestamp(), retry_at = %s "
        "where delivery_id = any(%s) and status = 'sending'",
        (status, error, retry, list(ids)),
    )


def end_tellings(cursor: Any) -> None:
    """Take note of which openings everything has been told, or is given up."""
    cursor.execute(statement(__package__, "end_tellings"))


def forget(cursor: Any, opening: Telling) -> None:
    """Take note that an opening that never arrived is not to be tried again."""
    cursor.execute(
        "update ops.alert_deliveries set is_open = false, retry_at = null "
        f"where (is_open or retry_at is not null) and {_IS_TELLING}",
        opening._asdict(),
    )


def extend(
    cursor: Any, book: str, threshold_pct: Any, opened_at: datetime, seen_until: datetime
) -> None:
    """Take note of how far an alert reaches of which no end was told."""
    cursor.execute(
        "update ops.alert_deliveries set seen_until = %s "
        "where is_open and book = %s and threshold_pct = %s and opened_at = %s",
        (seen_until, book, threshold_pct, opened_at),
    )


def skip(cursor: Any, chosen: str, values: Mapping[str, object], reason: str) -> int:
    """Write down what is not to be told of, and is never looked at again; returns how many.

    `chosen` is a query for book, threshold_pct, opened_at, seen_until and channel.
    """
    cursor.execute(
        statement(__package__, "skip_deliveries").replace("{chosen}", chosen),
        {**values, "skip_reason": reason},
    )
    return int(cursor.rowcount)


def undelivered(cursor: Any) -> Undelivered:
    """The messages that are tried again, or waited for."""
    cursor.execute(
        "select count(distinct idempotency_key), "
        "(array_agg(error order by delivery_id desc))[1], min(started_at) "
        "from ops.alert_deliveries where retry_at is not null"
    )
    [row] = cursor.fetchall()
    return Undelivered(*row)


def given_up(cursor: Any) -> Undelivered:
    """The messages of the last day that are tried no more.

    Those that may have arrived are among them: nobody knows that they have.
    """
    cursor.execute(statement(__package__, "given_up"))
    [row] = cursor.fetchall()
    return Undelivered(*row)


_IS_TELLING = " and ".join(
    f"{name} is not distinct from %({name})s" if name == "threshold_pct" else f"{name} = %({name})s"
    for name in Telling._fields
)


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
