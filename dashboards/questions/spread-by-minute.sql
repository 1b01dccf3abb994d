/*
title: Spread by minute
description: >-
  The largest and the average spread of a book in each minute of a day, in
  percent of the ask, with the lowest thresholds of its alerts dashed. In
  minutes in which nothing was observed the line is broken.
display: line
chart:
  x: minute
  y:
    - peak_spread_pct
    - average_spread_pct
    - threshold_1_pct
    - threshold_2_pct
    - threshold_3_pct
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
  book:
    type: text
    default: btc_mxn
    description: The book, by any of its names.
  to:
    type: date
    unset: the latest day with an observation of the book
    description: The day (reporting time zone).
*/
with

spread_observations as not materialized (
    select * from marts.spread_observations
),

-- A name that nobody knows is asked for as it stands.
asked as (
    select
        coalesce(
            (
                select known.book from marts.book_names as known
                where known.book_name = lower(:book)
            ),
            lower(:book)
        ) as book
),

latest as (
    select max(spread_observations.orderbook_timestamp) as seen_at
    from spread_observations
    where spread_observations.book = (select asked.book from asked)
),

asked_day as (
    select
        reporting_settings.reporting_timezone,
        coalesce(
            cast(:to as date),
            cast(
                latest.seen_at
                at time zone reporting_settings.reporting_timezone
                as date
            )
        ) as day
    from marts.reporting_settings as reporting_settings
    cross join latest
),

bounds as (
    select
        cast(day as timestamp)
        at time zone reporting_timezone as first_instant,
        cast(day + 1 as timestamp)
        at time zone reporting_timezone as end_instant
    from asked_day
),

observed_minutes as (
    select
        date_trunc('minute', orderbook_timestamp) as minute,
        round(max(spread), 6) as peak_spread_pct,
        round(avg(spread), 6) as average_spread_pct
    from spread_observations
    where
        book = (select asked.book from asked)
        and orderbook_timestamp >= (select bounds.first_instant from bounds)
        and orderbook_timestamp < (select bounds.end_instant from bounds)
        and is_primary
    group by minute
),

minutes as (
    select
        generate_series(
            min(observed_minutes.minute),
            max(observed_minutes.minute),
            interval '1 minute'
        ) as minute
    from observed_minutes
),

thresholds as (
    select
        array_agg(
            book_thresholds.threshold_pct order by book_thresholds.threshold_pct
        ) as levels
    from marts.book_thresholds as book_thresholds
    where book_thresholds.book = (select asked.book from asked)
),

final as (
    select
        minutes.minute,
        trim_scale(observed_minutes.peak_spread_pct) as peak_spread_pct,
        trim_scale(observed_minutes.average_spread_pct) as average_spread_pct,
        trim_scale(thresholds.levels[1]) as threshold_1_pct,
        trim_scale(thresholds.levels[2]) as threshold_2_pct,
        trim_scale(thresholds.levels[3]) as threshold_3_pct
    from minutes
    cross join thresholds
    left join observed_minutes
        on minutes.minute = observed_minutes.minute
)

select * from final
order by minute
