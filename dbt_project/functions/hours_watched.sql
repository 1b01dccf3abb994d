with

asked as (

    select book
    from {{ function('book_named') }}(book_name)

),

bounds as (

    select * from {{ function('hours_between') }}(
        from_text, to_text, with_first_hour
    )

),

observed_hours as (

    select
        book,
        hour,
        max(observations) as observations,
        max(breaches) filter (where threshold_pct = threshold) as breaches
    from {{ ref('spread_hourly') }}
    where
        hour >= (select bounds.first_hour from bounds)
        and hour < (select bounds.end_hour from bounds)
        and (book_name is null or book = (select asked.book from asked))
    group by book, hour

),

watched_hours as (

    select
        book,
        date_trunc('hour', window_start, 'UTC') as hour,
        cast(sum(observed) as numeric) / sum(expected) as coverage
    from {{ ref('observation_coverage') }}
    where
        window_start >= (select bounds.first_hour from bounds)
        and window_start < (select bounds.end_hour from bounds)
        and (book_name is null or book = (select asked.book from asked))
    group by book, hour

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

books as (

    select distinct known_hours.book from known_hours

),

hours as (

    select generate_series(min(hour), max(hour), interval '1 hour') as hour
    from known_hours

),

-- Where nothing was to be seen, coverage is not known.
hours_of_books as (

    select
        hours.hour,
        books.book,
        observed_hours.breaches,
        coalesce(observed_hours.observations, 0) as observations,
        round(watched_hours.coverage, 6) as coverage
    from hours
    cross join books
    left join observed_hours
        on hours.hour = observed_hours.hour and books.book = observed_hours.book
    left join watched_hours
        on hours.hour = watched_hours.hour and books.book = watched_hours.book

)

select * from hours_of_books
