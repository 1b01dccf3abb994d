"""What the models and the ledger know about alerts, and what is written down of messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

from psycopg2.extensions import connection as Connection

from loader.alerts.plan import Attempt, Delivery, Episode
from loader.warehouse.ledger import deliveries
from loader.warehouse.ledger.deliveries import Telling
from loader.warehouse.postgres.statements import statement


class Horizon(NamedTuple):
    """What time it is in the database, how far back to look, and when a retry is due next."""

    now: datetime
    since: datetime
    next_retry: datetime | None


class Coverage(NamedTuple):
    """How much of a stretch of time was observed, 0 to 1."""

    since: datetime
    span: str
    share: Decimal


def now(connection: Connection) -> datetime:
    """The time of day, by the database's clock."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        [(moment,)] = cursor.fetchall()
    return cast(datetime, moment)


def horizon(cursor: Any, oldest: timedelta, *, whole: bool) -> Horizon:
    """How far back something may have to be told; `whole`: also what happened unwatched."""
    cursor.execute(statement(__package__, "horizon"), {"oldest": oldest, "unclosed": whole})
    [row] = cursor.fetchall()
    return Horizon(*row)


def episodes(cursor: Any, since: datetime) -> list[Episode]:
    """The alerts that are open or closed since, but for those passed over."""
    cursor.execute(statement(__package__, "episodes"), {"since": since})
    return [Episode(*row) for row in cursor]


def attempts(cursor: Any, seen: Sequence[Episode]) -> list[Attempt]:
    """All attempts at alerts that overlap the given ones."""
    if not seen:
        return []
    values = {
        "books": [one.book for one in seen],
        "thresholds": [one.threshold_pct for one in seen],
        "opened": [one.opened_at for one in seen],
        "seen_until": [one.seen_until for one in seen],
    }
    cursor.execute(statement(__package__, "attempts"), values)
    return [Attempt(*row) for row in cursor]


def pass_over(cursor: Any, oldest: timedelta, since: datetime | None) -> int:
    """Write down what is too old to be told of; `since` None: in all of history."""
    values = {"oldest": oldest, "since": since or "-infinity"}
    return deliveries.skip(cursor, statement(__package__, "too_old"), values)


def begin(cursor: Any, delivery: Delivery) -> tuple[int, datetime]:
    """Write down an attempt before it is made; returns its id and the time of the first one."""
    return deliveries.begin(
        cursor, _telling(delivery), delivery.episode.seen_until, delivery.attempt,
        delivery.idempotency_key, is_repeat=delivery.is_repeat,
    )  # fmt: skip


def note_failure(cursor: Any, delivery: Delivery, error: str) -> None:
    """Write down that nothing could be sent at all."""
    deliveries.note_failure(
        cursor, _telling(delivery), delivery.episode.seen_until, delivery.attempt,
        delivery.idempotency_key, error,
    )  # fmt: skip


def coverage(cursor: Any, episode: Episode) -> Coverage | None:
    """Of the latest time that was watched and not after the alert; None: of none it is known."""
    values = {
        "book": episode.book,
        "until": episode.seen_until,
    }
    cursor.execute(statement(__package__, "coverage"), values)
    row = cursor.fetchone()
    return Coverage(*row) if row else None


def _telling(delivery: Delivery) -> Telling:
    return Telling(*delivery.told, delivery.event, delivery.channel, delivery.address)
