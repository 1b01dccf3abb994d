with

exchanges as (

    select * from {{ source('coincap', 'coincap_exchanges') }}

),

renamed as (

    select
        ---------- ids
        exchanges.exchange_id,
        exchanges.run_id,

        ---------- timestamps
        exchanges.received_at,

        ---------- numerics
        cast(exchanges.payload ->> 'rank' as integer) as exchange_rank,
        cast(
            exchanges.payload ->> 'volumeUsd' as numeric(56, 18)
        ) as volume_usd,
        cast(
            exchanges.payload ->> 'percentTotalVolume' as numeric(56, 36)
        ) as percent_total_volume,
        cast(exchanges.payload ->> 'tradingPairs' as integer) as trading_pairs,

        ---------- booleans
        cast(exchanges.payload ->> 'socket' as boolean) as has_socket,

        ---------- strings
        exchanges.payload ->> 'name' as exchange_name,
        exchanges.payload ->> 'exchangeUrl' as exchange_url,

        ---------- calculated timestamps
        timestamptz '1970-01-01 00:00+00'
        + cast(exchanges.payload ->> 'updated' as bigint)
        * interval '1 millisecond' as updated_at
    from exchanges

)

select * from renamed
