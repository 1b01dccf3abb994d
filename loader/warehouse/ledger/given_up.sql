-- Messages of the last day whose latest attempt failed, and that are not tried
-- again; why the latest of them was given up, and since when there are any.
with

latest as (
    select distinct on (idempotency_key)
        delivery_id,
        status,
        error,
        started_at,
        retry_at
    from ops.alert_deliveries
    where started_at > now() - interval '1 day'
    order by idempotency_key asc, delivery_id desc
)

select
    count(*) as messages,
    (array_agg(error order by delivery_id desc))[1] as reason,
    min(started_at) as since
from latest
where status in ('failed', 'unknown') and retry_at is null
