-- The account of the stream: which seconds it answers for, and which of them
-- have no observation, and why.

-- A run of the stream commits its rows each second: while it is open it may
-- claim those that are there already, as long as its sum is right.
alter table ops.runs drop constraint runs_conservation;
alter table ops.runs add constraint runs_conservation check (
    case
        when status in ('succeeded', 'unchanged')
            then
                rows_read
                = rows_inserted + rows_duplicate + rows_quarantined
        when status = 'running'
            then
                rows_inserted = 0
                or rows_read
                = rows_inserted + rows_duplicate + rows_quarantined
        else rows_inserted = 0
    end
);

-- One row a run of the stream. Every whole second of every book in it, from
-- monitored_from until before monitored_until, is either an observation in
-- raw.bitso_order_books (channel diff-orders, received_at that second) or in
-- ops.gaps: committed with them, it moves on with each second.
create table ops.monitored (
    run_id bigint primary key references ops.runs (run_id),
    books text[] not null,
    monitored_from timestamptz not null,
    monitored_until timestamptz not null,
    constraint monitored_whole_seconds check (
        monitored_from = date_trunc('second', monitored_from, 'UTC')
        and monitored_until = date_trunc('second', monitored_until, 'UTC')
    ),
    constraint monitored_forwards check (monitored_from <= monitored_until)
);
create index monitored_until on ops.monitored (monitored_until);

comment on table ops.monitored is
'The seconds that the stream answers for, by run';

-- Never longer than its run: one that goes on is a new row of the next run.
create table ops.gaps (
    book text not null,
    gap_from timestamptz not null,
    -- the first second after it
    gap_until timestamptz not null,
    cause text not null,
    missing_slots integer not null generated always as (
        cast(extract(epoch from gap_until - gap_from) as integer)
    ) stored,
    run_id bigint not null references ops.runs (run_id),
    detail text,
    primary key (book, gap_from),
    constraint gaps_whole_seconds check (
        gap_from = date_trunc('second', gap_from, 'UTC')
        and gap_until = date_trunc('second', gap_until, 'UTC')
    ),
    constraint gaps_forwards check (gap_from < gap_until),
    constraint gaps_cause check (
        cause in (
            'starting', 'resync', 'disconnected', 'stale', 'database',
            'killed', 'throttled', 'not_running'
        )
    )
);
create index gaps_run on ops.gaps (run_id);
create index gaps_until on ops.gaps (gap_until);

comment on table ops.gaps is
'Seconds of a book that were not observed, with the cause';
