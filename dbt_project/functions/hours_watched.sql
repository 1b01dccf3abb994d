with

spread_hourly as not materialized (

    select * from {{ ref('spread_hourly') }}

),

observation_coverage as not materialized (

    select * from {{ ref('observation_coverage') }}

),

asked as (

    select
        book,
        from_text,
        to_text,
        with_first_hour
    from {{ function('book_named') }}(book_name)

),

latest as (

    select
        greatest(
            (select max(spread_hourly.hour) from spread_hourly),
            (select max(window_start) from observation_coverage)
        ) as seen_at

),

period as (

    select
        period.last_instant,
        case
            when asked.with_first_hour
                then date_trunc('hour', period.first_instant, 'UTC')
            else period.first_instant
        end as first_instant
    from asked
    cross join latest
    cross join
        lateral {{ function('period') }}(
            asked.from_text, asked.to_text, latest.seen_at
        ) as period

),

observed_hours as (

    select
        book,
        hour,
        max(observations) as observations,
        max(breaches) filter (where threshold_pct = threshold) as breaches,
        max(coverage) as coverage
    from spread_hourly
    where
        hour >= (select period.first_instant from period)
        and hour <= (select period.last_instant from period)
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
        observation_coverage.book,
        date_trunc('hour', observation_coverage.window_start, 'UTC') as hour
    from observation_coverage
    where
        window_start >= (select period.first_instant from period)
        and window_start <= (select period.last_instant from period)
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
