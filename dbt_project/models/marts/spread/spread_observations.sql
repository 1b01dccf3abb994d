-- A view: a copy of the quotes would say the same, twice as big and later.
{{ config(materialized='view') }}

with

quotes as (

    select * from {{ ref('quotes') }}

),

observations as (

    select
        ---------- ids
        quotes.quoted_at as orderbook_timestamp,
        quotes.book,

        ---------- numerics
        quotes.bid,
        quotes.ask,
        quotes.spread,

        ---------- strings
        quotes.feed,

        ---------- booleans
        quotes.is_primary,
        quotes.bid > quotes.ask as is_crossed
    from quotes

)

select * from observations
