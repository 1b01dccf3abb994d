with

asked as (

    select
        threshold,
        close_below,
        least_observations

),

period as materialized (

    select * from {{ function('period_of_book') }}(
        book_name, from_text, to_text
    )

),

thresholds as materialized (

    select
        period.book,
        asked.threshold as threshold_pct,
        asked.least_observations as min_observations,
        cast('' as text) as channels,
        true as is_watched,
        coalesce(asked.close_below, asked.threshold) as close_below_pct
    from period
    cross join asked

),

-- From one calm observation to another: in them every episode has ended,
-- whatever was before. By index, as far as they are away.
judged as materialized (

    select
        coalesce(
            (
                select calm.orderbook_timestamp
                from {{ ref('spread_observations') }} as calm
                where
                    calm.book = period.book
                    and calm.orderbook_timestamp < period.first_instant
                    and calm.is_primary
                    and not {{ function('is_above') }}(
                        calm.bid, calm.ask, thresholds.close_below_pct
                    )
                order by calm.orderbook_timestamp desc
                limit 1
            ),
            '-infinity'
        ) as judged_from,
        coalesce(
            (
                select calm.orderbook_timestamp
                from {{ ref('spread_observations') }} as calm
                where
                    calm.book = period.book
                    and calm.orderbook_timestamp > period.last_instant
                    and calm.is_primary
                    and not {{ function('is_above') }}(
                        calm.bid, calm.ask, thresholds.close_below_pct
                    )
                order by calm.orderbook_timestamp asc
                limit 1
            ),
            'infinity'
        ) as judged_until
    from period
    inner join thresholds
        on period.book = thresholds.book

),

quotes as (

    select
        observed.*,
        observed.orderbook_timestamp as quoted_at
    from {{ ref('spread_observations') }} as observed
    where
        observed.book = (select period.book from period)
        and observed.orderbook_timestamp
        >= (select judged.judged_from from judged)
        and observed.orderbook_timestamp
        <= (select judged.judged_until from judged)

),

seen as (

    select max(known.last_observed_at) as seen_until
    from {{ ref('observed_books') }} as known

),

feeds as (

    select * from {{ ref('feed_limits') }}

),

{{ whole_history_to_judge() }},

{{ spread_episodes(
    'observations', 'carried', '(select seen.seen_until from seen)', 'feeds'
) }}

select
    episodes.opened_at,
    episodes.closed_at,
    episodes.last_observed_at,
    episodes.peak_spread,
    episodes.observations,
    episodes.close_reason
from episodes
where
    episodes.opened_at <= (select period.last_instant from period)
    and coalesce(episodes.closed_at, 'infinity')
    >= (select period.first_instant from period)
