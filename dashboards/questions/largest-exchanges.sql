/*
title: Largest exchanges
description: >-
  The twenty exchanges with the largest volume of the last 24 hours, the last
  time that they were looked at.
display: bar
data: volumes
chart:
  x: name
  scale: category
  y: [volume_usd]
columns:
  name: {title: Exchange}
  volume_usd: {title: Volume, unit: USD, decimals: 0}
*/
with

exchange_volumes as not materialized (
    select * from marts.exchange_volumes
),

largest as (
    select
        exchange_volumes.exchange_name as name,
        exchange_volumes.exchange_id,
        trim_scale(exchange_volumes.volume_usd) as volume_usd
    from exchange_volumes
    where
        exchange_volumes.observed_at = (
            select max(latest.observed_at) from exchange_volumes as latest
        )
        and exchange_volumes.volume_usd is not null
    order by
        exchange_volumes.volume_usd desc, exchange_volumes.exchange_id asc
    limit 20
),

final as (
    select
        largest.name,
        largest.volume_usd
    from largest
)

select * from final
order by volume_usd desc, name asc
