/*
title: Spread breaches
description: >-
  How many times in each hour the spread of a book was above a threshold,
  any value, between two instants. Hours are whole, those of both ends
  included, and every book of the period has a row for every one, from the
  first to the last that was observed or should have been. Coverage is the
  share, 0 to 1, of the time to observe in the hour that was observed; missing
  where nobody knows what was to be observed, as of an imported lake.
display: bar
data: market
chart: {x: hour, y: [breaches], series: book, stacked: true}
columns:
  breaches: {title: Breaches}
parameters:
  book: any_book
  threshold:
    type: number
    default: "0.1"
    description: In percent of the ask; only bigger spreads count.
  from: from_instant
  to:
    like: to_instant
    unset: the latest day that was observed or should have been
*/
with

hours as (
    select
        *,
        trim_scale(cast(:threshold as numeric)) as threshold_pct
    from marts.hours_watched(
        :book,
        cast(:from as text),
        cast(:to as text),
        cast(:threshold as numeric)
    )
),

-- Of a threshold that the models do not count. Those of hours that they have
-- not come to yet wait for them.
uncounted as (
    select
        book,
        date_trunc('hour', orderbook_timestamp, 'UTC') as hour,
        count(*) as breaches
    from marts.spread_observations
    where
        exists (
            select 1 from hours
            where hours.observations > 0 and hours.breaches is null
        )
        and orderbook_timestamp >= (select min(hours.hour) from hours)
        and orderbook_timestamp
        < (select max(hours.hour) from hours) + interval '1 hour'
        and (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
        and is_primary
        and marts.is_above(bid, ask, cast(:threshold as numeric))
    group by book, hour
),

final as (
    select
        hours.hour,
        hours.book,
        hours.threshold_pct,
        hours.observations,
        coalesce(hours.breaches, uncounted.breaches, 0) as breaches,
        trim_scale(hours.coverage) as coverage
    from hours
    left join uncounted
        on
            hours.hour = uncounted.hour
            and hours.book = uncounted.book
)

select * from final
order by hour, book
