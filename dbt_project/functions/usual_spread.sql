with

asked as (

    select date_trunc('hour', as_of, 'UTC') as hour

)

select
    quantiles.book,
    quantiles.median,
    quantiles.p95,
    quantiles.p99
from asked
cross join
    lateral {{ function('quantiles_by_period') }}(
        asked.hour - interval '24 hours', asked.hour, 'whole', 'UTC'
    ) as quantiles
