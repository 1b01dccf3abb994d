{{ config(materialized='view') }}

with

feeds as (

    select * from {{ ref('feeds') }}

),

settings as (

    select * from {{ ref('reporting_settings') }}

),

feed_limits as (

    select
        feeds.feed,
        feeds.interval_seconds,
        {{ blind_after_seconds('feeds.interval_seconds') }}
            as blind_after_seconds
    from feeds
    cross join settings as limits

)

select * from feed_limits
