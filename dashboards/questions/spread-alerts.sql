/*
title: Spread alerts
description: >-
  The stretches of time in which the spread of a book was above a threshold
  that is watched, of those that were open between two instants, both
  included.
display: table
data: market
calm_over_days: 7
columns:
  threshold_pct: {title: Threshold, unit: "%"}
  peak_spread: {title: Largest spread, unit: "%", decimals: 3}
  close_reason: {title: Closed because, warn: {operator: "=", value: blind}}
parameters:
  book: any_book
  threshold:
    type: number
    unset: all thresholds
    description: One threshold that is or was watched, in percent of the ask.
    known: {table: known_thresholds, column: threshold_pct}
  from: from_instant
  to: {like: to_instant, unset: the latest day on which an alert opened}
*/
with

spread_alerts as (
    select * from marts.spread_alerts
),

latest as (
    select max(opened_at) as seen_at from spread_alerts
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

chosen as (
    select
        book,
        opened_at,
        closed_at,
        observations,
        close_reason,
        trim_scale(threshold_pct) as threshold_pct,
        trim_scale(peak_spread) as peak_spread
    from spread_alerts
    where
        opened_at <= (select period.last_instant from period)
        and coalesce(closed_at, 'infinity')
        >= (select period.first_instant from period)
        and (
            cast(:book as text) is null
            or book = (select named.book from marts.book_named(:book) as named)
        )
        and (
            cast(:threshold as numeric) is null
            or threshold_pct = cast(:threshold as numeric)
        )
),

final as (
    select
        book,
        threshold_pct,
        opened_at,
        closed_at,
        peak_spread,
        observations,
        close_reason
    from chosen
)

select * from final
order by opened_at, book, threshold_pct
