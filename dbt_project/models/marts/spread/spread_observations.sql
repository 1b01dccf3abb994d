-- A view: a copy of the quotes would say the same, twice as big and later. And
-- without a CTE, which Postgres would not take into the query that asks: then
-- the newest row of a book is not found by index.
{{ config(materialized='view') }}

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
from {{ ref('quotes') }} as quotes
