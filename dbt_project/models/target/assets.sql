{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['asset'],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress('assets') }}",
    )
}}

{% set markets = adapter.get_relation(
    target.database, 'target', 'markets'
) if execute %}
{% if markets %}
    {% do assert_remembered(
        "select 'markets' as origin, min(first_seen) as since from " ~ markets,
        "select 'markets' as origin, min(received_at) as since from "
        ~ ref('stg_coingecko__tickers')
    ) %}
{% endif %}

with

tickers as (

    select * from {{ ref('stg_coingecko__tickers') }}
    where {{ is_pending('run_id', 'assets', 'received_at') }}

),

mentions as (

    select tickers.base as asset
    from tickers
    union distinct
    select tickers.target as asset
    from tickers

)

select * from mentions
