with

deposits as (

    select * from {{ ref('deposits') }}

),

current_levels as (

    select * from {{ ref('user_level_current') }}

),

deposits_grouped_by_level as (

    select
        current_levels.jurisdiction,
        current_levels.level,
        deposits.currency,
        deposits.transaction_status,
        count(*) as deposits,
        sum(deposits.amount) as amount
    from deposits
    inner join current_levels
        on deposits.user_id = current_levels.user_id
    where deposits.amount is not null
    group by 1, 2, 3, 4

),

levels_by_status as (

    select
        deposits_grouped_by_level.jurisdiction,
        deposits_grouped_by_level.level,
        deposits_grouped_by_level.currency,
        statuses.status,
        cast(sum(deposits_grouped_by_level.deposits) as bigint) as deposits,
        -- 18 digits more than an amount has before its point: room for 10^18
        cast(
            sum(deposits_grouped_by_level.amount) as numeric(56, 18)
        ) as amount
    from deposits_grouped_by_level
    cross join (values ('any'), ('complete')) as statuses (status)
    where
        statuses.status in (
            'any', deposits_grouped_by_level.transaction_status
        )
    group by 1, 2, 3, 4

)

select * from levels_by_status
