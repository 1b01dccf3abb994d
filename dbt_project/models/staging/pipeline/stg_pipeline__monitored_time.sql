with

monitored_time as (

    select * from {{ source('pipeline', 'monitored_time') }}

),

renamed as (

    select
        ---------- strings
        monitored_time.feed,
        monitored_time.books,

        ---------- numerics
        cast(
            extract(epoch from monitored_time.interval) as integer
        ) as interval_seconds,

        ---------- booleans
        monitored_time.is_recorded,

        ---------- timestamps
        monitored_time.monitored_from,
        monitored_time.monitored_until
    from monitored_time

)

select * from renamed
