{{ config(materialized='view') }}

with

feeds as (

    select
        feeds.feed,
        feeds.interval_seconds
    from {{ ref('feeds') }} as feeds

)

select * from feeds
