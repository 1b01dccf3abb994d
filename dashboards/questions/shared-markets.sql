/*
title: Shared markets
description: >-
  The markets of other exchanges that Bitso has too.
display: table
data: exchanges
parameters:
  exchange_id:
    type: text
    unset: all exchanges
    description: "One exchange, by its id."
    known: {table: shared_markets, column: exchange_id}
*/
with

shared_markets as (
    select * from marts.shared_markets
),

final as (
    select
        exchange_id,
        base,
        target
    from shared_markets
    where cast(:exchange_id as text) is null or exchange_id = :exchange_id
)

select * from final
order by exchange_id, base, target
