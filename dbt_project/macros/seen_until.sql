{# When the latest of all quotes is of; before all time while there is none. #}
{% macro latest_quoted_at() -%}
    (
        with

        books as (

            select * from {{ ref('books') }}

        ),

        quotes as not materialized (

            select * from {{ ref('quotes') }}

        )

        select coalesce(max(latest_quotes.quoted_at), '-infinity')
        from {{ latest_quotes() }}
    )
{%- endmacro %}


{#
    The latest quote that a model had seen when it was built. One that was
    built before it took note of that has seen all that there is.
#}
{% macro seen_until(model_name) -%}
    coalesce(
        (
            select progress.seen_until
            from {{ ref('stg_pipeline__progress') }} as progress
            where progress.model_name = '{{ model_name }}'
        ),
        {{ latest_quoted_at() }}
    )
{%- endmacro %}
