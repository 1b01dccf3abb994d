{{ config(materialized='view') }}

with

tickers as (

    select
        tickers.book,
        tickers.received_at as quoted_at,
        'ticker' as feed,
        tickers.bid,
        tickers.ask,
        tickers.run_id
    from {{ ref('stg_bitso__tickers') }} as tickers

),

order_books as (

    select
        order_books.book,
        order_books.received_at as quoted_at,
        case order_books.channel
            when 'diff-orders' then 'stream'
            else 'order_book'
        end as feed,
        order_books.bid,
        order_books.ask,
        order_books.run_id
    from {{ ref('stg_bitso__order_books') }} as order_books

),

-- Old recorders had their own names for some books.
aliases as (

    select * from {{ ref('book_aliases') }}

),

lake as (

    select
        coalesce(aliases.book, observations.book) as book,
        observations.received_at as quoted_at,
        'lake' as feed,
        observations.bid,
        observations.ask,
        observations.run_id
    from {{ ref('stg_lake__spread_observations') }} as observations
    left join aliases
        on observations.book = aliases.alias

),

received as (

    select * from tickers
    union all
    select * from order_books
    union all
    select * from lake

),

-- A side that is empty is a state of the market, and makes no quote.
two_sided as (

    select
        ---------- ids
        received.book,
        received.quoted_at,
        cast(received.feed as text) as feed,
        received.run_id,

        ---------- numerics
        cast(received.bid as numeric(38, 18)) as bid,
        cast(received.ask as numeric(38, 18)) as ask
    from received
    where
        received.bid is not null
        and received.ask is not null

)

select * from two_sided
