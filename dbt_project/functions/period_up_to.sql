with

asked as (

    select
        from_text,
        to_text,
        latest,
        days

)

select
    zones.reporting_timezone,
    {{ function('first_instant') }}(
        asked.from_text,
        asked.to_text,
        asked.latest,
        zones.reporting_timezone,
        asked.days
    ) as first_instant,
    {{ function('last_instant') }}(
        asked.to_text, asked.latest, zones.reporting_timezone
    ) as last_instant
from asked
cross join {{ ref('reporting_settings') }} as zones
