with

monitored as (

    select * from {{ source('pipeline', 'monitored') }}

),

renamed as (

    select
        ---------- ids
        monitored.run_id,

        ---------- strings
        monitored.feed,
        monitored.books,

        ---------- numerics
        cast(
            extract(epoch from monitored.interval) as integer
        ) as interval_seconds,

        ---------- booleans
        monitored.is_recorded,
        monitored.is_merged,

        ---------- timestamps
        monitored.monitored_from,
        monitored.monitored_until
    from monitored

)

select * from renamed
