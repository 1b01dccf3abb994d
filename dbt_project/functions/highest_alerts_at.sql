with

asked as (

    select
        as_of,
        is_now

),

episodes as (

    select
        live.book,
        live.threshold_pct,
        live.opened_at,
        live.closed_at
    from {{ ref('spread_alerts_live') }} as live
    where (select asked.is_now from asked)
    union all
    select
        modelled.book,
        modelled.threshold_pct,
        modelled.opened_at,
        modelled.closed_at
    from {{ ref('spread_alerts') }} as modelled
    where not (select asked.is_now from asked)

)

-- Thresholds contain each other: the highest says the most.
select distinct on (episodes.book)
    episodes.book,
    episodes.opened_at,
    trim_scale(episodes.threshold_pct) as threshold_pct
from episodes
where
    episodes.opened_at <= (select asked.as_of from asked)
    and coalesce(episodes.closed_at, 'infinity')
    > (select asked.as_of from asked)
order by episodes.book asc, episodes.threshold_pct desc
