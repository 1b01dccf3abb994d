with

snapshot_in_use as (

    select snapshot_id from {{ ref('stg_snapshots__current') }}
    where kind = 'users'

),

users as (

    select * from {{ source('snapshots', 'users') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )
        and {{ is_readable('users') }}

),

renamed as (

    select users.user_id
    from users

)

select * from renamed
