with

snapshot_in_use as (

    select snapshot_id from {{ ref('stg_snapshots__current') }}
    where kind = 'deposits'

),

deposits as (

    select * from {{ source('snapshots', 'deposits') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )
        and {{ is_readable('deposits') }}

),

renamed as (

    select
        ---------- ids
        deposits.id as deposit_id,
        deposits.user_id,

        ---------- strings
        {{ function('code_of') }}(deposits.currency) as currency,
        {{ function('code_of') }}(deposits.tx_status) as transaction_status,

        ---------- numerics
        cast(deposits.amount as numeric(38, 18)) as amount,

        ---------- timestamps
        deposits.event_timestamp as deposited_at
    from deposits

)

select * from renamed
