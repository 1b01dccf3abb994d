/*
title: Similar exchanges
description: >-
  The exchanges that share a market with Bitso, compared by the symbols of
  base and target.
display: table
data: exchanges
columns:
  exchange_name: {title: Exchange}
  trust_score: {title: Trust score, unit: of 10}
*/
with

similar_exchanges as (
    select * from marts.similar_exchanges
),

final as (
    select
        exchange_id,
        exchange_name,
        trust_score,
        trust_score_rank,
        shared_markets
    from similar_exchanges
)

select * from final
order by trust_score_rank asc nulls last, exchange_id asc
