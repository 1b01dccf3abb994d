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

        {{ whole_history_to_judge() }}

    {% endif %}
{% endmacro %}
