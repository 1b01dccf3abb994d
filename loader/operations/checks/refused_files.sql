-- Files that were refused, or failed, until a good one of their kind came: each
-- once, with how often and since when. Where no header said the kind, the name
-- of the file does. Where neither does, a good file of that name mends it, and
-- a look into the inbox that finds nothing left to read.
with

tried as materialized (
    select
        runs.run_id,
        runs.started_at,
        runs.error,
        runs.status in ('succeeded', 'unchanged') as is_good,
        runs.detail ->> 'file' as file_name,
        coalesce(
            runs.detail ->> 'kind',
            (
                select known.kind
                from unnest(%(kinds)s) as known (kind)
                where position(known.kind in runs.detail ->> 'file') > 0
                order by length(known.kind) desc
                limit 1
            )
        ) as kind
    from ops.runs
    where runs.job = 'snapshots' and runs.status <> 'running'
),

-- A snapshot outlives its run in the ledger.
good as (
    select
        kind,
        file_name,
        max(run_id) as run_id
    from tried
    where is_good
    group by kind, file_name
    union all
    select
        kind,
        file_name,
        run_id
    from raw.snapshots
),

bad as (
    select distinct
        kind,
        file_name
    from tried
    where not is_good and file_name is not null
),

mended as (
    select
        bad.kind,
        bad.file_name,
        coalesce(max(good.run_id), 0) as run_id
    from bad
    left join good
        on
            bad.kind = good.kind
            or bad.file_name = good.file_name
            or (bad.kind is null and good.file_name is null)
    group by bad.kind, bad.file_name
)

select
    tried.file_name,
    tried.kind,
    (array_agg(tried.error order by tried.run_id desc))[1] as error,
    min(tried.started_at) as since,
    count(*) as times
from tried
inner join mended
    on
        tried.file_name = mended.file_name
        and tried.kind is not distinct from mended.kind
where not tried.is_good and tried.run_id > mended.run_id
group by tried.file_name, tried.kind
order by max(tried.run_id) desc
