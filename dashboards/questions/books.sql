/*
title: Books
description: The books that are known, and when each was last observed.
display: table
data: market
*/
with

book_names as (
    select * from marts.book_names
),

spread_observations as not materialized (
    select * from marts.spread_observations
),

books as (
    select distinct book_names.book
    from book_names
),

final as (
    select
        books.book,
        (
            select max(spread_observations.orderbook_timestamp)
            from spread_observations
            where spread_observations.book = books.book
        ) as last_observed_at
    from books
)

select * from final
order by last_observed_at desc nulls last, book asc
