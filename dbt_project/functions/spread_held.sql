-- Until the next observation or now, at most for the interval at which its feed
-- looked (so coverage counts it) and while it was watched; cut where hours end.
with

asked as (

    select
        first_hour,
        end_hour,
        book_name is null as is_any,
        (
            select book from {{ function('book_named') }}(book_name)
        ) as book

),

intervals as materialized (

    select
        watched.*,
        watched.interval_seconds * interval '1 second' as length
    from {{ ref('watched_intervals') }} as watched

),

feeds as materialized (

    select
        limits.feed,
        limits.interval_seconds * interval '1 second' as length
    from {{ ref('feed_limits') }} as limits

),

reaches as materialized (

    select
        max(lengths.length) as longest,
        min(lengths.length) as shortest
    from (
        select feeds.length from feeds
        union all
        select intervals.length from intervals
    ) as lengths

),

seen as (

    select
        observations.*,
        observations.orderbook_timestamp as seen_at,
        lead(observations.orderbook_timestamp, 1, now()) over (
            partition by observations.book
            order by observations.orderbook_timestamp
        ) as next_at
    from {{ ref('spread_observations') }} as observations
    where
        observations.is_primary
        and observations.orderbook_timestamp
        > (select asked.first_hour from asked)
        - (select reaches.longest from reaches)
        and observations.orderbook_timestamp
        < (select asked.end_hour from asked)
        and (
            (select asked.is_any from asked)
            or observations.book = (select asked.book from asked)
        )

),

observed as (

    select
        seen.*,
        case
            -- Nearly always: what there is to look up is a gap.
            when
                seen.next_at
                <= seen.seen_at + (select reaches.shortest from reaches)
                then seen.next_at
            else
                least(
                    seen.next_at,
                    coalesce(
                        (
                            select
                                least(
                                    seen.seen_at + min(intervals.length),
                                    max(intervals.monitored_until)
                                )
                            from intervals
                            where
                                intervals.feed = seen.feed
                                and intervals.monitored_from <= seen.seen_at
                                and intervals.monitored_until > seen.seen_at
                                and seen.book = any(intervals.books)
                        ),
                        seen.seen_at + (
                            select feeds.length
                            from feeds
                            where feeds.feed = seen.feed
                        )
                    )
                )
        end as held_until
    from seen

)

select
    observed.book,
    hours.hour,
    observed.seen_at,
    observed.bid,
    observed.ask,
    observed.spread,
    extract(
        epoch from least(observed.held_until, hours.hour + interval '1 hour')
        - greatest(observed.seen_at, hours.hour)
    ) as seconds
from observed
cross join asked
cross join
    lateral generate_series(
        date_trunc('hour', observed.seen_at, 'UTC'),
        observed.held_until - interval '1 microsecond',
        interval '1 hour'
    ) as hours (hour)
where hours.hour >= asked.first_hour and hours.hour < asked.end_hour
