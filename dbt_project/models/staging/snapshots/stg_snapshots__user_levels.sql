with

snapshot_in_use as (

    select snapshot_id from {{ ref('stg_snapshots__current') }}
    where kind = 'user_levels'

),

user_levels as (

    select * from {{ source('snapshots', 'user_levels') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )
        and {{ is_readable('user_levels') }}

),

renamed as (

    select
        ---------- ids
        user_levels.user_id,

        ---------- strings
        {{ function('code_of') }}(user_levels.jurisdiction) as jurisdiction,

        ---------- numerics
        user_levels.level,

        ---------- timestamps
        user_levels.event_timestamp as reached_at
    from user_levels

)

select * from renamed
