/*
title: Pipeline runs
description: >-
  What the loader did: the runs that began between two instants, both
  included. Old ones are only counted, in runs-by-day.
display: table
data: runs
columns:
  status: {warn: {operator: "=", value: failed}}
  rows_quarantined: {warn: {operator: ">", value: 0}}
parameters:
  job: job
  from: from_instant
  to: {like: to_instant, unset: the latest day on which one began}
*/
with

pipeline_runs as not materialized (
    select * from marts.pipeline_runs
),

latest as (
    select max(started_at) as seen_at from pipeline_runs
),

period as (
    select
        marts.first_instant(
            cast(:from as text),
            cast(:to as text),
            latest.seen_at,
            zones.reporting_timezone
        ) as first_instant,
        marts.last_instant(
            cast(:to as text), latest.seen_at, zones.reporting_timezone
        ) as last_instant
    from marts.reporting_settings as zones
    cross join latest
),

final as (
    select
        job,
        started_at,
        finished_at,
        status,
        rows_read,
        rows_inserted,
        rows_duplicate,
        rows_quarantined
    from pipeline_runs
    where
        started_at >= (select period.first_instant from period)
        and started_at <= (select period.last_instant from period)
        and (cast(:job as text) is null or job = :job)
)

select * from final
order by started_at, job
