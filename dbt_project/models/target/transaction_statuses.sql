with

known_transaction_statuses as (

    select * from {{ ref('known_transaction_statuses') }}

),

deposits as (

    select * from {{ ref('stg_snapshots__deposits') }}

),

withdrawals as (

    select * from {{ ref('stg_snapshots__withdrawals') }}

),

mentions as (

    select
        {{ function('code_of') }}(
            known_transaction_statuses.transaction_status
        ) as transaction_status,
        true as is_known
    from known_transaction_statuses
    union all
    select distinct
        deposits.transaction_status,
        false as is_known
    from deposits
    union all
    select distinct
        withdrawals.transaction_status,
        false as is_known
    from withdrawals

),

mentions_merged_to_transaction_statuses as (

    select
        mentions.transaction_status,
        bool_or(mentions.is_known) as is_known
    from mentions
    group by 1

)

select * from mentions_merged_to_transaction_statuses
