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
inner join ops.alert_deliveries as begun
    on
        attempts.book = begun.book
        and attempts.opened_at = begun.opened_at
        and attempts.channel = begun.channel
        and attempts.address = begun.address
where
    begun.is_open
    and begun.episode_event = 'blind'
    and attempts.threshold_pct is null
group by attempts.delivery_id
