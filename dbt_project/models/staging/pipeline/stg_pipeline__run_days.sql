with

run_days as (

    select * from {{ source('pipeline', 'run_days') }}

),

renamed as (

    select
        ---------- ids
        run_days.began_on,
        run_days.job,
        run_days.status,

        ---------- numerics
        run_days.runs,
        run_days.rows_read,
        run_days.rows_inserted,
        run_days.rows_duplicate,
        run_days.rows_quarantined
    from run_days

)

select * from renamed
