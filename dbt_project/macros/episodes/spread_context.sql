{#
    Before ranges that begin in the middle of the quotes: the last primary
    quotes, as many as can matter. CTE `context`, from a CTE `ranges` of book
    and range_start, and a CTE `thresholds`.
#}
{% macro spread_context() %}
    context as (

        select
            ranges.book,
            ranges.range_start,
            before_range.quoted_at as observed_at,
            before_range.feed,
            before_range.bid,
            before_range.ask,
            before_range.spread,
            row_number() over (
                partition by ranges.book, ranges.range_start
                order by before_range.quoted_at desc
            ) as context_rank
        from ranges
        cross join
            lateral (
                select quotes.*
                from {{ ref('quotes') }} as quotes
                where
                    quotes.book = ranges.book
                    and quotes.quoted_at < ranges.range_start
                    and quotes.is_primary
                order by quotes.quoted_at desc
                limit (
                    select greatest(max(thresholds.min_observations) - 1, 1)
                    from thresholds
                )
            ) as before_range

    )
{% endmacro %}
