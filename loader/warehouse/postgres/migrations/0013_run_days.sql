-- Runs that are old are folded into what they come to by day, so that nothing
-- has to read all of them. Which they were is kept too: rows of raw, the time
-- that the stream answers for and its gaps name the run that they came with.

create table ops.run_days (
    -- in the zone in which days were cut when they were folded
    began_on date not null,
    job text not null,
    status text not null,
    runs bigint not null,
    rows_read bigint not null,
    rows_inserted bigint not null,
    rows_duplicate bigint not null,
    rows_quarantined bigint not null,
    primary key (began_on, job, status)
);

comment on table ops.run_days is
'What runs that are no longer in ops.runs came to, by day, job and status';

create table ops.folded_runs (
    -- one row: numbers that follow each other are one range
    is_all boolean primary key default true check (is_all),
    run_ids int8multirange not null
);

comment on table ops.folded_runs is
'The numbers of the runs that are in ops.run_days';

alter table ops.monitored drop constraint if exists monitored_run_id_fkey;
alter table ops.gaps drop constraint if exists gaps_run_id_fkey;

create index runs_started_at on ops.runs (started_at);
-- Before a run goes, Postgres asks who points at it.
create index quarantine_redriven_by on ops.quarantine (redriven_by)
where redriven_by is not null;
create index cursors_run on ops.cursors (run_id);

-- Folds the runs that began before an instant and up to a number into the days
-- of a time zone; returns how many. Those that somebody points at stay, and so
-- does the newest run of each job and status: with it goes what is asked of
-- jobs that are seldom run.
create function ops.fold_runs(
    started_before timestamptz, newest_run bigint, time_zone text
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    folded_runs bigint;
begin
    with folded as (
        delete from ops.runs
        where
            runs.started_at < started_before
            and runs.run_id <= newest_run
            and runs.status <> 'running'
            and not exists (
                select from ops.quarantine where quarantine.run_id = runs.run_id
            )
            and not exists (
                select from ops.quarantine
                where quarantine.redriven_by = runs.run_id
            )
            and not exists (
                select from ops.cursors where cursors.run_id = runs.run_id
            )
            and runs.run_id not in (
                select max(newest.run_id) from ops.runs as newest
                group by newest.job, newest.status
            )
        returning runs.*
    ),
    numbers as (
        insert into ops.folded_runs as known (run_ids)
        select range_agg(int8range(folded.run_id, folded.run_id, '[]'))
        from folded
        having count(*) > 0
        on conflict (is_all) do update
        set run_ids = known.run_ids + excluded.run_ids
    ),
    days as (
        insert into ops.run_days as known (
            began_on, job, status, runs, rows_read, rows_inserted, rows_duplicate,
            rows_quarantined
        )
        select
            cast(folded.started_at at time zone time_zone as date),
            folded.job,
            folded.status,
            count(*),
            sum(folded.rows_read),
            sum(folded.rows_inserted),
            sum(folded.rows_duplicate),
            sum(folded.rows_quarantined)
        from folded
        group by 1, 2, 3
        on conflict (began_on, job, status) do update set
            runs = known.runs + excluded.runs,
            rows_read = known.rows_read + excluded.rows_read,
            rows_inserted = known.rows_inserted + excluded.rows_inserted,
            rows_duplicate = known.rows_duplicate + excluded.rows_duplicate,
            rows_quarantined
            = known.rows_quarantined + excluded.rows_quarantined
    )
    select count(*) into folded_runs from folded;
    return folded_runs;
end
$$;

revoke all on all functions in schema ops from public;
