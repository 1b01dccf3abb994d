with

tickers as (

    select * from {{ source('coingecko', 'coingecko_tickers') }}
    where {{ is_readable('coingecko_tickers') }}

),

renamed as (

    select
        ---------- ids
        tickers.exchange_id,
        tickers.run_id,

        ---------- timestamps
        tickers.received_at,

        ---------- strings
        {{ function('readable_text') }}(
            tickers.payload #> '{market,name}'
        ) as exchange_name,
        upper(tickers.payload ->> 'base') as base,
        upper(tickers.payload ->> 'target') as target
    from tickers

)

select * from renamed
