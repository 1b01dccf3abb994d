{#
    What spread_hourly counts: every threshold of any book, in the hours of every
    book. A select with the columns of book_thresholds.
#}
{% macro counted_thresholds() -%}
    (
        select
            books.book,
            thresholds.threshold_pct,
            cast(null as numeric) as close_below_pct,
            cast(null as integer) as min_observations,
            cast(null as text) as channels
        from {{ ref('books') }} as books
        cross join (
            select distinct book_thresholds.threshold_pct
            from {{ ref('book_thresholds') }} as book_thresholds
        ) as thresholds
    )
{%- endmacro %}


{#
    The books of which no hour has been counted: all of theirs are to be. And
    those that are none any more: theirs go.
#}
{% macro uncounted_books() -%}
    array(
        select coalesce(books.book, known.book) as book
        from {{ ref('books') }} as books
        full outer join (
            select distinct counted.book
            from {{ ref('stg_pipeline__thresholds_taken_in') }} as counted
            where counted.model_name = 'spread_hourly'
        ) as known
            on books.book = known.book
        where books.book is null or known.book is null
    )
{%- endmacro %}


{# Pre-hook: what is left of such books was said before quotes were renamed. #}
{% macro forget_uncounted_books() -%}
    {% if is_incremental() %}
    delete from {{ this }}
    where book = any({{ uncounted_books() }})
    {% endif %}
{%- endmacro %}


{# A select of the thresholds that hold now and have not been counted. #}
{% macro uncounted_thresholds() -%}
    select distinct watched.threshold_pct
    from {{ ref('book_thresholds') }} as watched
    where
        watched.threshold_pct not in (
            select known.threshold_pct
            from {{ ref('stg_pipeline__thresholds_taken_in') }} as known
            where known.model_name = 'spread_hourly'
        )
{%- endmacro %}


{# Whether there are any: nothing but new quotes is read when there are none. #}
{% macro has_uncounted_thresholds() %}
    {% do return(
        execute and is_incremental()
        and run_query(uncounted_thresholds()) | length > 0
    ) %}
{% endmacro %}


{# Post-hook: the rows of thresholds that no book has any more go. #}
{% macro forget_gone_thresholds() %}
    {% set gone %}
        select distinct known.threshold_pct
        from {{ ref('stg_pipeline__thresholds_taken_in') }} as known
        where
            known.model_name = 'spread_hourly'
            and known.threshold_pct not in (
                select watched.threshold_pct
                from {{ ref('book_thresholds') }} as watched
            )
    {% endset %}
    {% if execute and is_incremental() and run_query(gone) | length > 0 %}
        delete from {{ this }}
        where threshold_pct in ({{ gone }})
    {% endif %}
{% endmacro %}
