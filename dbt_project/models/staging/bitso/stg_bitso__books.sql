with

books as (

    select * from {{ source('bitso', 'bitso_books') }}
    where {{ is_readable('bitso_books') }}

),

renamed as (

    select
        ---------- ids
        books.book,
        books.run_id,

        ---------- timestamps
        books.received_at
    from books

)

select * from renamed
