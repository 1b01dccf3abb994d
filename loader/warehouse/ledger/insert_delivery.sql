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
    is_open,
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
    %(episode_event)s in ('opened', 'blind') and %(address)s > 0,
    %(key)s,
    %(status)s,
    %(error)s,
    case when %(status)s <> 'sending' then clock_timestamp() end
)
returning delivery_id
