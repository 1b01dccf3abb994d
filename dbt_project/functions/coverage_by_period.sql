with

chosen as (

    select
        book,
        observed,
        expected,
        {{ function('period_of_hour') }}(
            date_trunc('hour', window_start, 'UTC'), period_kind, time_zone
        ) as period
    from {{ ref('observation_coverage') }}
    where window_start >= first_hour and window_start < end_hour

)

select
    chosen.book,
    chosen.period,
    {{ coverage_of('chosen') }} as coverage
from chosen
group by chosen.book, chosen.period
