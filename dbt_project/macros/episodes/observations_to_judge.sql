{#
    What spread_alerts judges: all observations, or those of the ranges that
    must be judged anew, with what they begin with. CTEs `observations`,
    `carried` and `range_thresholds`, from CTEs `quotes` and `thresholds`.
#}
{% macro observations_to_judge() %}
    {% if is_incremental() %}

        {{ spread_ranges() }},

        {{ spread_context() }},

        observations as (

            select
                ranges.book,
                ranges.range_start,
                quotes_of_range.quoted_at as observed_at,
                quotes_of_range.feed,
                quotes_of_range.bid,
                quotes_of_range.ask,
                quotes_of_range.spread,
                cast(null as bigint) as context_rank
            from ranges
            cross join
                lateral (
                    select quotes.*
                    from quotes
                    where
                        quotes.book = ranges.book
                        and quotes.quoted_at >= ranges.range_start
                        and quotes.quoted_at < ranges.range_end
                        and quotes.is_primary
                    order by quotes.quoted_at
                    offset 0
                ) as quotes_of_range
            union all
            select * from context

        ),

        {{ episodes_carried() }}

    {% else %}

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

    {% endif %}
{% endmacro %}
