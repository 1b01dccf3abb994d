-- By index: of each book the first and the last row.
{{ config(materialized='view') }}

with

books as (

    select * from {{ ref('books') }}

),

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

observed_books as (

    select
        books.book,
        (
            select min(quotes.quoted_at)
            from quotes
            where quotes.book = books.book
        ) as first_observed_at,
        (
            select max(quotes.quoted_at)
            from quotes
            where quotes.book = books.book
        ) as last_observed_at
    from books

)

select * from observed_books
