with

deposits as (

    select * from {{ ref('deposits') }}

),

current_levels as (

    select * from {{ ref('user_level_current') }}

),

deposits_grouped_by_user as (

    select
        deposits.user_id,
        deposits.currency,
        deposits.transaction_status,
        count(*) as deposits,
        sum(deposits.amount) as amount
    from deposits
    where deposits.amount is not null
    group by 1, 2, 3

),

deposits_grouped_by_level as (

    select
        current_levels.jurisdiction,
        current_levels.level,
        deposits_grouped_by_user.currency,
        statuses.status,
        cast(sum(deposits_grouped_by_user.deposits) as bigint) as deposits,
        cast(sum(deposits_grouped_by_user.amount) as numeric(56, 18)) as amount
    from deposits_grouped_by_user
    inner join current_levels
        on deposits_grouped_by_user.user_id = current_levels.user_id
    cross join (values ('any'), ('complete')) as statuses (status)
    where
        statuses.status in (
            'any', deposits_grouped_by_user.transaction_status
        )
    group by 1, 2, 3, 4

)

select * from deposits_grouped_by_level
