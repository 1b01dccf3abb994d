with

exchanges as (

    select * from {{ source('coingecko', 'coingecko_exchanges') }}

),

renamed as (

    select
        ---------- ids
        exchanges.exchange_id,
        exchanges.run_id,

        ---------- timestamps
        exchanges.received_at,

        ---------- numerics
        cast(
            cast(exchanges.payload ->> 'trust_score' as numeric) as integer
        ) as trust_score,
        cast(
            cast(exchanges.payload ->> 'trust_score_rank' as numeric) as integer
        ) as trust_score_rank,

        ---------- strings
        exchanges.payload ->> 'name' as exchange_name
    from exchanges

)

select * from renamed
