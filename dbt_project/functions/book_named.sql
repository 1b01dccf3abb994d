-- A name that nobody knows is asked for as it stands.
select
    coalesce(
        (
            select book from {{ ref('book_names') }}
            where book_name = lower(any_name)
        ),
        lower(any_name)
    ) as book
