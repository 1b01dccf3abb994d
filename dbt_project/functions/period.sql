with

period_end as (

    select
        reporting_timezone,
        {{ function('last_instant') }}(
            to_text, latest, reporting_timezone
        ) as last_instant
    from {{ ref('reporting_settings') }}

),

period as (

    select
        last_instant,
        {{ function('first_instant') }}(
            from_text, last_instant, reporting_timezone, days
        ) as first_instant
    from period_end

)

select
    first_instant,
    last_instant
from period
