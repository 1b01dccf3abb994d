-- Nothing is lost on the way to the flows: by kind and currency they hold all
-- transactions of the target, and the sum of their amounts to the last digit.
with

deposits as (

    select * from {{ ref('deposits') }}

),

withdrawals as (

    select * from {{ ref('withdrawals') }}

),

flows as (

    select * from {{ ref('daily_currency_flows') }}

),

in_target as (

    select
        'deposit' as kind,
        deposits.currency,
        count(*) as transactions,
        coalesce(sum(deposits.amount), 0) as amount
    from deposits
    group by 1, 2
    union all
    select
        'withdrawal' as kind,
        withdrawals.currency,
        count(*) as transactions,
        coalesce(sum(withdrawals.amount), 0) as amount
    from withdrawals
    group by 1, 2

),

in_flows as (

    select
        flows.kind,
        flows.currency,
        sum(flows.transactions) as transactions,
        sum(flows.amount) as amount
    from flows
    group by 1, 2

),

differences as (

    select
        coalesce(in_target.kind, in_flows.kind) as kind,
        coalesce(in_target.currency, in_flows.currency) as currency
    from in_target
    full join in_flows
        on
            in_target.kind = in_flows.kind
            and in_target.currency = in_flows.currency
    where
        (in_target.transactions, in_target.amount)
        is distinct from (in_flows.transactions, in_flows.amount)

)

select * from differences
