with

withdrawals as (

    select * from {{ ref('stg_snapshots__withdrawals') }}

)

select * from withdrawals
