/*
title: Currencies deposited
description: >-
  How many different currencies were deposited on a day.
display: scalar
data: transactions
parameters:
  day: {like: day, unset: the latest day with a deposit}
  status: status_of_deposits
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
    select count(distinct currency) as currencies
    from daily_currency_flows
    where
        kind = 'deposit'
        and flow_date
        = coalesce(
            cast(:day as date), (select latest.flow_date from latest)
        )
        and (:status = 'any' or transaction_status = :status)
)

select * from final
