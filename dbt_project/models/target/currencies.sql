with

known_currencies as (

    select * from {{ ref('known_currencies') }}

),

deposits as (

    select * from {{ ref('stg_snapshots__deposits') }}

),

withdrawals as (

    select * from {{ ref('stg_snapshots__withdrawals') }}

),

mentions as (

    select
        {{ function('code_of') }}(known_currencies.currency) as currency,
        true as is_known
    from known_currencies
    union all
    select distinct
        deposits.currency,
        false as is_known
    from deposits
    union all
    select distinct
        withdrawals.currency,
        false as is_known
    from withdrawals

),

mentions_merged_to_currencies as (

    select
        mentions.currency,
        bool_or(mentions.is_known) as is_known
    from mentions
    group by 1

)

select * from mentions_merged_to_currencies
