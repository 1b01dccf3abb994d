-- What was told to whom about alerts, and who hears that rows have come in.

create table ops.alert_deliveries (
    delivery_id bigint generated always as identity primary key,
    book text not null,
    threshold_pct numeric(18, 12) not null,
    -- as it was when the alert was first seen: a late row may move it since
    opened_at timestamptz not null,
    -- how far the alert reached, when this was written
    seen_until timestamptz not null,
    episode_event text not null,
    channel text not null,
    -- the place of the address in the channel's list; 0: none of them
    address integer not null,
    attempt integer not null,
    status text not null,
    is_repeat boolean not null default false,
    idempotency_key uuid not null,
    error text,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    -- when it is worth trying again; missing when that is over or was done
    retry_at timestamptz,
    constraint alert_deliveries_key unique (
        book, threshold_pct, opened_at, episode_event, channel, address, attempt
    ),
    constraint alert_deliveries_event check (
        episode_event in ('opened', 'closed')
    ),
    -- unknown: the sender died between sending and writing down
    constraint alert_deliveries_status check (
        status in ('sending', 'sent', 'failed', 'unknown', 'skipped')
    ),
    constraint alert_deliveries_finished check (
        (status = 'sending') = (finished_at is null)
    )
);
create index alert_deliveries_seen
on ops.alert_deliveries (book, threshold_pct, seen_until)
where status <> 'skipped';
create index alert_deliveries_retry on ops.alert_deliveries (opened_at)
where retry_at is not null;
create index alert_deliveries_sending on ops.alert_deliveries (delivery_id)
where status = 'sending';

comment on table ops.alert_deliveries is
'Every attempt to tell a channel that an alert opened or closed';

-- Tells who listens that quotes were committed, whoever wrote them: watching
-- costs nothing while nothing comes in.
create function raw.announce_quotes() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('quotes', '');
    return null;
end
$$;

create trigger announce after insert on raw.bitso_tickers
for each statement execute function raw.announce_quotes();
create trigger announce after insert on raw.bitso_order_books
for each statement execute function raw.announce_quotes();

revoke all on all functions in schema raw from public;
