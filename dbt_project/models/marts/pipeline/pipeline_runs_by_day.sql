{{ config(materialized='view') }}

with

runs as (

    select
        runs.job,
        runs.status,
        1 as runs,
        runs.rows_read,
        runs.rows_inserted,
        runs.rows_duplicate,
        runs.rows_quarantined,
        {{ reporting_date('runs.started_at') }} as began_on
    from {{ ref('stg_pipeline__runs') }} as runs

),

folded_runs as (

    select * from {{ ref('stg_pipeline__run_days') }}

),

all_runs as (

    select
        runs.began_on,
        runs.job,
        runs.status,
        runs.runs,
        runs.rows_read,
        runs.rows_inserted,
        runs.rows_duplicate,
        runs.rows_quarantined
    from runs
    union all
    select
        folded_runs.began_on,
        folded_runs.job,
        folded_runs.status,
        folded_runs.runs,
        folded_runs.rows_read,
        folded_runs.rows_inserted,
        folded_runs.rows_duplicate,
        folded_runs.rows_quarantined
    from folded_runs

),

runs_by_day as (

    select
        ---------- ids
        all_runs.began_on,
        all_runs.job,
        all_runs.status,

        ---------- numerics
        cast(sum(all_runs.runs) as bigint) as runs,
        cast(sum(all_runs.rows_read) as bigint) as rows_read,
        cast(sum(all_runs.rows_inserted) as bigint) as rows_inserted,
        cast(sum(all_runs.rows_duplicate) as bigint) as rows_duplicate,
        cast(sum(all_runs.rows_quarantined) as bigint) as rows_quarantined
    from all_runs
    group by all_runs.began_on, all_runs.job, all_runs.status

)

select * from runs_by_day
