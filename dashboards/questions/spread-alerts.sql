/*
title: Spread alerts
description: >-
  The stretches of time in which the spread of a book was above a threshold
  that is watched, of those that were open between two instants, both
  included.
display: table
columns:
  threshold_pct: {title: Threshold, unit: "%"}
  peak_spread: {title: Largest spread, unit: "%", decimals: 3}
  close_reason: {title: Closed because, warn: {operator: "=", value: blind}}
parameters:
  book:
    type: text
    unset: all books
    description: "One book, by any of its names."
  threshold:
    type: text
    unset: all thresholds
    description: One threshold, in percent of the ask.
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day on which an alert opened
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

spread_alerts as (
    select * from marts.spread_alerts
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
    select max(opened_at) as seen_at from spread_alerts
),

-- An instant is longer than a date, and is the last one itself.
period_end as (
    select
        reporting_settings.reporting_timezone,
        case
            when length(cast(:to as text)) > 10
                then cast(:to as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:to as date),
                        cast(
                            latest.seen_at
                            at time zone reporting_settings.reporting_timezone
                            as date
                        )
                    ) + 1 as timestamp
                ) at time zone reporting_settings.reporting_timezone
                - interval '1 microsecond'
        end as last_instant
    from reporting_settings
    cross join latest
),

period as (
    select
        last_instant,
        case
            when length(cast(:from as text)) > 10
                then cast(:from as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:from as date),
                        cast(
                            last_instant at time zone reporting_timezone
                            as date
                        ) - 6
                    ) as timestamp
                ) at time zone reporting_timezone
        end as first_instant
    from period_end
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
            or book = (select asked.book from asked)
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
