insert into ops.alert_deliveries (
    book,
    threshold_pct,
    opened_at,
    seen_until,
    episode_event,
    channel,
    address,
    attempt,
    status,
    idempotency_key,
    error,
    finished_at
)
select
    chosen.book,
    chosen.threshold_pct,
    chosen.opened_at,
    chosen.seen_until,
    'opened' as episode_event,
    chosen.channel,
    0 as address,
    1 as attempt,
    'skipped' as status,
    gen_random_uuid() as idempotency_key,
    %(skip_reason)s as error,
    clock_timestamp() as finished_at
from ({chosen}) as chosen
on conflict do nothing
