/*
title: Spread observations
description: >-
  What was seen of a book between two instants, both included: best bid, best
  ask and the spread in percent of the ask, from the best feed of each second.
display: table
data: market
columns:
  spread: {unit: "%", decimals: 6}
parameters:
  book: one_book
  from: from_instant
  to: {like: to_instant, unset: the latest day with an observation of the book}
*/
with

spread_observations as not materialized (
    select * from marts.spread_observations
),

asked as (
    select * from marts.book_named(:book)
),

latest as (
    select max(orderbook_timestamp) as seen_at
    from spread_observations
    where book = (select asked.book from asked)
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

final as (
    select
        orderbook_timestamp,
        book,
        trim_scale(bid) as bid,
        trim_scale(ask) as ask,
        trim_scale(spread) as spread
    from spread_observations
    where
        book = (select asked.book from asked)
        and orderbook_timestamp >= (select period.first_instant from period)
        and orderbook_timestamp <= (select period.last_instant from period)
        and is_primary
)

select * from final
order by orderbook_timestamp, book, bid, ask
