/*
title: Runs by day
description: How many runs began on each day, by how they ended.
display: bar
chart:
  x: day
  y: [runs]
  series: status
  stacked: true
columns:
  day: {title: Day}
  status: {warn: {operator: "=", value: failed}}
parameters:
  job: job
  from: {like: from_day, unset: 29 days before to}
  to: {like: to_day, unset: the latest day on which one began}
*/
with

runs as (
    select
        pipeline_runs.job,
        pipeline_runs.status,
        cast(
            pipeline_runs.started_at
            at time zone reporting_settings.reporting_timezone
            as date
        ) as day
    from marts.pipeline_runs as pipeline_runs
    cross join marts.reporting_settings as reporting_settings
),

last_day as (
    select coalesce(cast(:to as date), max(runs.day)) as last_date
    from runs
),

final as (
    select
        runs.day,
        runs.status,
        count(*) as runs
    from runs
    inner join last_day
        on
            runs.day <= last_day.last_date
            and runs.day
            >= coalesce(cast(:from as date), last_day.last_date - 29)
    where cast(:job as text) is null or runs.job = :job
    group by runs.day, runs.status
)

select * from final
order by day, status
