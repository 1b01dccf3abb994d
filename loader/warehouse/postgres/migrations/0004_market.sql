-- Market data as received: append-only, one partition a UTC day, dropped and
-- never deleted from. Uniqueness is settled in target, not here.

create table raw.bitso_tickers (
    received_at timestamptz not null,
    book text not null,
    bid numeric,
    ask numeric,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index bitso_tickers_received_at on raw.bitso_tickers (received_at);
create index bitso_tickers_run_id on raw.bitso_tickers (run_id);

create table raw.bitso_order_books (
    received_at timestamptz not null,
    book text not null,
    -- order_book: a REST reply; diff-orders: a one-second sample of the stream
    channel text not null,
    sequence bigint,
    bid numeric,
    ask numeric,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index bitso_order_books_received_at
on raw.bitso_order_books (received_at);
create index bitso_order_books_run_id on raw.bitso_order_books (run_id);

create table raw.bitso_books (
    received_at timestamptz not null,
    book text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index bitso_books_received_at on raw.bitso_books (received_at);
create index bitso_books_run_id on raw.bitso_books (run_id);

create table raw.coingecko_exchanges (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coingecko_exchanges_received_at
on raw.coingecko_exchanges (received_at);
create index coingecko_exchanges_run_id on raw.coingecko_exchanges (run_id);

create table raw.coingecko_tickers (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coingecko_tickers_received_at
on raw.coingecko_tickers (received_at);
create index coingecko_tickers_run_id on raw.coingecko_tickers (run_id);

create table raw.coincap_exchanges (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coincap_exchanges_received_at
on raw.coincap_exchanges (received_at);
create index coincap_exchanges_run_id on raw.coincap_exchanges (run_id);

-- Where a job that works through a list has got to.
create table ops.cursors (
    job text not null,
    item text not null,
    done_at timestamptz not null,
    run_id bigint not null references ops.runs (run_id),
    primary key (job, item)
);

comment on table ops.cursors is
'What a job that can resume has done already';

-- A quarantined market row says when it was received: with that it can be
-- redriven, and a repeated load finds it.
alter table ops.quarantine add column received_at timestamptz;
create index quarantine_received on ops.quarantine (source, received_at)
where received_at is not null;

-- Makes the partition of a day, once: raw.<table>_<yyyymmdd>.
create function raw.ensure_day(table_name text, day date) returns void
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
        'alter table raw.%I attach partition raw.%I
        for values from (%L) to (%L)',
        table_name,
        partition_name,
        day::timestamptz,
        (day + 1)::timestamptz);
end
$$;

-- Drops the partition of a day, unless a run after the given one wrote to it.
-- Returns whether it did. A writer either came before the check or waits for
-- it and then finds no partition.
create function raw.drop_day(table_name text, day date, modelled_run bigint)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    partition_name text := table_name || '_' || to_char(day, 'YYYYMMDD');
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
