with

asked as (

    select
        as_of,
        is_now

),

ended as (

    select
        live.book,
        live.last_observed_at,
        live.closed_at,
        live.close_reason
    from {{ ref('spread_alerts_live') }} as live
    where (select asked.is_now from asked)
    union all
    select
        modelled.book,
        modelled.last_observed_at,
        modelled.closed_at,
        modelled.close_reason
    from {{ ref('spread_alerts') }} as modelled
    where not (select asked.is_now from asked)

)

select
    ended.book,
    max(ended.last_observed_at) as last_observed_at
from ended
where
    ended.close_reason = 'blind'
    and ended.closed_at <= (select asked.as_of from asked)
group by ended.book
