with

shared_markets as (

    select * from {{ ref('shared_markets') }}

),

exchanges as (

    select * from {{ ref('exchanges') }}

),

markets_counted as (

    select
        shared_markets.exchange_id,
        count(*) as shared_markets
    from shared_markets
    group by 1

),

similar_exchanges as (

    select
        ---------- ids
        markets_counted.exchange_id,

        ---------- strings
        exchanges.exchange_name,

        ---------- numerics
        exchanges.trust_score,
        exchanges.trust_score_rank,
        markets_counted.shared_markets
    from markets_counted
    left join exchanges
        on markets_counted.exchange_id = exchanges.exchange_id

)

select * from similar_exchanges
