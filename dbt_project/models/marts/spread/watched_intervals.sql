{{ config(materialized='view') }}

with

monitored as (

    select * from {{ ref('stg_pipeline__monitored') }}

),

-- With adjoining time in one row.
monitored_time as (

    select * from {{ ref('stg_pipeline__monitored_time') }}

),

watched_intervals as (

    select
        monitored_time.feed,
        monitored_time.books,
        monitored_time.interval_seconds,
        monitored_time.monitored_from,
        monitored_time.monitored_until
    from monitored_time
    union all
    select
        monitored.feed,
        monitored.books,
        monitored.interval_seconds,
        monitored.monitored_from,
        monitored.monitored_until
    from monitored
    where not monitored.is_merged

)

select * from watched_intervals
