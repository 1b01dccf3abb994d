with

snapshot_in_use as (

    select current_snapshots.snapshot_id
    from {{ ref('stg_snapshots__current') }} as current_snapshots
    where current_snapshots.kind = 'users'

),

users as (

    select * from {{ source('snapshots', 'users') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )

),

renamed as (

    select users.user_id
    from users

)

select * from renamed
