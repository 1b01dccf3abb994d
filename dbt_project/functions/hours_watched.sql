with

asked as (

    select
        book,
        from_text,
        to_text,
        with_first_hour
    from {{ function('book_named') }}(book_name)

),

-- As a value: the functions below name it more than once.
latest as materialized (

    select
        greatest(
            (select max(hours.hour) from {{ ref('spread_hourly') }} as hours),
            (
                select max(windows.window_start)
                from {{ ref('observation_coverage') }} as windows
            )
        ) as seen_at

),

period as (

    select
        asked.with_first_hour,
        {{ function('first_instant') }}(
            asked.from_text,
            asked.to_text,
            latest.seen_at,
            zones.reporting_timezone
        ) as first_instant,
        {{ function('last_instant') }}(
            asked.to_text, latest.seen_at, zones.reporting_timezone
        ) as last_instant
    from {{ ref('reporting_settings') }} as zones
    cross join asked
    cross join latest

),

bounds as (

    select
        last_instant,
        case
            when with_first_hour then date_trunc('hour', first_instant, 'UTC')
            else first_instant
        end as first_instant
    from period

),

observed_hours as (

    select
        book,
        hour,
        max(observations) as observations,
        max(breaches) filter (where threshold_pct = threshold) as breaches,
        max(coverage) as coverage
    from {{ ref('spread_hourly') }}
    where
        hour >= (select bounds.first_instant from bounds)
        and hour <= (select bounds.last_instant from bounds)
        and (book_name is null or book = (select asked.book from asked))
    group by book, hour

),

-- In those of the second kind nothing may have been observed.
known_hours as (

    select
        observed_hours.book,
        observed_hours.hour
    from observed_hours
    union distinct
    select
        windows.book,
        date_trunc('hour', windows.window_start, 'UTC') as hour
    from {{ ref('observation_coverage') }} as windows
    where
        window_start >= (select bounds.first_instant from bounds)
        and window_start <= (select bounds.last_instant from bounds)
        and (book_name is null or book = (select asked.book from asked))

),

books as (

    select distinct known_hours.book from known_hours

),

hours as (

    select
        generate_series(
            min(known_hours.hour), max(known_hours.hour), interval '1 hour'
        ) as hour
    from known_hours

),

hours_of_books as (

    select
        hours.hour,
        books.book,
        observed_hours.breaches,
        coalesce(observed_hours.observations, 0) as observations,
        coalesce(observed_hours.coverage, 0) as coverage
    from hours
    cross join books
    left join observed_hours
        on
            hours.hour = observed_hours.hour
            and books.book = observed_hours.book

)

select * from hours_of_books
