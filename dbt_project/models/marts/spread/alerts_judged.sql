{#
    Who was told of an alert that is not seen any more has to know whether it
    is gone: while runs of the loader are not taken in yet, it may come back.
#}
{{ config(materialized='view') }}

with

runs as (

    select * from {{ ref('stg_pipeline__runs') }}

),

finished_runs as (

    select * from {{ ref('stg_pipeline__finished_runs') }}

),

progress as (

    select * from {{ ref('stg_pipeline__progress') }}

),

known as (

    select
        coalesce(max(progress.cut), 0) as cut,
        coalesce(max(progress.seen_until), '-infinity') as seen_until
    from progress
    where progress.model_name = 'spread_alerts'

),

-- All that ended before it is taken in: what is older need not be looked at.
first_run as (

    select
        least(
            {{ settled_below('finished_runs') }},
            (
                select min(newer.run_id)
                from finished_runs as newer
                where newer.cut > known.cut
            )
        ) as run_id
    from known

),

pending_runs as (

    select runs.started_at
    from runs
    cross join known
    left join finished_runs
        on runs.run_id = finished_runs.run_id
    where
        runs.run_id >= (select first_run.run_id from first_run)
        and (
            runs.status = 'running'
            or (
                runs.status = 'succeeded'
                and runs.rows_inserted > 0
                and coalesce(finished_runs.cut > known.cut, true)
            )
        )

),

judged as (

    select
        coalesce(
            (select min(pending_runs.started_at) from pending_runs), now()
        ) as judged_until,
        known.seen_until + interval '1 microsecond' as fresh_from
    from known

)

select * from judged
