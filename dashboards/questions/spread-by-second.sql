/*
title: Spread by second
description: >-
  The spread of a book in percent of the ask, second by second, over the last
  half hour that was observed, with the lowest thresholds of its alerts dashed.
  Where the stream missed seconds the line is broken.
display: line
chart:
  x: second
  y: [spread_pct, threshold_1_pct, threshold_2_pct, threshold_3_pct]
  dashed: [threshold_1_pct, threshold_2_pct, threshold_3_pct]
columns:
  second: {title: Time}
  spread_pct: {title: Spread, unit: "%", decimals: 3}
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
    description: The day of whose end the half hour is (reporting time zone).
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

bounds as (
    select
        cast(cast(:to as date) + 1 as timestamp)
        at time zone reporting_settings.reporting_timezone as end_instant
    from marts.reporting_settings as reporting_settings
),

latest as (
    select max(spread_observations.orderbook_timestamp) as seen_at
    from spread_observations
    where
        spread_observations.book = (select asked.book from asked)
        and spread_observations.is_primary
        and (
            cast(:to as date) is null
            or spread_observations.orderbook_timestamp
            < (select bounds.end_instant from bounds)
        )
),

observations as (
    select
        orderbook_timestamp,
        feed,
        spread,
        lead(orderbook_timestamp) over (order by orderbook_timestamp)
            as next_timestamp
    from spread_observations
    where
        book = (select asked.book from asked)
        and orderbook_timestamp
        > (select latest.seen_at from latest) - interval '30 minutes'
        and orderbook_timestamp <= (select latest.seen_at from latest)
        and is_primary
),

-- The first second that is missing is a point without a spread.
points as (
    select
        observations.orderbook_timestamp,
        observations.spread
    from observations
    union all
    select
        observations.orderbook_timestamp + interval '1 second'
            as orderbook_timestamp,
        cast(null as numeric) as spread
    from observations
    where
        observations.feed = 'stream'
        and observations.next_timestamp
        >= observations.orderbook_timestamp + interval '2 seconds'
),

seconds as (
    select
        date_trunc('second', points.orderbook_timestamp) as second,
        round(max(points.spread), 6) as spread_pct
    from points
    group by second
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
        seconds.second,
        trim_scale(seconds.spread_pct) as spread_pct,
        trim_scale(thresholds.levels[1]) as threshold_1_pct,
        trim_scale(thresholds.levels[2]) as threshold_2_pct,
        trim_scale(thresholds.levels[3]) as threshold_3_pct
    from seconds
    cross join thresholds
)

select * from final
order by second
