{{ config(materialized='view') }}

with

runs as (

    select
        runs.run_id,
        runs.job,
        runs.started_at,
        runs.finished_at,
        runs.status,
        runs.rows_read,
        runs.rows_inserted,
        runs.rows_duplicate,
        runs.rows_quarantined
    from {{ ref('stg_pipeline__runs') }} as runs

)

select * from runs
