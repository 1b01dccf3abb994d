{{ config(materialized='view') }}

with

received as (

    select * from {{ ref('stg_pipeline__unreadable') }}

),

in_snapshots as (

    select * from {{ ref('stg_snapshots__unreadable') }}

),

unreadable_records as (

    select
        received.source,
        received.reason,
        cast(sum(received.records) as bigint) as records
    from received
    group by 1, 2
    union all
    select
        in_snapshots.source,
        in_snapshots.reason,
        in_snapshots.records
    from in_snapshots

)

select * from unreadable_records
