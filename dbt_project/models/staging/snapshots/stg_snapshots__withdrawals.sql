with

snapshot_in_use as (

    select snapshot_id from {{ ref('stg_snapshots__current') }}
    where kind = 'withdrawals'

),

withdrawals as (

    select * from {{ source('snapshots', 'withdrawals') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )
        and {{ is_readable('withdrawals') }}

),

renamed as (

    select
        ---------- ids
        withdrawals.id as withdrawal_id,
        withdrawals.user_id,

        ---------- strings
        {{ function('code_of') }}(withdrawals.interface) as interface,
        {{ function('code_of') }}(withdrawals.currency) as currency,
        {{ function('code_of') }}(withdrawals.tx_status) as transaction_status,

        ---------- numerics
        cast(withdrawals.amount as numeric(38, 18)) as amount,

        ---------- timestamps
        withdrawals.event_timestamp as withdrawn_at
    from withdrawals

)

select * from renamed
