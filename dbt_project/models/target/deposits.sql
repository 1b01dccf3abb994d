with

deposits as (

    select * from {{ ref('stg_snapshots__deposits') }}

)

select * from deposits
