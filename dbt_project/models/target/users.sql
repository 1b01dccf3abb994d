with

users as (

    select * from {{ ref('stg_snapshots__users') }}

),

deposits as (

    select * from {{ ref('stg_snapshots__deposits') }}

),

withdrawals as (

    select * from {{ ref('stg_snapshots__withdrawals') }}

),

events as (

    select * from {{ ref('stg_snapshots__events') }}

),

user_levels as (

    select * from {{ ref('stg_snapshots__user_levels') }}

),

mentions as (

    select
        users.user_id,
        true as in_snapshot
    from users
    union all
    select distinct
        deposits.user_id,
        false as in_snapshot
    from deposits
    union all
    select distinct
        withdrawals.user_id,
        false as in_snapshot
    from withdrawals
    union all
    select distinct
        events.user_id,
        false as in_snapshot
    from events
    union all
    select distinct
        user_levels.user_id,
        false as in_snapshot
    from user_levels

),

mentions_merged_to_users as (

    select
        mentions.user_id,
        bool_or(mentions.in_snapshot) as in_snapshot
    from mentions
    group by 1

)

select * from mentions_merged_to_users
