{{
    config(
        indexes=[{'columns': ['deposit_dates'], 'type': 'gin'}],
        post_hook=[
            "create index on {{ this }} (user_id)
            include (deposits, last_deposit_date)
            where status = 'complete' and deposits > 0",
            "create index on {{ this }} (user_id)
            include (deposits, last_deposit_date)
            where status = 'any' and deposits > 0",
            "create index on {{ this }} (status, user_id)
            where in_snapshot and deposits = 0",
        ],
    )
}}

with

users as (

    select * from {{ ref('users') }}

),

deposits as (

    select * from {{ ref('deposits') }}

),

deposits_with_date as (

    select
        deposits.user_id,
        deposits.transaction_status,
        {{ reporting_date('deposits.deposited_at') }} as deposit_date
    from deposits

),

deposits_grouped_by_user as (

    select
        deposits_with_date.user_id,
        array_agg(
            deposits_with_date.deposit_date
            order by deposits_with_date.deposit_date
        ) as dates,
        array_agg(
            deposits_with_date.deposit_date
            order by deposits_with_date.deposit_date
        ) filter (
            where deposits_with_date.transaction_status = 'complete'
        ) as complete_dates
    from deposits_with_date
    group by 1

),

users_by_status as (

    select
        statuses.status,
        users.user_id,
        users.in_snapshot,
        coalesce(statuses.dates, '{}') as deposit_dates
    from users
    left join deposits_grouped_by_user
        on users.user_id = deposits_grouped_by_user.user_id
    cross join
        lateral (
            values
            ('any', deposits_grouped_by_user.dates),
            ('complete', deposits_grouped_by_user.complete_dates)
        ) as statuses (status, dates)

),

histories as (

    select
        users_by_status.status,
        users_by_status.user_id,
        users_by_status.in_snapshot,
        users_by_status.deposit_dates,
        cast(cardinality(users_by_status.deposit_dates) as bigint) as deposits,
        users_by_status.deposit_dates[1] as first_deposit_date,
        users_by_status.deposit_dates[
            cardinality(users_by_status.deposit_dates)
        ] as last_deposit_date
    from users_by_status
    -- neighbours in an answer are neighbours on disk
    order by 1, 2

)

select * from histories
