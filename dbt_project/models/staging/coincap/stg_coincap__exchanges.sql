with

exchanges as (

    select * from {{ source('coincap', 'coincap_exchanges') }}
    where {{ is_readable('coincap_exchanges') }}

),

renamed as (

    select
        ---------- ids
        exchanges.exchange_id,
        exchanges.run_id,

        ---------- timestamps
        exchanges.received_at,

        ---------- numerics
        {{ function('readable_integer') }}(
            exchanges.payload -> 'rank'
        ) as exchange_rank,
        cast(
            {{ function('readable_amount') }}(
                exchanges.payload -> 'volumeUsd'
            ) as numeric(56, 18)
        ) as volume_usd,
        cast(
            {{ function('readable_amount') }}(
                exchanges.payload -> 'percentTotalVolume'
            ) as numeric(56, 36)
        ) as percent_total_volume,
        {{ function('readable_integer') }}(
            exchanges.payload -> 'tradingPairs'
        ) as trading_pairs,

        ---------- booleans
        {{ function('readable_boolean') }}(
            exchanges.payload -> 'socket'
        ) as has_socket,

        ---------- strings
        exchanges.payload ->> 'name' as exchange_name,
        {{ function('readable_text') }}(
            exchanges.payload -> 'exchangeUrl'
        ) as exchange_url,

        ---------- calculated timestamps
        {{ function('readable_instant') }}(
            exchanges.payload -> 'updated'
        ) as updated_at
    from exchanges

)

select * from renamed
