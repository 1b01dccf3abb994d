/*
title: Amounts by day
description: How much of a currency was deposited and withdrawn on each day.
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
  currency:
    like: currency
    default: mxn
  status: status
*/
with

daily_currency_flows as (
    select * from marts.daily_currency_flows
),

last_day as (
    select
        coalesce(
            cast(:to as date), max(daily_currency_flows.flow_date)
        ) as last_date
    from daily_currency_flows
),

days as (
    select
        cast(
            generate_series(
                cast(
                    coalesce(cast(:from as date), last_day.last_date - 89)
                    as timestamp
                ),
                cast(last_day.last_date as timestamp),
                interval '1 day'
            )
            as date
        ) as day
    from last_day
),

flows as (
    select
        flow_date,
        kind,
        amount
    from daily_currency_flows
    where
        lower(currency) = lower(:currency)
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
