/*
title: Spread by minute
description: >-
  The largest and the average spread of a book in each minute of a day or less,
  in percent of the ask, with the lowest thresholds of its alerts dashed. In
  minutes in which nothing was observed the line is broken.
display: line
data: market
chart:
  x: minute
  y: [peak_spread_pct, average_spread_pct,
      threshold_1_pct, threshold_2_pct, threshold_3_pct]
  y_title: Spread (%)
  dashed: [threshold_1_pct, threshold_2_pct, threshold_3_pct]
columns:
  minute: {title: Time}
  peak_spread_pct: {title: Largest spread, unit: "%", decimals: 3}
  average_spread_pct: {title: Average spread, unit: "%", decimals: 3}
  threshold_1_pct: {title: Lowest threshold, unit: "%"}
  threshold_2_pct: {title: Second threshold, unit: "%"}
  threshold_3_pct: {title: Third threshold, unit: "%"}
parameters:
  book: one_book
  from: {like: from_instant, unset: the day of to}
  to: {like: to_instant, unset: the latest day with an observation of the book}
*/
with

latest as (
    select max(orderbook_timestamp) as seen_at
    from marts.spread_observations
    where book = (select named.book from marts.book_named(:book) as named)
),

period as (
    select
        marts.first_instant(
            cast(:from as text), cast(:to as text), latest.seen_at,
            zones.reporting_timezone, 0
        ) as first_instant,
        marts.last_instant(
            cast(:to as text), latest.seen_at, zones.reporting_timezone
        ) as last_instant
    from marts.reporting_settings as zones
    cross join latest
),

observed_minutes as (
    select
        date_trunc('minute', orderbook_timestamp, 'UTC') as minute,
        trim_scale(round(max(spread), 6)) as peak_spread_pct,
        trim_scale(round(avg(spread), 6)) as average_spread_pct
    from marts.spread_observations
    where
        book = (select named.book from marts.book_named(:book) as named)
        and orderbook_timestamp >= (select period.first_instant from period)
        and orderbook_timestamp <= (select period.last_instant from period)
        and is_primary
    group by minute
),

minutes as (
    select generate_series(min(minute), max(minute), '1 minute') as minute
    from observed_minutes
),

thresholds as (
    select array_agg(trim_scale(threshold_pct) order by threshold_pct) as levels
    from marts.book_thresholds
    where book = (select named.book from marts.book_named(:book) as named)
),

final as (
    select
        minutes.minute,
        observed_minutes.peak_spread_pct,
        observed_minutes.average_spread_pct,
        thresholds.levels[1] as threshold_1_pct,
        thresholds.levels[2] as threshold_2_pct,
        thresholds.levels[3] as threshold_3_pct
    from minutes
    cross join thresholds
    left join observed_minutes
        on minutes.minute = observed_minutes.minute
)

select * from final
order by minute
