{{ config(materialized='view') }}

with

known_books as (

    select * from {{ ref('books') }}

),

watched_intervals as (

    select * from {{ ref('watched_intervals') }}

),

aliases as (

    select * from {{ ref('book_aliases') }}

),

-- Also before there are any data of them.
books as (

    select known_books.book from known_books
    union
    select unnest(watched_intervals.books) as book
    from watched_intervals
    union
    select aliases.book from aliases

),

names as (

    select
        books.book as book_name,
        books.book
    from books
    union all
    select
        aliases.alias as book_name,
        aliases.book
    from aliases
    where aliases.alias not in (select books.book from books)

)

select * from names
