/*
title: Exchange volumes
description: >-
  Rank and volume of every exchange each time that they were looked at
  between two instants, both included.
display: table
data: volumes
columns:
  volume_usd: {title: Volume, unit: USD, decimals: 0}
  percent_total_volume: {title: Share, unit: "%", decimals: 2}
parameters:
  from: from_instant
  to: {like: to_instant, unset: the latest day on which they were looked at}
*/
with

exchange_volumes as not materialized (
    select * from marts.exchange_volumes
),

latest as (
    select max(observed_at) as seen_at from exchange_volumes
),

period as (
    select
        marts.first_instant(
            cast(:from as text),
            cast(:to as text),
            latest.seen_at,
            zones.reporting_timezone
        ) as first_instant,
        marts.last_instant(
            cast(:to as text), latest.seen_at, zones.reporting_timezone
        ) as last_instant
    from marts.reporting_settings as zones
    cross join latest
),

observed as (
    select
        observed_at,
        exchange_id,
        exchange_name,
        exchange_rank,
        trading_pairs,
        has_socket,
        exchange_url,
        updated_at,
        trim_scale(volume_usd) as volume_usd,
        trim_scale(percent_total_volume) as percent_total_volume
    from exchange_volumes
    where
        observed_at >= (select period.first_instant from period)
        and observed_at <= (select period.last_instant from period)
),

final as (
    select
        exchange_id,
        exchange_name as name,
        exchange_rank as rank,
        volume_usd,
        percent_total_volume,
        trading_pairs,
        has_socket as socket,
        exchange_url,
        updated_at
    from observed
    order by observed_at asc, exchange_rank asc nulls last, exchange_id asc
)

select * from final
