with

monitored as (

    select * from {{ source('pipeline', 'monitored') }}

),

renamed as (

    select
        ---------- ids
        monitored.run_id,

        ---------- strings
        monitored.books,

        ---------- timestamps
        monitored.monitored_from,
        monitored.monitored_until
    from monitored

)

select * from renamed
