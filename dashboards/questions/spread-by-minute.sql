/*
title: Spread by minute
description: >-
  The largest spread of each minute of a day in percent of the ask, a line for
  each book. A minute in which nothing was observed has no point.
display: line
chart:
  x: minute
  y: [peak_spread_pct]
  series: book
  goal: {value: 0.1, label: 0.1 %}
columns:
  minute: {title: Time}
  peak_spread_pct: {title: Largest spread, unit: "%", decimals: 3}
parameters:
  book:
    type: text
    unset: all books
    description: One book, by any of its names.
  to:
    type: date
    unset: the latest day with an observation
    description: The day (reporting time zone).
*/
with

spread_observations as not materialized (
    select * from marts.spread_observations
),

reporting_settings as (
    select * from marts.reporting_settings
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
    select max(spread_observations.orderbook_timestamp) as seen_at
    from spread_observations
    where
        cast(:book as text) is null
        or spread_observations.book = (select asked.book from asked)
),

-- Midnights of the reporting time zone, as it has no time of its own.
midnight as (
    select
        reporting_settings.reporting_timezone,
        coalesce(
            cast(:to as date),
            cast(
                latest.seen_at
                at time zone reporting_settings.reporting_timezone
                as date
            )
        ) as asked_day
    from reporting_settings
    cross join latest
),

bounds as (
    select
        cast(asked_day as timestamp)
        at time zone reporting_timezone as first_instant,
        cast(asked_day + 1 as timestamp)
        at time zone reporting_timezone as end_instant
    from midnight
),

final as (
    select
        book,
        date_trunc('minute', orderbook_timestamp) as minute,
        trim_scale(round(max(spread), 6)) as peak_spread_pct
    from spread_observations
    where
        orderbook_timestamp >= (select bounds.first_instant from bounds)
        and orderbook_timestamp < (select bounds.end_instant from bounds)
        and (
            cast(:book as text) is null
            or book = (select asked.book from asked)
        )
        and is_primary
    group by book, minute
)

select * from final
order by minute, book
