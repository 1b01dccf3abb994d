{#
    Each observation with what comes before and after it in its range, and
    until when its feed may be silent. CTE `neighbours`. Feeds: a relation of
    every feed with its interval_seconds.
#}
{% macro observations_in_order(observations, feeds) %}
    feed_limits as (

        select
            feeds.feed,
            greatest(
                3 * feeds.interval_seconds, 60
            ) * interval '1 second' as blind_after
        from {{ feeds }} as feeds

    ),

    observations_with_limit as (

        select
            {{ observations }}.*,
            {{ observations }}.observed_at + feed_limits.blind_after as blind_at
        from {{ observations }}
        inner join feed_limits
            on {{ observations }}.feed = feed_limits.feed

    ),

    neighbours as (

        select
            observations_with_limit.*,
            lag(observations_with_limit.bid) over in_range as previous_bid,
            lag(observations_with_limit.ask) over in_range as previous_ask,
            coalesce(
                observations_with_limit.observed_at
                > lag(observations_with_limit.blind_at) over in_range,
                true
            ) as is_after_gap,
            lead(observations_with_limit.observed_at) over in_range as next_at,
            row_number() over in_range as place
        from observations_with_limit
        window
            in_range as (
                partition by
                    observations_with_limit.book,
                    observations_with_limit.range_start
                order by observations_with_limit.observed_at
            )

    )
{% endmacro %}
