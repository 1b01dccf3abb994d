{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['exchange_id'],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress('exchanges') }}",
    )
}}

{% do assert_remembered(
    "select 'exchanges' as origin, min(first_seen) as since from " ~ this,
    "select 'exchanges' as origin, least(
        (select min(received_at) from " ~ ref('stg_coingecko__exchanges') ~ "),
        (select min(received_at) from " ~ ref('stg_coingecko__tickers') ~ ')
    ) as since'
) %}

with

lists as (

    select * from {{ ref('stg_coingecko__exchanges') }}
    where {{ is_pending('run_id', 'exchanges', 'received_at') }}

),

tickers as (

    select * from {{ ref('stg_coingecko__tickers') }}
    where {{ is_pending('run_id', 'exchanges', 'received_at') }}

),

mentions as (

    select
        lists.exchange_id,
        lists.exchange_name,
        lists.trust_score,
        lists.trust_score_rank,
        lists.received_at as first_seen,
        lists.received_at as last_seen,
        lists.received_at as listed_at
    from lists
    union all
    select
        tickers.exchange_id,
        tickers.exchange_name,
        cast(null as integer) as trust_score,
        cast(null as integer) as trust_score_rank,
        min(tickers.received_at) as first_seen,
        max(tickers.received_at) as last_seen,
        cast(null as timestamptz) as listed_at
    from tickers
    group by 1, 2
    {% if is_incremental() %}
        union all
        select
            known.exchange_id,
            known.exchange_name,
            known.trust_score,
            known.trust_score_rank,
            known.first_seen,
            known.last_seen,
            known.listed_at
        from {{ this }} as known
    {% endif %}

),

-- The latest list knows best; of exchanges in no list, the latest market.
mentions_ranked as (

    select
        mentions.*,
        row_number() over (
            partition by mentions.exchange_id
            order by
                mentions.listed_at desc nulls last,
                mentions.last_seen desc,
                mentions.trust_score_rank asc,
                mentions.trust_score desc,
                mentions.exchange_name asc
        ) as place
    from mentions

),

mentions_merged_to_exchanges as (

    select
        ---------- ids
        mentions_ranked.exchange_id,

        ---------- strings
        coalesce(
            max(mentions_ranked.exchange_name)
                filter (where mentions_ranked.place = 1),
            mentions_ranked.exchange_id
        ) as exchange_name,

        ---------- numerics
        max(mentions_ranked.trust_score)
            filter (where mentions_ranked.place = 1) as trust_score,
        max(mentions_ranked.trust_score_rank)
            filter (where mentions_ranked.place = 1) as trust_score_rank,

        ---------- timestamps
        min(mentions_ranked.first_seen) as first_seen,
        max(mentions_ranked.last_seen) as last_seen,
        max(mentions_ranked.listed_at) as listed_at
    from mentions_ranked
    group by mentions_ranked.exchange_id

)

select * from mentions_merged_to_exchanges
