with

events as (

    select * from {{ ref('stg_snapshots__events') }}

)

select * from events
