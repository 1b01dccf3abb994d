{#
    For the view: a range of each book after everything that is modelled. CTEs
    `ranges`, `range_thresholds` and `seen`, from CTEs `books`, `modelled`,
    `fresh_quotes` and `thresholds`.
#}
{% macro ranges_since_modelled() %}
    ranges as (

        select
            books.book,
            modelled.modelled_until + interval '1 microsecond' as range_start
        from books
        cross join modelled

    ),

    -- As values: Postgres expects so few rows that it would join them anew for
    -- each observation.
    range_thresholds as materialized (

        select
            thresholds.*,
            ranges.range_start
        from ranges
        inner join thresholds
            on ranges.book = thresholds.book

    ),

    seen as (

        select
            greatest(
                max(modelled.modelled_until),
                (select max(fresh_quotes.quoted_at) from fresh_quotes)
            ) as seen_until
        from modelled

    )
{% endmacro %}
