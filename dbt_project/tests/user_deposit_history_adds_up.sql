-- Two rows a user, and every deposit in the history of its user.
with

users as (

    select * from {{ ref('users') }}

),

deposits as (

    select * from {{ ref('deposits') }}

),

histories as (

    select * from {{ ref('user_deposit_history') }}

),

in_target as (

    select
        (select count(*) from users) as known_users,
        count(*) as deposits,
        count(*) filter (
            where deposits.transaction_status = 'complete'
        ) as complete_deposits
    from deposits

),

in_histories as (

    select
        count(*) filter (where histories.status = 'any') as any_users,
        count(*) filter (
            where histories.status = 'complete'
        ) as complete_users,
        coalesce(
            sum(histories.deposits) filter (where histories.status = 'any'), 0
        ) as deposits,
        coalesce(
            sum(histories.deposits) filter (
                where histories.status = 'complete'
            ), 0
        ) as complete_deposits
    from histories

),

differences as (

    select in_histories.*
    from in_target
    cross join in_histories
    where
        in_target.known_users <> in_histories.any_users
        or in_target.known_users <> in_histories.complete_users
        or in_target.deposits <> in_histories.deposits
        or in_target.complete_deposits <> in_histories.complete_deposits

)

select * from differences
