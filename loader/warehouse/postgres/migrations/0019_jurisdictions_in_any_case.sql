-- The models know a jurisdiction by its code, lower case without blanks around
-- (dbt's function code_of): two levels of a user at one instant, of 'MX' and of
-- 'mx', are one key. An array of expressions now, no longer of columns.
create or replace function raw.key_columns(kind text) returns text[]
language sql immutable
begin atomic
    select case kind
        when 'deposits' then array['id']
        when 'withdrawals' then array['id']
        when 'events' then array['id']
        when 'users' then array['user_id']
        when 'user_levels'
            then array[
                'user_id',
                'lower(btrim(jurisdiction, E'' \t\n\r\f\v'') collate "C")',
                'event_timestamp'
            ]
    end;
end;

create or replace function raw.take_repeats(
    kind text,
    snapshot_id bigint,
    repeated_ids bigint[]
)
returns table (line_number bigint, first_line bigint, is_identical boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set work_mem = '256MB'
as $$
declare
    partition_name text := kind || '_' || snapshot_id;
    keys text := array_to_string(raw.key_columns(kind), ', ');
    row_values text;
begin
    if exists (
        select from pg_inherits
        where inhrelid = format('raw.%I', partition_name)::regclass
    ) then
        raise exception 'snapshot % is published already', snapshot_id;
    end if;
    if repeated_ids is null then
        begin
            perform raw.index_keys(kind, snapshot_id);
            return;
        exception when unique_violation then
            null;
        end;
    end if;
    select string_agg(quote_ident(attname), ', ' order by attnum) into row_values
    from pg_attribute
    where
        attrelid = format('raw.%I', partition_name)::regclass
        and attnum > 0
        and not attisdropped
        and attname not in ('snapshot_id', 'line_number', 'run_id');
    return query execute format(
        'with ranked as (
            select
                %1$I.ctid as row_id,
                line_number,
                first_value(line_number) over same_key as first_line,
                -- compared as records: a missing amount equals a missing one
                row(%3$s) = first_value(row(%3$s)) over same_key
                    as is_identical
            from raw.%1$I
            where (%2$s) in (%4$s)
            window same_key as (partition by %2$s order by line_number)
        )
        delete from raw.%1$I as repeated
        using ranked
        where
            repeated.ctid = ranked.row_id
            and ranked.line_number > ranked.first_line
        returning
            ranked.line_number,
            ranked.first_line,
            ranked.is_identical',
        partition_name, keys, row_values,
        case
            when repeated_ids is null then format(
                'select %2$s from raw.%1$I group by %2$s having count(*) > 1',
                partition_name, keys)
            else 'select unnest($1)'
        end)
    using repeated_ids;
end
$$;
