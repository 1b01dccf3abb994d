-- How many rows of each source are set aside, how many of them since yesterday,
-- and since when the oldest.
with

open_rows as (
    select
        quarantine.source,
        coalesce(quarantine.received_at, runs.started_at) as since
    from ops.quarantine
    inner join ops.runs on quarantine.run_id = runs.run_id
    where quarantine.redriven_by is null
)

select
    source,
    count(*) as set_aside,
    count(*) filter (where since > now() - interval '1 day') as of_today,
    min(since) as oldest
from open_rows
group by source
order by source
