{#
    All of the quotes as one range, before which there is nothing. CTEs
    `range_thresholds`, `observations` and `carried`, from CTEs `quotes` and
    `thresholds`.
#}
{% macro whole_history_to_judge() %}
    range_thresholds as (

        select
            thresholds.*,
            timestamptz '-infinity' as range_start
        from thresholds

    ),

    observations as (

        select
            quotes.book,
            quotes.quoted_at as observed_at,
            quotes.feed,
            quotes.bid,
            quotes.ask,
            quotes.spread,
            cast(null as bigint) as context_rank,
            timestamptz '-infinity' as range_start
        from quotes
        where quotes.is_primary

    ),

    carried as (

        select
            observations.book,
            observations.range_start,
            cast(null as numeric) as threshold_pct,
            observations.observed_at as opened_at,
            observations.bid as opening_bid,
            observations.ask as opening_ask,
            observations.spread as opening_spread,
            observations.spread as peak_spread,
            cast(null as bigint) as observations,
            cast(null as bigint) as breaches
        from observations
        where false

    )
{% endmacro %}
