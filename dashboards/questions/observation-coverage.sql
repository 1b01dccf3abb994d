/*
title: Observation coverage
description: >-
  Whether a calm spread was seen or nobody looked: how many seconds of each
  ten minutes the stream was to observe a book, how many it observed, how many
  are missing, and the longest stretch without an observation. Windows of
  ten minutes between two instants, those of both ends included.
display: table
columns:
  window_start: {title: Ten minutes from}
  expected: {title: Expected, unit: s}
  observed: {title: Observed, unit: s}
  missing: {title: Missing, unit: s, warn: {operator: ">", value: 0}}
  longest_gap_seconds: {title: Longest gap, unit: s}
parameters:
  book:
    type: text
    unset: all books
    description: "One book, by any of its names."
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day with a window
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

observation_coverage as not materialized (
    select * from marts.observation_coverage
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
    select max(window_start) as seen_at from observation_coverage
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
            or book = (select asked.book from asked)
        )
)

select * from final
order by window_start, book
