/*
title: Currencies
description: >-
  The currencies that were ever deposited or withdrawn, with the number of
  transactions of any status.
display: table
data: transactions
*/
with

daily_currency_flows as (
    select * from marts.daily_currency_flows
),

final as (
    select
        currency,
        cast(sum(transactions) as bigint) as transactions
    from daily_currency_flows
    group by currency
)

select * from final
order by transactions desc, currency asc
