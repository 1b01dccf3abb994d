-- Alerts may be taken back, books that are not seen are told of, and books may
-- be muted.

alter table ops.alert_deliveries
-- true on the first message of an alert ('opened', 'blind') until its end is
-- told, or nobody needs to hear of it any more
add column is_open boolean not null default false,
-- missing where the message is about a book that is not seen: it has none
alter column threshold_pct drop not null,
drop constraint alert_deliveries_key,
add constraint alert_deliveries_key unique nulls not distinct (
    book, threshold_pct, opened_at, episode_event, channel, address, attempt
),
drop constraint alert_deliveries_event,
add constraint alert_deliveries_event check (
    episode_event in ('opened', 'closed', 'withdrawn', 'blind', 'seen')
),
add constraint alert_deliveries_threshold check (
    (threshold_pct is null) = (episode_event in ('blind', 'seen'))
);

update ops.alert_deliveries as opened
set is_open = true
where
    opened.episode_event = 'opened'
    and opened.status <> 'skipped'
    and opened.address > 0
    and not exists (
        select from ops.alert_deliveries as closed
        where
            closed.book = opened.book
            and closed.threshold_pct = opened.threshold_pct
            and closed.opened_at >= opened.opened_at
            and closed.episode_event = 'closed'
            and closed.channel = opened.channel
            and closed.address = opened.address
    );

create index alert_deliveries_open on ops.alert_deliveries (opened_at)
where is_open;
create index alert_deliveries_recent on ops.alert_deliveries (opened_at)
where status <> 'skipped';

comment on column ops.alert_deliveries.status is
'unknown: it may have arrived, for the sender died or got no answer';
comment on table ops.alert_deliveries is
'Every attempt to tell a channel of an alert, or of a book that is not seen; '
'rows of one message share its key';

create table ops.alert_mutes (
    mute_id bigint generated always as identity primary key,
    -- missing: all books
    book text,
    muted_from timestamptz not null default clock_timestamp(),
    muted_until timestamptz not null,
    constraint alert_mutes_end_after_they_begin check (
        muted_until >= muted_from
    )
);
create index alert_mutes_until on ops.alert_mutes (muted_until);

comment on table ops.alert_mutes is
'Stretches of time in which nothing is told of a book';
