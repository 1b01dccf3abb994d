-- The time that a partition holds, by its name: the counterpart of
-- raw.partition_of, so that a name is read in one place.
create function raw.partition_time(partition_name text) returns tstzrange
language sql stable
begin atomic
    select
        tstzrange(
            first_day at time zone 'UTC',
            (first_day + cast('1 ' || unit as interval)) at time zone 'UTC'
        )
    from (
        select
            cast(
                to_date(
                    rpad(substring(partition_name, '[0-9]+$'), 8, '01'),
                    'YYYYMMDD'
                ) as timestamp
            ) as first_day,
            raw.partition_unit(
                regexp_replace(partition_name, '_[0-9]+$', '')
            ) as unit
    ) as named;
end;

revoke all on all functions in schema raw from public;
