/*
title: Spread breaches
description: >-
  How many times in each hour the spread of a book was above a threshold,
  any value, between two instants. Hours are whole, those of both ends
  included, and every book of the period has a row for every one, from the
  first to the last that was observed or should have been. Coverage is the
  share of the hour, 0 to 1, that was observed: of its slots, each as long as
  the interval of its fastest feed, those with an observation.
display: bar
chart:
  x: hour
  y: [breaches]
  series: book
  stacked: true
columns:
  breaches: {title: Breaches}
parameters:
  book:
    type: text
    unset: all books
    description: "One book, by any of its names."
  threshold:
    type: text
    default: "0.1"
    description: In percent of the ask; only bigger spreads count.
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day that was observed or should have been
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

spread_hourly as not materialized (
    select * from marts.spread_hourly
),

spread_observations as not materialized (
    select * from marts.spread_observations
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
            (select max(window_start) from marts.observation_coverage)
        ) as seen_at
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

-- One of the thresholds that are counted already, or none.
counted as (
    select coalesce(
        (
            select cast(:threshold as numeric)
            where
                exists (
                    select 1 from spread_hourly
                    where threshold_pct = cast(:threshold as numeric)
                )
        ),
        (select min(threshold_pct) from spread_hourly)
    ) as threshold_pct
),

observed_hours as (
    select
        book,
        hour,
        observations,
        breaches,
        coverage
    from spread_hourly
    where
        threshold_pct = (select counted.threshold_pct from counted)
        and hour
        > (select period.first_instant from period) - interval '1 hour'
        and hour <= (select period.last_instant from period)
        and (
            cast(:book as text) is null
            or book = (select asked.book from asked)
        )
),

-- In which nothing may have been observed.
watched_hours as (
    select
        book,
        date_trunc('hour', window_start, 'UTC') as hour
    from marts.observation_coverage
    where
        window_start
        > (select period.first_instant from period) - interval '1 hour'
        and date_trunc('hour', window_start, 'UTC')
        > (select period.first_instant from period) - interval '1 hour'
        and window_start <= (select period.last_instant from period)
        and (
            cast(:book as text) is null
            or book = (select asked.book from asked)
        )
),

known_hours as (
    select
        observed_hours.book,
        observed_hours.hour
    from observed_hours
    union distinct
    select
        watched_hours.book,
        watched_hours.hour
    from watched_hours
),

bounds as (
    select
        min(known_hours.hour) as first_hour,
        max(known_hours.hour) as last_hour
    from known_hours
),

-- Any other threshold is counted here.
uncounted_hours as (
    select
        spread_observations.book,
        date_trunc(
            'hour', spread_observations.orderbook_timestamp, 'UTC'
        ) as hour,
        count(*) as breaches
    from spread_observations
    where
        (select counted.threshold_pct from counted)
        <> cast(:threshold as numeric)
        and spread_observations.orderbook_timestamp
        >= (select bounds.first_hour from bounds)
        and spread_observations.orderbook_timestamp
        < (select bounds.last_hour from bounds) + interval '1 hour'
        and (
            cast(:book as text) is null
            or spread_observations.book = (select asked.book from asked)
        )
        and spread_observations.is_primary
        and (spread_observations.ask - spread_observations.bid) * 100
        > cast(:threshold as numeric) * spread_observations.ask
    group by spread_observations.book, hour
),

hours as (
    select series.hour
    from bounds
    cross join
        generate_series(
            bounds.first_hour, bounds.last_hour, interval '1 hour'
        ) as series (hour)
),

books as (
    select distinct known_hours.book
    from known_hours
),

final as (
    select
        hours.hour,
        books.book,
        trim_scale(cast(:threshold as numeric)) as threshold_pct,
        coalesce(observed_hours.observations, 0) as observations,
        coalesce(
            case counted.threshold_pct
                when cast(:threshold as numeric) then observed_hours.breaches
                else uncounted_hours.breaches
            end,
            0
        ) as breaches,
        trim_scale(coalesce(observed_hours.coverage, 0)) as coverage
    from hours
    cross join books
    cross join counted
    left join observed_hours
        on
            hours.hour = observed_hours.hour
            and books.book = observed_hours.book
    left join uncounted_hours
        on
            hours.hour = uncounted_hours.hour
            and books.book = uncounted_hours.book
)

select * from final
order by hour, book
