with

runs as (

    select * from {{ source('pipeline', 'runs') }}

),

renamed as (

    select
        ---------- ids
        runs.run_id,

        ---------- strings
        runs.job,
        runs.status,
        runs.error,

        ---------- numerics
        runs.rows_read,
        runs.rows_inserted,
        runs.rows_duplicate,
        runs.rows_quarantined,

        ---------- timestamps
        runs.started_at,
        runs.finished_at
    from runs

)

select * from renamed
