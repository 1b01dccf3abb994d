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

create table raw.bitso_books (
    received_at timestamptz not null,
    book text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index bitso_books_received_at on raw.bitso_books (received_at);

create table raw.coingecko_exchanges (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coingecko_exchanges_received_at
on raw.coingecko_exchanges (received_at);

create table raw.coingecko_tickers (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coingecko_tickers_received_at
on raw.coingecko_tickers (received_at);

create table raw.coincap_exchanges (
    received_at timestamptz not null,
    exchange_id text not null,
    payload jsonb not null,
    run_id bigint not null
) partition by range (received_at);
create index coincap_exchanges_received_at
on raw.coincap_exchanges (received_at);

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

-- Makes the partition of a day, once: raw.<table>_<yyyymmdd>.
create function raw.ensure_day(table_name text, day date) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
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
    execute format(
        'create table if not exists raw.%I partition of raw.%I
        for values from (%L) to (%L)',
        table_name || '_' || to_char(day, 'YYYYMMDD'),
        table_name,
        day::timestamptz,
        (day + 1)::timestamptz);
end
$$;

-- Drops the partitions of the days before one. Returns their names.
create function raw.drop_days_before(table_name text, day date)
returns setof text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    partition_name text;
begin
    for partition_name in
        select pg_class.relname from pg_inherits
        inner join pg_class on pg_class.oid = pg_inherits.inhrelid
        where
            pg_inherits.inhparent = format('raw.%I', table_name)::regclass
            and pg_class.relname ~ '_[0-9]{8}$'
            and to_date(right(pg_class.relname, 8), 'YYYYMMDD') < day
        order by pg_class.relname
    loop
        execute format('drop table raw.%I', partition_name);
        return next partition_name;
    end loop;
end
$$;

revoke all on all functions in schema raw from public;
