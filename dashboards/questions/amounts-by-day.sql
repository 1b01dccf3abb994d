/*
title: Amounts by day
description: >-
  How much of a currency was deposited and withdrawn on each day between the
  first and the last with a transaction.
display: bar
data: transactions
chart:
  x: day
  y: [deposited, withdrawn]
  y_title: Amount in the currency
columns:
  day: {title: Day}
  deposited: {decimals: 2}
  withdrawn: {decimals: 2}
parameters:
  from: {like: from_day, unset: 89 days before to}
  to: {like: to_day, unset: the latest day with a deposit or withdrawal}
  currency: {like: currency, default: mxn}
  status: status
*/
with

daily_currency_flows as (
    select * from marts.daily_currency_flows
),

known_days as (
    select
        min(flow_date) as first_day,
        max(flow_date) as last_day
    from daily_currency_flows
),

days as (
    select known.known_day as day
    from known_days
    cross join
        lateral marts.days_known(
            cast(:from as date),
            cast(:to as date),
            known_days.first_day,
            known_days.last_day
        ) as known
),

flows as (
    select
        flow_date,
        kind,
        amount
    from daily_currency_flows
    where
        currency = marts.code_of(:currency)
        and (:status = 'any' or transaction_status = :status)
),

final as (
    select
        days.day,
        trim_scale(
            coalesce(
                sum(flows.amount) filter (where flows.kind = 'deposit'), 0
            )
        ) as deposited,
        trim_scale(
            coalesce(
                sum(flows.amount) filter (where flows.kind = 'withdrawal'), 0
            )
        ) as withdrawn
    from days
    left join flows
        on days.day = flows.flow_date
    group by days.day
)

select * from final
order by day
