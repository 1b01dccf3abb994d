{{ config(materialized='view') }}

with

exchanges as (

    select * from {{ ref('exchanges') }}

),

observed_exchanges as (

    select
        exchanges.exchange_id,
        exchanges.first_seen as first_observed_at,
        exchanges.last_seen as last_observed_at
    from exchanges

)

select * from observed_exchanges
