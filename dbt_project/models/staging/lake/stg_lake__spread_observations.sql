with

spread_observations as (

    select * from {{ source('lake', 'spread_observations') }}
    where {{ is_readable('spread_observations') }}

),

renamed as (

    select
        ---------- ids
        spread_observations.book,
        spread_observations.run_id,

        ---------- numerics
        spread_observations.bid,
        spread_observations.ask,

        ---------- timestamps
        spread_observations.received_at
    from spread_observations

)

select * from renamed
