insert into ops.alert_deliveries (
    book,
    threshold_pct,
    opened_at,
    episode_event,
    channel,
    address,
    seen_until,
    attempt,
    is_repeat,
    idempotency_key,
    status,
    error,
    finished_at
)
values (
    %(book)s,
    %(threshold_pct)s,
    %(opened_at)s,
    %(episode_event)s,
    %(channel)s,
    %(address)s,
    %(seen_until)s,
    %(attempt)s,
    %(is_repeat)s,
    %(key)s,
    %(status)s,
    %(error)s,
    case when %(status)s <> 'sending' then clock_timestamp() end
)
returning delivery_id
