with

exchanges as (

    select * from {{ source('coingecko', 'coingecko_exchanges') }}
    where {{ is_readable('coingecko_exchanges') }}

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
            exchanges.payload -> 'trust_score'
        ) as trust_score,
        {{ function('readable_integer') }}(
            exchanges.payload -> 'trust_score_rank'
        ) as trust_score_rank,

        ---------- strings
        exchanges.payload ->> 'name' as exchange_name
    from exchanges

)

select * from renamed
