-- The models read raw by run. Where one run wrote most of a day (a replay, an
-- import), statistics say that a run is a whole partition, and Postgres reads
-- all of it for the few rows of the next run. ANALYZE is told instead to expect
-- a run for each fifty rows.
create or replace function raw.ensure_day(table_name text, day date)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    partition_name text := table_name || '_' || to_char(day, 'YYYYMMDD');
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
        raise exception 'raw.% has no partition a day', table_name;
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
        day::timestamptz,
        (day + 1)::timestamptz);
end
$$;

do $$
declare
    existing regclass;
begin
    for existing in
        select inhrelid::regclass
        from pg_inherits
        inner join pg_partitioned_table on partrelid = inhparent
        inner join pg_class on pg_class.oid = inhparent
        where relnamespace = 'raw'::regnamespace and partstrat = 'r'
    loop
        execute format(
            'alter table %s alter column run_id set (n_distinct = -0.02)',
            existing);
    end loop;
end
$$;
