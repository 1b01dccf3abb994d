-- The one definition of blindness, at the instant of asking, modelled or not.
-- All is looked up by index, so that one may ask each second. Sources are not
-- staged here: Postgres finds the newest row by index only of a table itself.
{{ config(materialized='view') }}

with

runs as not materialized (

    select * from {{ source('pipeline', 'runs') }}

),

gaps as not materialized (

    select * from {{ source('pipeline', 'gaps') }}

),

newest_entries as (

    select newest.*
    from {{ ref('feeds') }} as feeds
    cross join
        lateral (
            select
                monitored.*,
                extract(epoch from monitored.interval) as interval_seconds
            from {{ source('pipeline', 'monitored') }} as monitored
            where monitored.feed = feeds.feed
            order by monitored.monitored_until desc, monitored.run_id desc
            limit 1
        ) as newest

),

expected as (

    select
        newest_entries.*,
        books.book,
        max(newest_entries.monitored_until) over (partition by books.book)
            as watched_until
    from newest_entries
    cross join lateral unnest(newest_entries.books) as books (book)

),

-- By its fastest feed. What was recorded once is not expected to go on where
-- somebody has watched the book since.
watched as (

    select distinct on (expected.book) expected.*
    from expected
    where
        expected.monitored_until = expected.watched_until
        or exists (
            select 1
            from runs
            where runs.run_id = expected.run_id and runs.job <> 'replay'
        )
    order by
        expected.book asc,
        expected.interval_seconds asc,
        {{ feed_rank('expected.feed') }} asc

),

-- What raw has dropped since is modelled. A book of which nothing ever came is
-- silent from when it was first watched.
seen as materialized (

    select
        watched.*,
        coalesce(
            greatest(
                {{ last_received(source('bitso', 'bitso_tickers')) }},
                {{ last_received(source('bitso', 'bitso_order_books')) }}
            ),
            (
                select quotes.quoted_at
                from {{ ref('quotes') }} as quotes
                where quotes.book = watched.book and quotes.feed <> 'lake'
                order by quotes.quoted_at desc
                limit 1
            )
        ) as last_seen_at,
        {{ blind_after_seconds('watched.interval_seconds') }}
            as blind_after_seconds
    from watched
    cross join {{ ref('reporting_settings') }} as limits

),

judged as materialized (

    select
        seen.*,
        coalesce(
            seen.last_seen_at,
            (
                select min(watched_time.monitored_from)
                from {{ source('pipeline', 'monitored_time') }} as watched_time
                where seen.book = any(watched_time.books)
            ),
            seen.monitored_from
        ) + seen.blind_after_seconds * interval '1 second' as blind_at
    from seen

),

states as (

    select
        judged.book,
        judged.feed,
        judged.last_seen_at,
        judged.blind_after_seconds,
        judged.blind_at < now() as is_blind,
        case
            when judged.blind_at < now() then judged.blind_at
        end as blind_since,
        case
            when judged.blind_at < now() then {{ cause_of_blindness() }}
        end as cause
    from judged

)

select * from states
