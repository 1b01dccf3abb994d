{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['exchange_id', 'base', 'target'],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress('markets') }}",
    )
}}

{% do assert_remembered(
    "select 'markets' as origin, min(first_seen) as since from " ~ this,
    "select 'markets' as origin, min(received_at) as since from "
    ~ ref('stg_coingecko__tickers')
) %}

-- Its foreign keys hold while it runs: what they point at comes first.
-- depends_on: {{ ref('assets') }}
-- depends_on: {{ ref('exchanges') }}

with

tickers as (

    select * from {{ ref('stg_coingecko__tickers') }}
    where {{ is_pending('run_id', 'markets', 'received_at') }}

),

mentions as (

    select
        tickers.exchange_id,
        tickers.base,
        tickers.target,
        tickers.received_at as first_seen,
        tickers.received_at as last_seen
    from tickers
    {% if is_incremental() %}
        union all
        select
            known.exchange_id,
            known.base,
            known.target,
            known.first_seen,
            known.last_seen
        from {{ this }} as known
    {% endif %}

),

mentions_merged_to_markets as (

    select
        mentions.exchange_id,
        mentions.base,
        mentions.target,
        min(mentions.first_seen) as first_seen,
        max(mentions.last_seen) as last_seen
    from mentions
    group by 1, 2, 3

)

select * from mentions_merged_to_markets
