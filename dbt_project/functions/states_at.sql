with

seen as materialized (

    select * from {{ function('spread_at') }}(as_of_text)

),

moment as (

    select
        coalesce(max(as_of) = now(), false) as is_now,
        max(as_of) as as_of
    from seen

),

usual as (

    select usual_spread.*
    from moment
    cross join
        lateral {{ function('usual_spread') }}(moment.as_of) as usual_spread

),

open_alerts as (

    select highest_alerts.*
    from moment
    cross join
        lateral {{ function('highest_alerts_at') }}(
            moment.as_of, moment.is_now
        ) as highest_alerts

),

lost as (

    select lost_alerts.*
    from moment
    cross join
        lateral {{ function('lost_alerts_at') }}(
            moment.as_of, moment.is_now
        ) as lost_alerts

),

told as (

    select
        messages.book,
        max(messages.told_at) as last_told_at
    from {{ ref('alert_messages') }} as messages
    where messages.told_at <= (select moment.as_of from moment)
    group by messages.book

),

mutes as (

    select * from {{ ref('muted_books') }}

),

states as (

    select
        seen.book,
        seen.observed_at,
        seen.age_seconds,
        usual.median as median_24h,
        usual.p95 as p95_24h,
        usual.p99 as p99_24h,
        open_alerts.threshold_pct as above_pct,
        open_alerts.opened_at as open_since,
        told.last_told_at,
        trim_scale(seen.bid) as bid,
        trim_scale(seen.ask) as ask,
        trim_scale(seen.spread) as spread,
        case
            -- Crossed, nobody knows what the market is.
            when seen.is_blind or seen.bid > seen.ask then 'blind'
            -- Above it when it was last seen, and not seen again.
            when lost.last_observed_at >= seen.observed_at then 'blind'
            when open_alerts.opened_at is not null then 'above'
            -- No alert can open: that none is open says nothing.
            when seen.book not in (
                select thresholds.book
                from {{ ref('book_thresholds') }} as thresholds
            ) then 'unwatched'
            else 'calm'
        end as state,
        (
            select max(mutes.muted_until)
            from mutes
            where mutes.book in (seen.book, 'all')
        ) as muted_until
    from seen
    left join usual
        on seen.book = usual.book
    left join open_alerts
        on seen.book = open_alerts.book
    left join lost
        on seen.book = lost.book
    left join told
        on seen.book = told.book

)

select
    states.book,
    states.state,
    states.bid,
    states.ask,
    states.spread,
    states.observed_at,
    states.age_seconds,
    states.median_24h,
    states.p95_24h,
    states.p99_24h,
    states.above_pct,
    states.open_since,
    states.last_told_at,
    states.muted_until
from states
