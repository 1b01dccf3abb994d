with

withdrawals as (

    select * from {{ ref('stg_snapshots__withdrawals') }}

),

interfaces as (

    select distinct withdrawals.interface
    from withdrawals

)

select * from interfaces
