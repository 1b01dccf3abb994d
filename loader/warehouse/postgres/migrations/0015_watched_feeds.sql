-- The account says of which feed it is, and how often that was to see a book.
-- Until now only the stream wrote it.
alter table ops.monitored
add column feed text not null default 'stream',
add column interval interval not null default '1 second',
-- whether a recording says so: then what it does not hold was missed
add column is_recorded boolean not null default false,
-- whether ops.monitored_time has it
add column is_merged boolean not null default false,
add constraint monitored_whole_interval check (
    interval >= interval '1 second'
    and mod(extract(epoch from interval), 1) = 0
);

-- A recording has several feeds, a poll the time before it that was missed.
alter table ops.monitored drop constraint monitored_pkey;
alter table ops.monitored add primary key (run_id, feed, monitored_from);

drop index ops.monitored_until;
create index monitored_until on ops.monitored (feed, monitored_until);
create index monitored_unmerged on ops.monitored (run_id)
where not is_merged;

comment on table ops.monitored is
'The seconds that a feed answers for, by run';

alter table ops.gaps add column feed text not null default 'stream';
alter table ops.gaps drop constraint gaps_pkey;
alter table ops.gaps add primary key (book, feed, gap_from);
alter table ops.gaps drop constraint gaps_cause;
alter table ops.gaps add constraint gaps_cause check (
    cause in (
        'starting', 'resync', 'disconnected', 'stale', 'database',
        'killed', 'throttled', 'not_running', 'failed'
    )
);

-- What runs that have ended have watched, with adjoining and overlapping time
-- in one row: as long as the account is, this stays short.
create table ops.monitored_time (
    feed text not null,
    interval interval not null,
    books text[] not null,
    is_recorded boolean not null,
    monitored_from timestamptz not null,
    monitored_until timestamptz not null,
    primary key (feed, interval, books, is_recorded, monitored_from),
    constraint monitored_time_forwards check (monitored_from < monitored_until)
);
create index monitored_time_until on ops.monitored_time (monitored_until);

comment on table ops.monitored_time is
'ops.monitored of all runs that have ended, adjoining time in one row';

insert into ops.monitored_time
(feed, interval, books, is_recorded, monitored_from, monitored_until)
select
    whole.feed,
    whole.interval,
    whole.books,
    false as is_recorded,
    lower(whole.stretch) as monitored_from,
    upper(whole.stretch) as monitored_until
from (
    select
        monitored.feed,
        monitored.interval,
        monitored.books,
        unnest(range_agg(tstzrange(
            monitored.monitored_from, monitored.monitored_until
        ))) as stretch
    from ops.monitored
    inner join ops.runs on monitored.run_id = runs.run_id
    where runs.status <> 'running'
    group by monitored.feed, monitored.interval, monitored.books
) as whole;

update ops.monitored set is_merged = true
from ops.runs
where monitored.run_id = runs.run_id and runs.status <> 'running';

-- The newest row of a book, however long it has been silent, is one look in
-- each partition. New partitions get the index with the table's others. A name
-- too long for an index is none of a book that anybody watches.
create index bitso_tickers_book on raw.bitso_tickers (book, received_at)
where length(book) <= 300;
create index bitso_order_books_book
on raw.bitso_order_books (book, received_at)
where length(book) <= 300;
