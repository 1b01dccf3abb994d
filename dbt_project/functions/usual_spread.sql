-- Of each quantile the middle of its step.
with

counted as (

    select
        book,
        step,
        sum(observations) as observations
    from {{ ref('spread_histogram') }}
    where
        hour >= date_trunc('hour', as_of, 'UTC') - interval '24 hours'
        and hour < date_trunc('hour', as_of, 'UTC')
    group by book, step

),

running as (

    select
        counted.book,
        counted.step,
        sum(counted.observations) over (
            partition by counted.book order by counted.step
        ) as up_to,
        sum(counted.observations) over (partition by counted.book) as total
    from counted

),

quantiles as (

    select
        running.book,
        (
            min(running.step)
            filter (where running.up_to >= 0.5 * running.total) + 0.5
        ) / 1000 as median,
        (
            min(running.step)
            filter (where running.up_to >= 0.95 * running.total) + 0.5
        ) / 1000 as p95,
        (
            min(running.step)
            filter (where running.up_to >= 0.99 * running.total) + 0.5
        ) / 1000 as p99
    from running
    group by running.book

)

select
    quantiles.book,
    trim_scale(quantiles.median) as median,
    trim_scale(quantiles.p95) as p95,
    trim_scale(quantiles.p99) as p99
from quantiles
