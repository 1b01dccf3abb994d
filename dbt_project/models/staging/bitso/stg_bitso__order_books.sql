with

order_books as (

    select * from {{ source('bitso', 'bitso_order_books') }}
    where {{ is_readable('bitso_order_books') }}

),

renamed as (

    select
        ---------- ids
        order_books.book,
        order_books.run_id,

        ---------- strings
        order_books.channel,

        ---------- numerics
        order_books.sequence,
        order_books.bid,
        order_books.ask,

        ---------- timestamps
        order_books.received_at
    from order_books

)

select * from renamed
