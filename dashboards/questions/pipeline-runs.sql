/*
title: Pipeline runs
description: >-
  What the loader did: the runs that began between two instants, both
  included.
display: table
columns:
  status: {warn: {operator: "=", value: failed}}
  rows_quarantined: {warn: {operator: ">", value: 0}}
parameters:
  job:
    type: text
    unset: all jobs
    description: "One job, such as tickers."
  from:
    type: instant
    unset: six days before the day of to
    description: First day (reporting time zone) or instant.
  to:
    type: instant
    unset: the latest day on which one began
    description: Last day (reporting time zone) or instant.
*/
with

reporting_settings as (
    select * from marts.reporting_settings
),

pipeline_runs as not materialized (
    select * from marts.pipeline_runs
),

latest as (
    select max(started_at) as seen_at from pipeline_runs
),

-- An instant is longer than a date, and is the last one itself.
period_end as (
    select
        reporting_settings.reporting_timezone,
        case
            when length(cast(:to as text)) > 10
                then cast(:to as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:to as date),
                        cast(
                            latest.seen_at
                            at time zone reporting_settings.reporting_timezone
                            as date
                        )
                    ) + 1 as timestamp
                ) at time zone reporting_settings.reporting_timezone
                - interval '1 microsecond'
        end as last_instant
    from reporting_settings
    cross join latest
),

period as (
    select
        last_instant,
        case
            when length(cast(:from as text)) > 10
                then cast(:from as timestamptz)
            else
                cast(
                    coalesce(
                        cast(:from as date),
                        cast(
                            last_instant at time zone reporting_timezone
                            as date
                        ) - 6
                    ) as timestamp
                ) at time zone reporting_timezone
        end as first_instant
    from period_end
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
