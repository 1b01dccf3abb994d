{{ config(materialized='view') }}

with

watched as (

    select * from {{ ref('book_thresholds') }}

),

episodes as (

    select * from {{ ref('spread_alerts') }}

),

thresholds as (

    select trim_scale(watched.threshold_pct) as threshold_pct
    from watched
    union distinct
    select trim_scale(episodes.threshold_pct) as threshold_pct
    from episodes

)

select * from thresholds
