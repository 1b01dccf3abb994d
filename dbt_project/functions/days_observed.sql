with

asked as (

    select * from {{ function('period_of_book') }}(
        book_name, from_text, to_text
    )

),

period as (

    select
        asked.book,
        asked.reporting_timezone,
        greatest(asked.first_instant, known.first_observed_at) as first_instant,
        least(asked.last_instant, known.last_observed_at) as last_instant
    from asked
    inner join {{ ref('observed_books') }} as known
        on asked.book = known.book

),

days as (

    select
        period.*,
        cast(
            generate_series(
                cast(
                    cast(
                        period.first_instant
                        at time zone period.reporting_timezone
                        as date
                    ) as timestamp
                ),
                period.last_instant at time zone period.reporting_timezone,
                interval '1 day'
            ) as date
        ) as known_day
    from period

)

-- By index: one probe a day.
select days.known_day
from days
where
    exists (
        select 1
        from {{ ref('spread_observations') }} as observed
        where
            observed.book = days.book
            and observed.orderbook_timestamp >= greatest(
                days.first_instant,
                {{ function('first_instant') }}(
                    cast(days.known_day as text),
                    null,
                    null,
                    days.reporting_timezone
                )
            )
            and observed.orderbook_timestamp <= least(
                days.last_instant,
                {{ function('last_instant') }}(
                    cast(days.known_day as text), null, days.reporting_timezone
                )
            )
    )
