insert into ops.dropped_days as known (table_name, dates)
select
    %(table)s as table_name,
    datemultirange(daterange(
        cast(lower(held.period) at time zone 'UTC' as date),
        cast(upper(held.period) at time zone 'UTC' as date)
    )) as dates
from raw.partition_time(raw.partition_of(%(table)s, %(day)s)) as held (period)
on conflict (table_name) do update set dates = known.dates + excluded.dates
