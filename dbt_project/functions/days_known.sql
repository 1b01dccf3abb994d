with

asked as (

    select
        greatest(
            coalesce(from_day, coalesce(to_day, last_day) - 89), first_day
        ) as from_date,
        least(coalesce(to_day, last_day), last_day) as to_date

)

select
    cast(
        generate_series(
            cast(from_date as timestamp),
            cast(to_date as timestamp),
            interval '1 day'
        ) as date
    ) as known_day
from asked
