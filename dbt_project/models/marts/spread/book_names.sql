{{ config(materialized='view') }}

with

books as (

    select books.book from {{ ref('books') }} as books

),

aliases as (

    select * from {{ ref('book_aliases') }}

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
