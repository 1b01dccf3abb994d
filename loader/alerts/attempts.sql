-- Of the alerts that are seen, of those that may have been taken back, and of
-- those that were told as open and never as over.
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
    select
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
    union distinct
    select
        recent.book,
        recent.threshold_pct,
        recent.opened_at
    from ops.alert_deliveries as recent
    where recent.opened_at >= %(since)s and recent.status <> 'skipped'
    union distinct
    select
        unended.book,
        unended.threshold_pct,
        unended.opened_at
    from ops.alert_deliveries as unended
    where unended.is_open
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
    attempts.retry_at,
    attempts.is_open,
    attempts.is_repeat,
    attempts.idempotency_key
from ops.alert_deliveries as attempts
inner join touched
    on
        attempts.book = touched.book
        and attempts.threshold_pct = touched.threshold_pct
        and attempts.opened_at = touched.opened_at
where attempts.status <> 'skipped'
