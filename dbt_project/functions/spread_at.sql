with

moments as (

    select
        {{ function('last_instant') }}(
            as_of_text, null, reporting_timezone
        ) as typed_at
    from {{ ref('reporting_settings') }}

),

-- Of a moment to come nothing is known yet: it is this one.
asked as materialized (

    select
        least(moments.typed_at, now()) as as_of,
        coalesce(moments.typed_at >= now(), true) as is_now
    from moments

),

-- This moment: what is watched, with what is not modelled yet.
seen_now as (

    select
        states.book,
        latest.bid,
        latest.ask,
        latest.spread,
        latest.observed_at,
        states.is_blind
    from {{ ref('book_states') }} as states
    left join {{ ref('latest_observations') }} as latest
        on states.book = latest.book
    where (select asked.is_now from asked)

),

-- Another moment: what had been observed by then, by the same limit.
seen_then as (

    select
        known.book,
        last_one.bid,
        last_one.ask,
        last_one.spread,
        last_one.orderbook_timestamp as observed_at,
        asked.as_of
        > last_one.orderbook_timestamp
        + {{ blind_after_seconds('coalesce(
            watched.interval_seconds, feeds.interval_seconds
        )') }} * interval '1 second' as is_blind
    from asked
    cross join {{ ref('reporting_settings') }} as limits
    cross join {{ ref('observed_books') }} as known
    cross join
        lateral (
            select
                observed.bid,
                observed.ask,
                observed.spread,
                observed.feed,
                observed.orderbook_timestamp
            from {{ ref('spread_observations') }} as observed
            where
                observed.book = known.book
                and observed.orderbook_timestamp <= asked.as_of
                and observed.is_primary
            order by observed.orderbook_timestamp desc
            limit 1
        ) as last_one
    inner join {{ ref('feed_limits') }} as feeds
        on last_one.feed = feeds.feed
    left join
        lateral (
            select min(intervals.interval_seconds) as interval_seconds
            from {{ ref('watched_intervals') }} as intervals
            where
                intervals.feed = last_one.feed
                and known.book = any(intervals.books)
                and intervals.monitored_from <= last_one.orderbook_timestamp
                and intervals.monitored_until > last_one.orderbook_timestamp
        ) as watched
        on true
    where not asked.is_now

),

seen as (

    select * from seen_now
    union all
    select * from seen_then

),

aged as (

    select
        seen.book,
        seen.bid,
        seen.ask,
        seen.spread,
        seen.observed_at,
        cast(
            floor(extract(epoch from asked.as_of - seen.observed_at)) as bigint
        ) as age_seconds,
        seen.is_blind,
        asked.as_of
    from seen
    cross join asked

)

select * from aged
