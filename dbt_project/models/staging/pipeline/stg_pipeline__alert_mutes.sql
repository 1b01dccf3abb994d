with

mutes as (

    select * from {{ source('pipeline', 'alert_mutes') }}

),

renamed as (

    select
        ---------- ids
        mutes.book,

        ---------- timestamps
        mutes.muted_from,
        mutes.muted_until
    from mutes

)

select * from renamed
