with

primary_observations as (
    select
        orderbook_timestamp,
        book,
        trim_scale(bid) as bid,
        trim_scale(ask) as ask,
        case when abs(spread) < %(widest)s then trim_scale(spread) end as spread
    from marts.spread_observations
    where
        is_primary
        and book = %(book)s
        and orderbook_timestamp >= %(since)s
        and orderbook_timestamp < %(until)s
),

-- ISO 8601, which COPY by itself does not write.
as_written as (
    select
        *,
        cast(
            extract(
                epoch from date_bin(
                    interval '10 minutes',
                    orderbook_timestamp,
                    timestamptz '1970-01-01 00:00:00+00'
                )
            ) as bigint
        ) as window_epoch,
        to_json(orderbook_timestamp) #>> '{}' as observed_at
    from primary_observations
)

select
    window_epoch,
    observed_at,
    book,
    bid,
    ask,
    spread
from as_written
order by orderbook_timestamp, bid, ask
