select
    array_agg(runs.run_id) as runs,
    coalesce(bool_or(watched.run_id is not null), false) as has_watched_time
from ops.runs as runs
left join ops.monitored as watched on runs.run_id = watched.run_id
where
    runs.run_id >= cast(%(settled_below)s as bigint)
    and runs.status = 'succeeded'
    and (runs.rows_inserted > 0 or watched.run_id is not null)
    and not runs.run_id <@ cast(%(ended)s as int8multirange)
