{{ config(materialized='view') }}

with

deliveries as (

    select * from {{ ref('stg_pipeline__alert_deliveries') }}

),

-- Who gave no answer may have heard it, and may not.
messages as (

    select
        ---------- ids
        deliveries.book,
        deliveries.threshold_pct,
        deliveries.opened_at,
        deliveries.episode_event,
        deliveries.channel,
        deliveries.address,

        ---------- numerics
        count(*) filter (where deliveries.attempt > 0) as attempts,
        count(*) filter (
            where deliveries.status in ('sent', 'unknown')
        ) as times_told,

        ---------- timestamps
        min(deliveries.finished_at) filter (
            where deliveries.status = 'sent'
        ) as told_at,

        ---------- strings
        (array_agg(deliveries.status order by deliveries.attempt desc))[1]
            as last_status
    from deliveries
    group by
        deliveries.book,
        deliveries.threshold_pct,
        deliveries.opened_at,
        deliveries.episode_event,
        deliveries.channel,
        deliveries.address

)

select * from messages
