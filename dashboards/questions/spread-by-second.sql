/*
title: Spread by second
description: >-
  The spread of a book in percent of the ask, second by second, over the last
  half hour that was observed, with the lowest thresholds of its alerts dashed.
  Where seconds beside one of the stream's are missing, the line is broken.
display: line
data: market
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
  book: one_book
  to: {like: to_instant, unset: the latest day with an observation of the book}
*/
with

latest as (
    select max(orderbook_timestamp) as seen_at
    from marts.spread_observations
    where
        book = (select named.book from marts.book_named(:book) as named)
        and orderbook_timestamp <= (
            select
                marts.last_instant(
                    cast(:to as text), 'infinity', zones.reporting_timezone
                )
            from marts.reporting_settings as zones
        )
        and is_primary
),

half_hour as (
    select
        orderbook_timestamp as seen_at,
        feed,
        spread,
        lead(orderbook_timestamp) over later as next_at,
        lead(feed) over later as next_feed
    from marts.spread_observations
    where
        book = (select named.book from marts.book_named(:book) as named)
        and orderbook_timestamp
        > (select latest.seen_at from latest) - interval '30 minutes'
        and orderbook_timestamp <= (select latest.seen_at from latest)
        and is_primary
    window later as (order by orderbook_timestamp)
),

-- The first second that is missing is a point without a spread.
points as (
    select
        seen_at,
        spread
    from half_hour
    union all
    select
        seen_at + interval '1 second' as seen_at,
        null as spread
    from half_hour
    where 'stream' in (feed, next_feed) and next_at - seen_at >= interval '2 s'
),

thresholds as (
    select array_agg(trim_scale(threshold_pct) order by threshold_pct) as levels
    from marts.book_thresholds
    where book = (select named.book from marts.book_named(:book) as named)
),

final as (
    select
        date_trunc('second', seen_at, 'UTC') as second,
        trim_scale(round(max(spread), 6)) as spread_pct,
        (select thresholds.levels[1] from thresholds) as threshold_1_pct,
        (select thresholds.levels[2] from thresholds) as threshold_2_pct,
        (select thresholds.levels[3] from thresholds) as threshold_3_pct
    from points
    group by second
)

select * from final
order by second
