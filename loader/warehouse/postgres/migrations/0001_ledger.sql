-- The rooms, and the ledger that every run writes to.

create schema if not exists raw;
create schema if not exists ops;
create schema if not exists reference;
create schema if not exists staging;
create schema if not exists target;
create schema if not exists marts;

comment on schema raw is 'Rows as received, append-only';
comment on schema ops is 'What the pipeline did: runs, quarantine';
comment on schema reference is 'dbt seeds: small lists that people edit';
comment on schema staging is 'dbt views: raw, renamed and typed';
comment on schema target is 'The normalised model, keys enforced';
comment on schema marts is 'Answers: what people and dashboards read';

create table ops.runs (
    run_id bigint generated always as identity primary key,
    job text not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    status text not null default 'running',
    rows_read bigint not null default 0,
    rows_inserted bigint not null default 0,
    rows_duplicate bigint not null default 0,
    rows_quarantined bigint not null default 0,
    error text,
    detail jsonb not null default '{}',
    constraint runs_status check (
        status in ('running', 'succeeded', 'unchanged', 'refused', 'failed')
    ),
    constraint runs_finished check (
        (status = 'running') = (finished_at is null)
    ),
    -- A refused or failed run has rolled its rows back: it keeps what it had
    -- counted until then, and may not claim that any row stayed.
    constraint runs_conservation check (
        case
            when status in ('succeeded', 'unchanged')
                then
                    rows_read
                    = rows_inserted + rows_duplicate + rows_quarantined
            else rows_inserted = 0
        end
    )
);
create index runs_job on ops.runs (job, started_at);
create index runs_open on ops.runs (job) where status = 'running';

comment on table ops.runs is
'One row a run of a job, opened before the work and closed with its rows';

create table ops.quarantine (
    quarantine_id bigint generated always as identity primary key,
    run_id bigint not null references ops.runs (run_id),
    source text not null,
    location text not null,
    line_number bigint,
    reason_code text not null,
    reason text not null,
    raw text not null,
    redriven_by bigint references ops.runs (run_id)
);
create index quarantine_run on ops.quarantine (run_id);
create index quarantine_open on ops.quarantine (source)
where redriven_by is null;

comment on table ops.quarantine is
'Every row that could not be loaded, with its reason and raw text';
