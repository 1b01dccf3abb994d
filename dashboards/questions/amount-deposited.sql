/*
title: Amount deposited
description: >-
  The total amount of a currency deposited on a day. Deposits without an
  amount add nothing.
display: scalar
data: transactions
parameters:
  day: {like: day, unset: the latest day with a deposit of any currency}
  currency:
    like: currency
    default: mxn
  status: {like: status, description: "Add complete deposits only, or any."}
*/
with

daily_currency_flows as not materialized (
    select * from marts.daily_currency_flows
),

latest as (
    select max(flow_date) as flow_date
    from daily_currency_flows
    where kind = 'deposit'
),

final as (
    select trim_scale(coalesce(sum(amount), 0)) as amount
    from daily_currency_flows
    where
        kind = 'deposit'
        and flow_date
        = coalesce(
            cast(:day as date), (select latest.flow_date from latest)
        )
        and currency = marts.code_of(:currency)
        and (:status = 'any' or transaction_status = :status)
)

select * from final
