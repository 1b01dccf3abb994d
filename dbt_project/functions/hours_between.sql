with

asked as (

    select
        from_text,
        to_text,
        case
            when with_first_hour then interval '0'
            else interval '59 minutes 59.999999 seconds'
        end as skipped

),

-- As a value: the functions below name it more than once. Of each book by
-- index: to go through all hours of years takes longer than any answer.
latest as materialized (

    select
        greatest(
            (
                select max(newest.hour)
                from {{ ref('observed_books') }} as known
                cross join
                    lateral (
                        select max(hourly.hour) as hour
                        from {{ ref('spread_hourly') }} as hourly
                        where hourly.book = known.book
                    ) as newest
            ),
            (select max(window_start) from {{ ref('observation_coverage') }})
        ) as seen_at

)

select
    date_trunc(
        'hour',
        {{ function('first_instant') }}(
            asked.from_text,
            asked.to_text,
            latest.seen_at,
            zones.reporting_timezone
        ) + asked.skipped,
        'UTC'
    ) as first_hour,
    date_trunc(
        'hour',
        {{ function('last_instant') }}(
            asked.to_text, latest.seen_at, zones.reporting_timezone
        ) + interval '1 hour',
        'UTC'
    ) as end_hour
from asked
cross join {{ ref('reporting_settings') }} as zones
cross join latest
