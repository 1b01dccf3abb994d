select
    quantiles.book,
    quantiles.median,
    quantiles.p95,
    quantiles.p99
from {{ function('quantiles_by_period') }}(
    date_trunc('hour', as_of, 'UTC') - interval '24 hours',
    date_trunc('hour', as_of, 'UTC'),
    'whole',
    'UTC'
) as quantiles
