with

deposits as (

    select * from {{ ref('deposits') }}

),

withdrawals as (

    select * from {{ ref('withdrawals') }}

),

transactions as (

    select
        deposits.user_id,
        deposits.transaction_status,
        {{ reporting_date('deposits.deposited_at') }} as activity_date
    from deposits
    union all
    select
        withdrawals.user_id,
        withdrawals.transaction_status,
        {{ reporting_date('withdrawals.withdrawn_at') }} as activity_date
    from withdrawals

),

user_days as (

    select
        transactions.activity_date,
        transactions.user_id,
        bool_or(transactions.transaction_status = 'complete') as has_complete
    from transactions
    group by 1, 2

),

days as (

    select
        user_days.activity_date,
        count(*) as active_users,
        count(*) filter (where user_days.has_complete) as complete_users
    from user_days
    group by 1

),

days_by_status as (

    select
        days.activity_date,
        statuses.status,
        statuses.active_users
    from days
    cross join
        lateral (
            values
            ('any', days.active_users),
            ('complete', days.complete_users)
        ) as statuses (status, active_users)
    where statuses.active_users > 0

)

select * from days_by_status
