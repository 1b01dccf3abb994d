/*
title: Coverage by hour
description: >-
  The share of each hour that was observed, a line for each book: 100 % of a
  calm hour was seen, 0 % of one in which nobody looked. A slot is as long as
  the interval of the book's fastest feed.
display: line
chart:
  x: hour
  y: [coverage_pct]
  y_max: 100
  series: book
columns:
  hour: {title: Hour}
  coverage_pct: {title: Observed, unit: "%", decimals: 1}
parameters:
  book:
    type: text
    unset: all books
    description: One book, by any of its names.
  from:
    type: date
    unset: six days before the day of to
    description: First day (reporting time zone).
  to:
    type: date
    unset: the latest day that was observed or should have been
    description: Last day (reporting time zone).
*/
with

spread_hourly as not materialized (
    select * from marts.spread_hourly
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
    select
        greatest(
            (select max(hour) from spread_hourly),
            (select max(window_start) from observation_coverage)
        ) as seen_at
),

last_day as (
    select
        reporting_settings.reporting_timezone,
        coalesce(
            cast(:to as date),
            cast(
                latest.seen_at
                at time zone reporting_settings.reporting_timezone
                as date
            )
        ) as last_date
    from marts.reporting_settings as reporting_settings
    cross join latest
),

bounds as (
    select
        cast(coalesce(cast(:from as date), last_date - 6) as timestamp)
        at time zone reporting_timezone as first_instant,
        cast(last_date + 1 as timestamp)
        at time zone reporting_timezone as end_instant
    from last_day
),

-- Coverage does not change with the threshold: any one will do.
observed_hours as (
    select
        book,
        hour,
        max(coverage) as coverage
    from spread_hourly
    where
        hour >= (select bounds.first_instant from bounds)
        and hour < (select bounds.end_instant from bounds)
    group by book, hour
),

watched_hours as (
    select distinct
        book,
        date_trunc('hour', window_start, 'UTC') as hour
    from observation_coverage
    where
        window_start >= (select bounds.first_instant from bounds)
        and window_start < (select bounds.end_instant from bounds)
),

known_hours as (
    select
        observed_hours.book,
        observed_hours.hour,
        observed_hours.coverage
    from observed_hours
    union all
    select
        watched_hours.book,
        watched_hours.hour,
        cast(0 as numeric) as coverage
    from watched_hours
),

hours as (
    select
        generate_series(
            min(known_hours.hour), max(known_hours.hour), interval '1 hour'
        ) as hour
    from known_hours
),

books as (
    select distinct known_hours.book
    from known_hours
    where
        cast(:book as text) is null
        or known_hours.book = (select asked.book from asked)
),

final as (
    select
        hours.hour,
        books.book,
        trim_scale(
            round(coalesce(max(known_hours.coverage), 0) * 100, 2)
        ) as coverage_pct
    from hours
    cross join books
    left join known_hours
        on
            hours.hour = known_hours.hour
            and books.book = known_hours.book
    group by hours.hour, books.book
)

select * from final
order by hour, book
