-- Snapshot files: one list partition a snapshot, attached when it is whole.
-- The loader may insert and select; what needs more happens in the functions
-- below, which run as their owner (the maintainer role, where there is one).

create table raw.snapshots (
    snapshot_id bigint generated always as identity primary key,
    kind text not null,
    run_id bigint not null,
    file_name text not null,
    columns text[] not null,
    content_sha256 text not null,
    content_bytes bigint not null,
    row_count bigint not null,
    is_current boolean not null default false,
    published_at timestamptz not null default clock_timestamp(),
    dropped_at timestamptz
);
create unique index snapshots_current on raw.snapshots (kind)
where is_current;

comment on table raw.snapshots is
'Every snapshot that was published, and which one of each kind is current';

create table raw.deposits (
    snapshot_id bigint not null,
    line_number bigint not null,
    run_id bigint not null,
    id bigint not null,
    event_timestamp timestamptz not null,
    user_id text not null,
    amount numeric,
    currency text not null,
    tx_status text not null
) partition by list (snapshot_id);

create table raw.withdrawals (
    snapshot_id bigint not null,
    line_number bigint not null,
    run_id bigint not null,
    id bigint not null,
    event_timestamp timestamptz not null,
    user_id text not null,
    amount numeric,
    interface text not null,
    currency text not null,
    tx_status text not null
) partition by list (snapshot_id);

create table raw.events (
    snapshot_id bigint not null,
    line_number bigint not null,
    run_id bigint not null,
    id bigint not null,
    event_timestamp timestamptz not null,
    user_id text not null,
    event_name text not null
) partition by list (snapshot_id);

create table raw.users (
    snapshot_id bigint not null,
    line_number bigint not null,
    run_id bigint not null,
    user_id text not null
) partition by list (snapshot_id);

create table raw.user_levels (
    snapshot_id bigint not null,
    line_number bigint not null,
    run_id bigint not null,
    user_id text not null,
    jurisdiction text not null,
    level integer not null,
    event_timestamp timestamptz not null
) partition by list (snapshot_id);

-- What makes a row of a kind the same row.
create function raw.key_columns(kind text) returns text[]
language sql immutable
begin atomic
    select case kind
        when 'deposits' then array['id']
        when 'withdrawals' then array['id']
        when 'events' then array['id']
        when 'users' then array['user_id']
        when 'user_levels'
            then array['user_id', 'jurisdiction', 'event_timestamp']
    end;
end;

-- A new, empty partition that no reader sees yet. Returns its snapshot_id;
-- the partition is raw.<kind>_<snapshot_id>.
create function raw.open_snapshot(kind text, run_id bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    new_id bigint := nextval(pg_get_serial_sequence('raw.snapshots', 'snapshot_id'));
    partition_name text := kind || '_' || new_id;
begin
    if raw.key_columns(kind) is null then
        raise exception 'no such kind of snapshot: %', kind;
    end if;
    execute format(
        'create table raw.%1$I (
            like raw.%2$I including comments,
            check (snapshot_id = %3$s)
        )', partition_name, kind, new_id);
    execute format(
        'alter table raw.%1$I
            alter snapshot_id set default %2$s,
            alter run_id set default %3$s', partition_name, new_id, run_id);
    return new_id;
end
$$;

-- Puts the unique index on the key columns of a snapshot's partition, once.
create function raw.index_keys(kind text, snapshot_id bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set maintenance_work_mem = '256MB'
as $$
begin
    execute format(
        'create unique index if not exists %2$I on raw.%1$I (%3$s)',
        kind || '_' || snapshot_id,
        kind || '_' || snapshot_id || '_key',
        array_to_string(raw.key_columns(kind), ', '));
end
$$;

-- Takes the rows whose key an earlier line already had out of an unpublished
-- partition. Returns those rows. The loader tells the ids that came more than
-- once where it knows them all; where it does not (null), they are looked for.
create function raw.take_repeats(
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
        'with repeated_keys as (%4$s),
        ranked as (
            select
                %1$I.ctid as row_id,
                line_number,
                first_value(line_number) over same_key as first_line,
                -- compared as records: a missing amount equals a missing one
                row(%3$s) = first_value(row(%3$s)) over same_key
                    as is_identical
            from raw.%1$I
            inner join repeated_keys using (%2$s)
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
            else 'select unnest($1) as id'
        end)
    using repeated_ids;
end
$$;

-- Attaches a partition and makes it the current snapshot of its kind:
-- readers see the whole of it from the commit on.
create function raw.publish_snapshot(
    kind text,
    snapshot_id bigint,
    run_id bigint,
    file_name text,
    columns text[],
    content_sha256 text,
    content_bytes bigint,
    row_count bigint
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('analyze raw.%I', kind || '_' || snapshot_id);
    execute format(
        'alter table raw.%1$I attach partition raw.%2$I for values in (%3$s)',
        kind, kind || '_' || snapshot_id, snapshot_id);
    update raw.snapshots as replaced set is_current = false
    where replaced.kind = publish_snapshot.kind and replaced.is_current;
    insert into raw.snapshots (
        snapshot_id, kind, run_id, file_name, columns,
        content_sha256, content_bytes, row_count, is_current
    ) overriding system value
    values (
        snapshot_id, kind, run_id, file_name, columns,
        content_sha256, content_bytes, row_count, true
    );
end
$$;

-- Drops the partitions of all but the newest snapshots of a kind. Returns the
-- snapshots dropped.
create function raw.drop_old_snapshots(kind text, keep integer)
returns setof bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    old_id bigint;
begin
    for old_id in
        select snapshots.snapshot_id from raw.snapshots
        where
            snapshots.kind = drop_old_snapshots.kind
            and snapshots.dropped_at is null
            and not snapshots.is_current
        order by snapshots.snapshot_id desc
        offset greatest(keep, 1) - 1
    loop
        execute format('drop table raw.%I', kind || '_' || old_id);
        update raw.snapshots set dropped_at = now()
        where snapshots.snapshot_id = old_id;
        return next old_id;
    end loop;
end
$$;

-- Only the loader may call them (privileges.csv).
revoke all on all functions in schema raw from public;
