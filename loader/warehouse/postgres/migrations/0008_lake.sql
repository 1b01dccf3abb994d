-- Observations from lakes that others recorded. A partition a month: a lake
-- spans years, and each partition is looked at by every run of the models; a
-- partition a day would make them thousands.

create table raw.lake_files (
    file_id bigint generated always as identity primary key,
    run_id bigint not null,
    -- below the directory that was imported
    file_name text not null,
    constraint lake_files_once_a_run unique (run_id, file_name)
);

comment on table raw.lake_files is
'The files that imported observations came from, by run';

create table raw.spread_observations (
    -- when who recorded it saw it: the file's orderbook_timestamp
    received_at timestamptz not null,
    book text not null,
    bid numeric not null,
    ask numeric not null,
    -- as it stood in the file; nothing is made of it
    spread numeric,
    file_id bigint not null,
    -- the line of a text file, the number of the row in Parquet
    line_number bigint not null,
    run_id bigint not null
) partition by range (received_at);
create index spread_observations_received_at
on raw.spread_observations (received_at, book);
create index spread_observations_run_id on raw.spread_observations (run_id);

comment on table raw.spread_observations is
'Observations imported from old lakes, each once';

-- Bad rows are found again by their place, so that a repeated import adds none.
create index quarantine_lake on ops.quarantine (location)
where source = 'spread_observations';

-- How long a partition of a table over time is.
create function raw.partition_unit(table_name text) returns text
language sql immutable
begin atomic
    select case table_name
        when 'spread_observations' then 'month'
        else 'day'
    end;
end;

-- raw.<table>_<yyyymmdd>, or _<yyyymm> where a partition is a month.
create function raw.partition_of(table_name text, day date) returns text
language sql stable
begin atomic
    select
        table_name || '_' || to_char(
            cast(day as timestamp),
            case raw.partition_unit(table_name)
                when 'month' then 'YYYYMM' else 'YYYYMMDD'
            end
        );
end;

-- Makes the partition that a day belongs to, once.
create or replace function raw.ensure_day(table_name text, day date)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    partition_name text := raw.partition_of(table_name, day);
    unit text := raw.partition_unit(table_name);
    first_day date := date_trunc(unit, day::timestamp);
begin
    if to_regclass(format('raw.%I', partition_name)) is not null then
        return;
    end if;
    if not exists (
        select from pg_partitioned_table
        inner join pg_class on pg_class.oid = partrelid
        where
            relnamespace = 'raw'::regnamespace
            and relname = table_name
            and partstrat = 'r'
    ) then
        raise exception 'raw.% has no partition a %', table_name, unit;
    end if;
    -- One at a time. Attached, not made in place, which would wait for every
    -- reader and writer of the table.
    execute format(
        'lock table raw.%I in share update exclusive mode', table_name);
    if to_regclass(format('raw.%I', partition_name)) is not null then
        return;
    end if;
    execute format(
        'create table raw.%I (like raw.%I including all)',
        partition_name, table_name);
    execute format(
        'alter table raw.%I alter column run_id set (n_distinct = -0.02)',
        partition_name);
    execute format(
        'alter table raw.%I attach partition raw.%I
        for values from (%L) to (%L)',
        table_name,
        partition_name,
        first_day::timestamptz,
        (first_day + ('1 ' || unit)::interval)::timestamptz);
end
$$;

-- Drops the partition that a day belongs to, unless a run after the given one
-- wrote to it. Returns whether it did. A writer either came before the check
-- or waits for it and then finds no partition.
create or replace function raw.drop_day(
    table_name text, day date, modelled_run bigint
)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    partition_name text := raw.partition_of(table_name, day);
    is_newer boolean;
begin
    if not exists (
        select from pg_inherits
        inner join pg_partitioned_table on partrelid = inhparent
        where
            inhrelid = to_regclass(format('raw.%I', partition_name))
            and inhparent = to_regclass(format('raw.%I', table_name))
            and partstrat = 'r'
    ) then
        raise exception 'raw.% has no partition of %', table_name, day;
    end if;
    execute format('lock table raw.%I in access exclusive mode', table_name);
    execute format(
        'select exists (select from raw.%I where run_id > $1)', partition_name)
    into is_newer using modelled_run;
    if is_newer then
        return false;
    end if;
    execute format('drop table raw.%I', partition_name);
    return true;
end
$$;

revoke all on all functions in schema raw from public;
