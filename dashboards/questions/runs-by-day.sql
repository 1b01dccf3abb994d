/*
title: Runs by day
description: How many runs began on each day, by how they ended.
display: bar
data: days_of_runs
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
    select * from marts.pipeline_runs_by_day
),

last_day as (
    select coalesce(cast(:to as date), max(runs.began_on)) as last_date
    from runs
),

final as (
    select
        runs.began_on as day,
        runs.status,
        cast(sum(runs.runs) as bigint) as runs
    from runs
    inner join last_day
        on
            runs.began_on <= last_day.last_date
            and runs.began_on
            >= coalesce(cast(:from as date), last_day.last_date - 29)
    where cast(:job as text) is null or runs.job = :job
    group by runs.began_on, runs.status
)

select * from final
order by day, status
