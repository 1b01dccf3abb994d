with

seen as (
    select *
    from unnest(
        cast(%(books)s as text[]),
        cast(%(thresholds)s as numeric[]),
        cast(%(opened)s as timestamptz[]),
        cast(%(seen_until)s as timestamptz[])
    ) as asked (book, threshold_pct, opened_at, seen_until)
),

touched as (
    select distinct
        known.book,
        known.threshold_pct,
        known.opened_at
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
    attempts.book,
    attempts.threshold_pct,
    attempts.opened_at,
    attempts.seen_until,
    attempts.episode_event,
    attempts.channel,
    attempts.address,
    attempts.attempt,
    attempts.status,
    attempts.started_at,
    attempts.retry_at
from ops.alert_deliveries as attempts
inner join touched
    on
        attempts.book = touched.book
        and attempts.threshold_pct = touched.threshold_pct
        and attempts.opened_at = touched.opened_at
where attempts.status <> 'skipped'
