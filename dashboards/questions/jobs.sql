/*
title: Jobs
description: >-
  Each job that ever ran: its last success, its last failure, and what it
  brought in the last seven days that anything ran.
display: table
data: runs
columns:
  failures: {title: Failures in 7 days, warn: {operator: ">", value: 0}}
  rows_inserted: {title: Rows in 7 days}
  rows_quarantined:
    title: Quarantined in 7 days
    warn: {operator: ">", value: 0}
parameters:
  job: job
*/
with

pipeline_runs as not materialized (
    select * from marts.pipeline_runs
),

recent as (
    select max(pipeline_runs.started_at) - interval '7 days' as since
    from pipeline_runs
),

final as (
    select
        pipeline_runs.job,
        max(pipeline_runs.finished_at) filter (
            where pipeline_runs.status in ('succeeded', 'unchanged')
        ) as last_success,
        max(pipeline_runs.finished_at) filter (
            where pipeline_runs.status in ('failed', 'refused')
        ) as last_failure,
        count(*) filter (
            where
            pipeline_runs.status in ('failed', 'refused')
            and pipeline_runs.started_at > recent.since
        ) as failures,
        coalesce(
            sum(pipeline_runs.rows_inserted) filter (
                where pipeline_runs.started_at > recent.since
            ),
            0
        ) as rows_inserted,
        coalesce(
            sum(pipeline_runs.rows_quarantined) filter (
                where pipeline_runs.started_at > recent.since
            ),
            0
        ) as rows_quarantined
    from pipeline_runs
    cross join recent
    where cast(:job as text) is null or pipeline_runs.job = :job
    group by pipeline_runs.job
)

select * from final
order by job
