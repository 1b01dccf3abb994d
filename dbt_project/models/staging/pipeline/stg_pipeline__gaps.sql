with

gaps as (

    select * from {{ source('pipeline', 'gaps') }}

),

renamed as (

    select
        ---------- ids
        gaps.book,
        gaps.run_id,

        ---------- strings
        gaps.feed,
        gaps.cause,

        ---------- timestamps
        gaps.gap_from,
        gaps.gap_until
    from gaps

)

select * from renamed
