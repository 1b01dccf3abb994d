"""What ops.alert_deliveries and the models know about alerts: the SQL of the sender."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from loader.alert_plan import Attempt, Delivery, Episode

_EPISODES = """
select
    book, threshold_pct, opened_at, closed_at, last_observed_at, blind_at, close_reason, channels,
    opening_bid, opening_ask, opening_spread, peak_spread, observations
from marts.spread_alerts_live as alerts
where
    (closed_at is null or closed_at >= %s)
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.opened_at = alerts.opened_at
            and known.status = 'skipped'
    )
"""
_ATTEMPTS = """
with

seen (book, threshold_pct, opened_at, seen_until) as (
    values %s
),

touched as (
    select distinct known.book, known.threshold_pct, known.opened_at
    from seen
    inner join ops.alert_deliveries as known
        on
            seen.book = known.book
            and seen.threshold_pct = known.threshold_pct
            and seen.opened_at < known.seen_until
            and seen.seen_until > known.opened_at
            and known.status <> 'skipped'
)

select
    book, threshold_pct, opened_at, seen_until, episode_event, channel, address, attempt, status,
    started_at, retry_at
from ops.alert_deliveries
inner join touched using (book, threshold_pct, opened_at)
where status <> 'skipped'
"""
# The one rule of alert_plan that is for all of history: what is old and was never told of.
_PASS_OVER = """
insert into ops.alert_deliveries (
    book, threshold_pct, opened_at, seen_until, episode_event, channel, address, attempt, status,
    idempotency_key, error, finished_at
)
select
    alerts.book, alerts.threshold_pct, alerts.opened_at,
    coalesce(alerts.closed_at, alerts.last_observed_at), 'opened', channel, 0, 1, 'skipped',
    gen_random_uuid(), 'too old when it was first seen', clock_timestamp()
from marts.spread_alerts_live as alerts
cross join string_to_table(alerts.channels, ',') as channel
where
    alerts.opened_at < clock_timestamp() - %(oldest)s
    and (alerts.closed_at is null or alerts.closed_at >= %(since)s)
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.opened_at = alerts.opened_at
            and known.status = 'skipped'
    )
    and not exists (
        select from ops.alert_deliveries as known
        where
            known.book = alerts.book
            and known.threshold_pct = alerts.threshold_pct
            and known.status <> 'skipped'
            and known.seen_until > alerts.opened_at
            and known.opened_at
            < coalesce(alerts.closed_at, alerts.last_observed_at + interval '1 microsecond')
    )
on conflict do nothing
"""
# From when on an alert that has closed may still have something to be told. With `unclosed`, also
# from the first one whose end nobody has heard of.
_SINCE = """
select
    clock_timestamp(),
    least(
        clock_timestamp() - %(oldest)s,
        (select min(opened_at) from ops.alert_deliveries where retry_at is not null),
        (
            select min(opened_at) from (
                select opened_at from ops.alert_deliveries
                where %(unclosed)s and status <> 'skipped'
                group by book, threshold_pct, opened_at
                having not bool_or(episode_event = 'closed')
            ) as unclosed
        )
    ),
    (select min(retry_at) from ops.alert_deliveries where retry_at > clock_timestamp())
"""
_COVERAGE = """
(
    select window_start as since, '10 minutes' as span, cast(observed as numeric) / expected
    from marts.observation_coverage
    where book = %(book)s and window_start <= %(until)s
    order by window_start desc
    limit 1
)
union all
(
    select hour, 'hour', coverage
    from marts.spread_hourly
    where book = %(book)s and threshold_pct = %(threshold)s and hour <= %(until)s
    order by hour desc
    limit 1
)
order by since desc, span
limit 1
"""


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
        # What is never seen again is not waited for for ever.
        cursor.execute(
            "update ops.alert_deliveries set retry_at = null "
            "where retry_at < clock_timestamp() - %s",
            (give_up,),
        )
    return found


def now(connection: Connection) -> datetime:
    """The time of day, by the database's clock."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        [(moment,)] = cursor.fetchall()
    return cast(datetime, moment)


def horizon(cursor: Any, oldest: timedelta, *, whole: bool) -> Horizon:
    """How far back something may have to be told; `whole`: also what happened unwatched."""
    cursor.execute(_SINCE, {"oldest": oldest, "unclosed": whole})
    [row] = cursor.fetchall()
    return Horizon(*row)


def episodes(cursor: Any, since: datetime) -> list[Episode]:
    """The alerts that are open or closed since, but for those passed over."""
    cursor.execute(_EPISODES, (since,))
    return [Episode(*row) for row in cursor]


def attempts(cursor: Any, seen: Sequence[Episode]) -> list[Attempt]:
    """All attempts at alerts that overlap the given ones."""
    if not seen:
        return []
    values = [(one.book, one.threshold_pct, one.opened_at, one.seen_until) for one in seen]
    rows = execute_values(cursor, _ATTEMPTS, values, page_size=len(values), fetch=True)
    return [Attempt(*row) for row in rows]


def pass_over(cursor: Any, oldest: timedelta, since: datetime | None) -> int:
    """Write down what is too old to be told of; `since` None: in all of history."""
    cursor.execute(_PASS_OVER, {"oldest": oldest, "since": since or "-infinity"})
    return int(cursor.rowcount)


def begin(cursor: Any, delivery: Delivery) -> tuple[int, datetime]:
    """Write down an attempt before it is made; returns its id and the time of the first one."""
    cursor.execute(
        "update ops.alert_deliveries set retry_at = null where retry_at is not null "
        "and book = %s and threshold_pct = %s and opened_at = %s and episode_event = %s "
        "and channel = %s and address = %s",
        _key(delivery),
    )
    delivery_id = _insert(cursor, delivery, "sending", None)
    cursor.execute(
        "select min(started_at) from ops.alert_deliveries where book = %s "
        "and threshold_pct = %s and opened_at = %s and episode_event = %s and channel = %s "
        "and address = %s",
        _key(delivery),
    )
    [(first_try,)] = cursor.fetchall()
    return delivery_id, first_try


def note_failure(cursor: Any, delivery: Delivery, error: str) -> None:
    """Write down that nothing could be sent at all."""
    _insert(cursor, delivery, "failed", error)


def finish(cursor: Any, delivery_id: int, error: str | None, retry: datetime | None) -> None:
    """Write down how an attempt ended."""
    cursor.execute(
        "update ops.alert_deliveries set status = %s, error = %s, "
        "finished_at = clock_timestamp(), retry_at = %s "
        "where delivery_id = %s and status = 'sending'",
        ("failed" if error else "sent", error, retry, delivery_id),
    )


def coverage(cursor: Any, episode: Episode) -> Coverage | None:
    """Of the latest time that is modelled and not after the alert.

    Of ten minutes where the stream watched the book, else of an hour.
    """
    cursor.execute(
        _COVERAGE,
        {
            "book": episode.book,
            "threshold": episode.threshold_pct,
            "until": episode.seen_until,
        },
    )
    row = cursor.fetchone()
    return Coverage(*row) if row else None


def _key(delivery: Delivery) -> tuple[object, ...]:
    return (*delivery.told, delivery.event, delivery.channel, delivery.address)


def _insert(cursor: Any, delivery: Delivery, status: str, error: str | None) -> int:
    cursor.execute(
        "insert into ops.alert_deliveries ("
        "book, threshold_pct, opened_at, episode_event, channel, address, seen_until, attempt, "
        "is_repeat, idempotency_key, status, error, finished_at"
        ") values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
        "case when %s <> 'sending' then clock_timestamp() end) returning delivery_id",
        (
            *_key(delivery), delivery.episode.seen_until, delivery.attempt, delivery.is_repeat,
            delivery.idempotency_key, status, error, status,
        ),
    )  # fmt: skip
    [(delivery_id,)] = cursor.fetchall()
    return int(delivery_id)
