/*
title: Spread quality
description: >-
  How wide the spread of each book was, hour by hour, day by day, or by the
  hour of the day, in percent of the ask: the average weighted by time, the
  median and the spread that 95 and 99 of 100 observations stay below (exact
  to 0.0005 %), the largest, and how many seconds it was above each of the
  three lowest thresholds of the book. A spread holds until the next
  observation, at most until its feed looks again: time that nobody saw is
  in none of these, and coverage, 0 to 1, says how much of it was seen. Hours
  are whole, those of both ends included; days and hours of the day are those
  of the reporting time zone.
display: table
data: market
columns:
  coverage: {warn: {operator: "<", value: 0.99}}
  average_spread: {unit: "%", decimals: 3}
  median: {unit: "%", decimals: 3}
  p95: {title: 95 of 100 below, unit: "%", decimals: 3}
  p99: {title: 99 of 100 below, unit: "%", decimals: 3}
  largest: {unit: "%", decimals: 3}
  seconds_above_1: {title: Above lowest threshold, unit: s}
  seconds_above_2: {title: Above second threshold, unit: s}
  seconds_above_3: {title: Above third threshold, unit: s}
parameters:
  book: any_book
  from: from_instant
  to:
    like: to_instant
    unset: the latest day that was observed or should have been
  by:
    type: text
    choices: [hour, day, hour_of_day]
    default: hour
    description: What a row is about.
*/
with

final as (
    select
        period,
        book,
        coverage,
        average_spread,
        median,
        p95,
        p99,
        largest,
        seconds_above_1,
        seconds_above_2,
        seconds_above_3
    from marts.spread_quality_of(
        :book, cast(:from as text), cast(:to as text), :by
    )
)

select * from final
order by period, book
