-- What came in a moment ago counts, modelled or not.
{{ config(materialized='view') }}

with

books as (

    select * from {{ ref('books') }}

),

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

{{ quotes_since_modelled() }},

{{ quotes_ranked('fresh_quotes') }},

fresh as (

    select distinct on (ranked.book)
        ranked.book,
        ranked.quoted_at as observed_at,
        ranked.feed,
        ranked.bid,
        ranked.ask,
        ranked.spread
    from ranked
    where ranked.is_primary
    order by ranked.book asc, ranked.quoted_at desc

),

modelled_last as (

    select
        books.book,
        last_quote.quoted_at as observed_at,
        last_quote.feed,
        last_quote.bid,
        last_quote.ask,
        last_quote.spread
    from books
    cross join
        lateral (
            select quotes.*
            from quotes
            where quotes.book = books.book and quotes.is_primary
            order by quotes.quoted_at desc
            limit 1
        ) as last_quote

),

observations as (

    select * from fresh
    union all
    select * from modelled_last

),

latest as (

    select distinct on (observations.book) observations.*
    from observations
    order by observations.book asc, observations.observed_at desc

)

select * from latest
