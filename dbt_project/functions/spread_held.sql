-- Until the next observation, at most for the interval of its feed, by which
-- coverage counts it as seen; cut where hours end.
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

reaches as (

    select max(interval_seconds) * interval '1 second' as longest
    from {{ ref('feed_limits') }}

),

observed as (

    select
        seen.book,
        seen.bid,
        seen.ask,
        seen.spread,
        seen.orderbook_timestamp as seen_at,
        least(
            lead(seen.orderbook_timestamp) over (
                partition by seen.book order by seen.orderbook_timestamp
            ),
            seen.orderbook_timestamp
            + limits.interval_seconds * interval '1 second'
        ) as held_until
    from {{ ref('spread_observations') }} as seen
    inner join {{ ref('feed_limits') }} as limits
        on seen.feed = limits.feed
    where
        seen.is_primary
        and seen.orderbook_timestamp
        > (select asked.first_hour from asked)
        - (select reaches.longest from reaches)
        and seen.orderbook_timestamp < (select asked.end_hour from asked)
        and (
            (select asked.is_any from asked)
            or seen.book = (select asked.book from asked)
        )

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
