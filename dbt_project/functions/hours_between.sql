with

-- As a value: the functions below name it more than once.
latest as materialized (

    select
        greatest(
            (select max(hour) from {{ ref('spread_hourly') }}),
            (select max(window_start) from {{ ref('observation_coverage') }})
        ) as seen_at

)

select
    date_trunc(
        'hour',
        {{ function('first_instant') }}(
            from_text, to_text, latest.seen_at, zones.reporting_timezone
        )
        + case
            when with_first_hour then interval '0'
            else interval '59 minutes 59.999999 seconds'
        end,
        'UTC'
    ) as first_hour,
    date_trunc(
        'hour',
        {{ function('last_instant') }}(
            to_text, latest.seen_at, zones.reporting_timezone
        ) + interval '1 hour',
        'UTC'
    ) as end_hour
from {{ ref('reporting_settings') }} as zones
cross join latest
