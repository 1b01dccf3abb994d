"""What the models and the ledger know about alerts, and what is written down of messages."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from psycopg2.extensions import connection as Connection

from loader.alerts.known import (
    Attempt,
    BookState,
    Coverage,
    Delivery,
    Ending,
    Episode,
    Grown,
    Judged,
)
from loader.alerts.notices import Notice
from loader.warehouse.ledger import deliveries
from loader.warehouse.ledger.deliveries import Telling
from loader.warehouse.postgres.statements import has_relation, statement


class Horizon(NamedTuple):
    """What time it is in the database, how far back to look, and when a retry is due next."""

    now: datetime
    since: datetime
    next_retry: datetime | None


def now(connection: Connection) -> datetime:
    """The time of day, by the database's clock."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        [(moment,)] = cursor.fetchall()
    return cast(datetime, moment)


def horizon(cursor: Any, oldest: timedelta, *, whole: bool) -> Horizon:
    """How far back something may have to be told; `whole`: also what happened unwatched."""
    cursor.execute(statement(__package__, "horizon"), {"oldest": oldest, "whole": whole})
    [row] = cursor.fetchall()
    return Horizon(*row)


def episodes(cursor: Any, since: datetime) -> list[Episode]:
    """The alerts that are open or closed since, but for those passed over."""
    cursor.execute(statement(__package__, "episodes"), {"since": since})
    return [Episode(*row) for row in cursor]


def attempts(cursor: Any, seen: Sequence[Episode], since: datetime) -> list[Attempt]:
    """All attempts at alerts that overlap the given ones, began since, or have no end yet."""
    values = {
        "books": [one.book for one in seen],
        "thresholds": [one.threshold_pct for one in seen],
        "opened": [one.opened_at for one in seen],
        "seen_until": [one.seen_until for one in seen],
        "since": since,
    }
    cursor.execute(statement(__package__, "attempts"), values)
    return [Attempt(*row) for row in cursor]


def judged(cursor: Any) -> Judged | None:
    """What the models are sure of; None while dbt has not built the mart that says it."""
    if not has_relation(cursor, "marts.alerts_judged"):
        return None
    cursor.execute("select judged_until, fresh_from from marts.alerts_judged")
    [(until, fresh_from)] = cursor.fetchall()
    cursor.execute("select book, threshold_pct from marts.book_thresholds")
    return Judged(until, fresh_from, frozenset(cursor.fetchall()))


def book_states(cursor: Any) -> list[BookState]:
    """The watched books; none while dbt has not built the mart that knows them."""
    if not has_relation(cursor, "marts.book_states"):
        return []
    cursor.execute(statement(__package__, "blindness"))
    return [BookState(*row) for row in cursor]


def is_any_seen(cursor: Any) -> bool:
    """Whether any watched book is seen."""
    if not has_relation(cursor, "marts.book_states"):
        return False
    cursor.execute("select exists (select from marts.book_states where not is_blind)")
    [(is_seen,)] = cursor.fetchall()
    return bool(is_seen)


def blind_attempts(cursor: Any) -> list[Attempt]:
    """All attempts at books that are not seen, as far as nobody was told that they are again."""
    cursor.execute(statement(__package__, "blind_attempts"))
    return [Attempt(*row) for row in cursor]


def pass_over(cursor: Any, oldest: timedelta, since: datetime | None) -> int:
    """Write down what is too old to be told of; `since` None: in all of history."""
    values = {"oldest": oldest, "since": since or "-infinity"}
    chosen = statement(__package__, "too_old")
    return deliveries.skip(cursor, chosen, values, "too old when it was first seen")


def pass_over_muted(cursor: Any, muted: Iterable[Episode]) -> int:
    """Write down what opened and closed while its book was muted."""
    return sum(
        deliveries.skip(
            cursor,
            "select %(book)s as book, %(threshold)s as threshold_pct, "
            "%(opened)s::timestamptz as opened_at, %(seen_until)s::timestamptz as seen_until, "
            "string_to_table(%(channels)s, ',') as channel",
            {
                "book": one.book, "threshold": one.threshold_pct, "opened": one.opened_at,
                "seen_until": one.seen_until, "channels": one.channels,
            },
            "its book was muted",
        )
        for one in muted
    )  # fmt: skip


def begin(cursor: Any, notice: Notice) -> tuple[list[int], datetime]:
    """Write down attempts before they are made; returns their ids and the time of the first one."""
    begun = [
        deliveries.begin(
            cursor, _telling(each), each.seen_until, each.attempt, notice.idempotency_key,
            is_repeat=notice.is_repeat,
        )
        for each in notice.deliveries
    ]  # fmt: skip
    return [delivery_id for delivery_id, _ in begun], min(first_try for _, first_try in begun)


def note_failure(cursor: Any, notice: Notice, error: str) -> None:
    """Write down that nothing could be sent at all."""
    for each in notice.deliveries:
        deliveries.note_failure(
            cursor, _telling(each), each.seen_until, each.attempt, notice.idempotency_key, error
        )


def forget(cursor: Any, openings: Iterable[Attempt]) -> None:
    """Write down that nobody needs to hear the end of what never arrived."""
    for one in openings:
        telling = Telling(
            one.book, one.threshold_pct, one.opened_at, one.event, one.channel, one.address
        )
        deliveries.forget(cursor, telling)


def note_growth(cursor: Any, grown: Iterable[Grown]) -> None:
    """Write down how far alerts reach that are told of as open."""
    for one in grown:
        deliveries.extend(cursor, one.book, one.threshold_pct, one.known_as, one.seen_until)


def coverage(cursor: Any, episode: Episode) -> Coverage | None:
    """Of the latest time that was watched and not after the alert; None: of none it is known."""
    values = {
        "book": episode.book,
        "until": episode.seen_until,
    }
    cursor.execute(statement(__package__, "coverage"), values)
    row = cursor.fetchone()
    return Coverage(*row) if row else None


def ending(cursor: Any, episode: Episode) -> Ending:
    """What an alert that has closed closed with."""
    values = {
        "book": episode.book,
        "threshold": episode.threshold_pct,
        "at": episode.closed_at,
    }
    cursor.execute(statement(__package__, "ending"), values)
    row = cursor.fetchone()
    return Ending(*row) if row else Ending(None, None, None, None)


def _telling(delivery: Delivery) -> Telling:
    return Telling(*delivery.told, delivery.event, delivery.channel, delivery.address)
