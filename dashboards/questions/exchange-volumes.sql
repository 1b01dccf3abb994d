/*
title: Exchange volumes
description: >-
  Rank and volume of every exchange each time that they were looked at
  between two instants, both included.
display: table
columns:
  volume_usd: {title: Volume, unit: USD, decimals: 0}
  percent_total_volume: {title: Share, unit: "%", decimals: 2}
parameters:
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day on which they were looked at
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

exchange_volumes as not materialized (
    select * from marts.exchange_volumes
),

latest as (
    select max(observed_at) as seen_at from exchange_volumes
),

-- An instant is longer than a date, and is the last one itself.
period_end as (
    select
        reporting_settings.reporting_timezone,
        case
            when length(cast(:to as text)) > 10
                then cast(:to as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:to as date),
                        cast(
                            latest.seen_at
                            at time zone reporting_settings.reporting_timezone
                            as date
                        )
                    ) + 1 as timestamp
                ) at time zone reporting_settings.reporting_timezone
                - interval '1 microsecond'
        end as last_instant
    from reporting_settings
    cross join latest
),

period as (
    select
        last_instant,
        case
            when length(cast(:from as text)) > 10
                then cast(:from as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:from as date),
                        cast(
                            last_instant at time zone reporting_timezone
                            as date
                        ) - 6
                    ) as timestamp
                ) at time zone reporting_timezone
        end as first_instant
    from period_end
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
