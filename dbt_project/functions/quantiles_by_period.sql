-- Of each quantile the middle of its step.
with

chosen as (

    select
        book,
        hour,
        step,
        observations,
        {{ function('period_of_hour') }}(
            hour, period_kind, time_zone
        ) as period
    from {{ ref('spread_histogram') }}
    where hour >= first_hour and hour < end_hour

),

counted as (

    select
        chosen.book,
        chosen.period,
        chosen.step,
        sum(chosen.observations) as observations
    from chosen
    group by chosen.book, chosen.period, chosen.step

),

running as (

    select
        counted.*,
        sum(counted.observations) over (
            partition by counted.book, counted.period order by counted.step
        ) as up_to,
        sum(counted.observations) over (
            partition by counted.book, counted.period
        ) as total
    from counted

),

quantiles as (

    select
        running.book,
        running.period,
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
    group by running.book, running.period

)

select
    quantiles.book,
    quantiles.period,
    trim_scale(quantiles.median) as median,
    trim_scale(quantiles.p95) as p95,
    trim_scale(quantiles.p99) as p99
from quantiles
