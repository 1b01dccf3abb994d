with

exchanges as (

    select * from {{ source('coingecko', 'coingecko_exchanges') }}

),

renamed as (

    select
        ---------- ids
        exchanges.exchange_id,
        exchanges.run_id,

        ---------- strings
        exchanges.payload ->> 'name' as exchange_name,

        ---------- numerics
        cast(
            cast(exchanges.payload ->> 'trust_score' as numeric) as integer
        ) as trust_score,
        cast(
            cast(exchanges.payload ->> 'trust_score_rank' as numeric) as integer
        ) as trust_score_rank,

        ---------- timestamps
        exchanges.received_at
    from exchanges

)

select * from renamed
