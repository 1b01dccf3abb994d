with

snapshot_in_use as (

    select snapshot_id from {{ ref('stg_snapshots__current') }}
    where kind = 'events'

),

events as (

    select * from {{ source('snapshots', 'events') }}
    where
        snapshot_id = (
            select snapshot_in_use.snapshot_id from snapshot_in_use
        )
        and {{ is_readable('events') }}

),

renamed as (

    select
        ---------- ids
        events.id as event_id,
        events.user_id,

        ---------- strings
        {{ function('code_of') }}(events.event_name) as event_name,

        ---------- timestamps
        events.event_timestamp as occurred_at
    from events

)

select * from renamed
