select
    cast(
        extract(
            epoch from date_bin(
                interval '10 minutes',
                orderbook_timestamp,
                timestamptz '1970-01-01 00:00:00+00'
            )
        ) as bigint
    ) as window_epoch,
    to_json(orderbook_timestamp) #>> '{}' as orderbook_timestamp,
    book,
    trim_scale(bid) as bid,
    trim_scale(ask) as ask,
    case
        when abs(spread) < %(widest)s then trim_scale(spread)
    end as spread
from marts.spread_observations
where
    is_primary
    and book = %(book)s
    and orderbook_timestamp >= %(since)s
    and orderbook_timestamp < %(until)s
order by spread_observations.orderbook_timestamp, bid, ask
