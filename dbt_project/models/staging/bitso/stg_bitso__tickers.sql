with

tickers as (

    select * from {{ source('bitso', 'bitso_tickers') }}
    where {{ is_readable('bitso_tickers') }}

),

renamed as (

    select
        ---------- ids
        tickers.book,
        tickers.run_id,

        ---------- numerics
        tickers.bid,
        tickers.ask,

        ---------- timestamps
        tickers.received_at
    from tickers

)

select * from renamed
