with

deposits as (

    select * from {{ ref('deposits') }}

),

withdrawals as (

    select * from {{ ref('withdrawals') }}

),

transactions as (

    select
        deposits.currency,
        deposits.transaction_status,
        deposits.amount,
        'deposit' as kind,
        {{ reporting_date('deposits.deposited_at') }} as flow_date
    from deposits
    union all
    select
        withdrawals.currency,
        withdrawals.transaction_status,
        withdrawals.amount,
        'withdrawal' as kind,
        {{ reporting_date('withdrawals.withdrawn_at') }} as flow_date
    from withdrawals

),

flows as (

    select
        transactions.flow_date,
        transactions.kind,
        transactions.currency,
        transactions.transaction_status,
        -- 18 digits more than an amount has before its point: room for 10^18
        cast(
            coalesce(sum(transactions.amount), 0) as numeric(56, 18)
        ) as amount,
        count(*) as transactions,
        count(*) - count(transactions.amount) as transactions_without_amount
    from transactions
    group by 1, 2, 3, 4

)

select * from flows
