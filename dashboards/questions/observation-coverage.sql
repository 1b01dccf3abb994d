/*
title: Observation coverage
description: >-
  Whether a calm spread was seen or nobody looked: how many seconds of each
  ten minutes a book was to be observed, how many it was, how many are missing,
  and the longest stretch without an observation. Windows of
  ten minutes between two instants, those of both ends included.
display: table
data: market
columns:
  window_start: {title: Ten minutes from}
  expected: {title: Expected, unit: s}
  observed: {title: Observed, unit: s}
  missing: {title: Missing, unit: s, warn: {operator: ">", value: 0}}
  longest_gap_seconds: {title: Longest gap, unit: s}
parameters:
  book: any_book
  from: from_instant
  to: {like: to_instant, unset: the latest day with a window}
*/
with

observation_coverage as not materialized (
    select * from marts.observation_coverage
),

latest as (
    select max(window_start) as seen_at from observation_coverage
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
        book,
        window_start,
        expected,
        observed,
        missing,
        longest_gap_seconds
    from observation_coverage
    where
        window_start
        > (select period.first_instant from period) - interval '10 minutes'
        and window_start <= (select period.last_instant from period)
        and (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
)

select * from final
order by window_start, book
