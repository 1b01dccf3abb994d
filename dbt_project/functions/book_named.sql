-- A name that nobody knows is asked for as it stands. Of two that differ in
-- case alone, the one that was typed.
select
    coalesce(
        (
            select book from {{ ref('book_names') }}
            where lower(book_name) = lower(any_name)
            order by book_name = any_name desc, book_name asc
            limit 1
        ),
        lower(any_name)
    ) as book
