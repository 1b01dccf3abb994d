{{ config(materialized='view') }}

with

mutes as (

    select * from {{ ref('stg_pipeline__alert_mutes') }}

),

lasting as (

    select
        coalesce(mutes.book, 'all') as book,
        min(mutes.muted_from) as muted_from,
        max(mutes.muted_until) as muted_until
    from mutes
    where mutes.muted_until > now()
    group by 1

)

select * from lasting
