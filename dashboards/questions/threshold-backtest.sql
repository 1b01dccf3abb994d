/*
title: Threshold backtest
description: >-
  The alerts that a book would have had with a threshold, any value, by the
  definition of spread alerts: how many opened on each day, how long they were
  open (an open one up to its last observation), the longest of them, and the
  largest spread in them. An alert counts whole on the day that it opened. A
  day on which the book was not observed has no row: it was not calm but unseen.
display: table
data: market
columns:
  seconds_above: {title: Open, unit: s}
  longest_seconds: {title: Longest, unit: s}
  largest_spread: {unit: "%", decimals: 3}
parameters:
  book: one_book
  threshold:
    type: number
    default: "0.1"
    description: In percent of the ask; only bigger spreads count.
  from: from_instant
  to: {like: to_instant, unset: the latest day with an observation of the book}
  min_observations:
    type: integer
    minimum: 1
    default: 1
    description: How many observations above it in a row open an alert.
  close_below:
    type: number
    unset: the threshold
    at_most: threshold
    description: An alert goes on while the spread is bigger than that.
*/
with

tested as (
    select *
    from
        marts.backtested_alerts(
            :book,
            cast(:threshold as numeric),
            cast(:close_below as numeric),
            cast(:min_observations as integer),
            cast(:from as text),
            cast(:to as text)
        )
),

alerts as (
    select
        tested.peak_spread,
        cast(
            tested.opened_at at time zone period.reporting_timezone as date
        ) as day,
        extract(
            epoch from coalesce(tested.closed_at, tested.last_observed_at)
            - tested.opened_at
        ) as seconds
    from tested
    inner join
        marts.period_of_book(
            :book, cast(:from as text), cast(:to as text)
        ) as period
        on tested.opened_at >= period.first_instant
),

days as (
    select known_day as day
    from marts.days_observed(:book, cast(:from as text), cast(:to as text))
),

final as (
    select
        days.day,
        count(alerts.day) as alerts,
        trim_scale(coalesce(sum(alerts.seconds), 0)) as seconds_above,
        trim_scale(coalesce(max(alerts.seconds), 0)) as longest_seconds,
        trim_scale(max(alerts.peak_spread)) as largest_spread
    from days
    left join alerts
        on days.day = alerts.day
    group by days.day
)

select * from final
order by day
