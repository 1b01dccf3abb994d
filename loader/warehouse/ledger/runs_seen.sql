-- A run that began within the last day may still be without a row that others
-- see; later, every number below the oldest open run has ended.
with

settled as (
    select
        coalesce(
            min(runs.run_id),
            (select coalesce(max(latest.run_id), 0) + 1 from ops.runs as latest)
        ) as settled_below
    from ops.runs as runs
    where
        runs.run_id >= %(settled_below)s
        and (
            runs.status = 'running'
            or runs.started_at > now() - interval '1 day'
        )
)

select
    settled.settled_below,
    (
        select
            coalesce(
                range_agg(int8range(runs.run_id, runs.run_id, '[]')), '{}'
            )
        from ops.runs as runs
        where
            runs.run_id >= settled.settled_below
            and runs.status <> 'running'
    ) as ended
from settled
