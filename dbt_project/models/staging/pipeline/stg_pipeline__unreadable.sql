-- Counted by run and taken in by cuts, as the models over the market are: raw
-- is not read again for what was counted. Changed in place: a new table in its
-- stead would drop the view that reads it.
{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['source', 'run_id', 'reason'],
        indexes=[
            {'columns': ['source', 'run_id', 'reason'], 'unique': true},
        ],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress('stg_pipeline__unreadable') }}",
    )
}}

{% set tables = {
    'bitso_tickers': source('bitso', 'bitso_tickers'),
    'bitso_order_books': source('bitso', 'bitso_order_books'),
    'bitso_books': source('bitso', 'bitso_books'),
    'spread_observations': source('lake', 'spread_observations'),
    'coingecko_exchanges': source('coingecko', 'coingecko_exchanges'),
    'coingecko_tickers': source('coingecko', 'coingecko_tickers'),
    'coincap_exchanges': source('coincap', 'coincap_exchanges'),
} %}

{# A replay brings no row: all of its rows are counted already. #}
{% set is_new = 'false' if is_replay() else is_pending(
    'run_id', 'stg_pipeline__unreadable', 'received_at'
) %}

{% set since = [] %}
{% for table, relation in tables.items() %}
    {% do since.append(
        "select '" ~ table ~ "' as origin, min(received_at) as since from "
        ~ relation
    ) %}
{% endfor %}
{% do assert_remembered(
    'select source as origin, min(first_received_at) as since from '
    ~ this ~ ' group by 1',
    since | join(' union all ')
) %}

with

unreadable as (

    {% for table, relation in tables.items() %}
        {% if not loop.first %}
            union all
        {% endif %}
        select
            '{{ table }}' as source,
            run_id,
            {{ why_unreadable(table) }} as reason,
            received_at
        from {{ relation }}
        where
            ({{ is_readable(table) }}) is not true
            and {{ is_new }}
    {% endfor %}

),

unreadable_grouped_by_run as (

    select
        ---------- ids
        unreadable.run_id,

        ---------- strings
        unreadable.source,
        unreadable.reason,

        ---------- numerics
        count(*) as records,

        ---------- timestamps
        min(unreadable.received_at) as first_received_at
    from unreadable
    group by 1, 2, 3

)

select * from unreadable_grouped_by_run
