-- The days that a prune has dropped from raw, one row a table: what nobody can
-- build again. It was in the details of all runs of prune, read one by one.
create table ops.dropped_days (
    table_name text primary key,
    -- dates that follow each other are one range
    dates datemultirange not null
);

comment on table ops.dropped_days is
'The days of each table of raw that a prune has dropped';

insert into ops.dropped_days (table_name, dates)
select
    regexp_replace(dropped.partition_name, '_[0-9]+$', '') as table_name,
    range_agg(
        daterange(
            cast(lower(held.period) at time zone 'UTC' as date),
            cast(upper(held.period) at time zone 'UTC' as date)
        )
    ) as dates
from ops.runs
cross join
    lateral jsonb_array_elements_text(
        runs.detail -> 'dropped'
    ) as dropped (partition_name)
cross join
    lateral raw.partition_time(dropped.partition_name) as held (period)
where runs.job = 'prune'
group by 1;
