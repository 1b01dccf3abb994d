{{ config(materialized='view') }}

with

books as (

    select books.book from {{ ref('books') }} as books

),

aliases as (

    select * from {{ ref('book_aliases') }}

),

thresholds as (

    select * from {{ ref('spread_thresholds') }}

),

named_thresholds as (

    select
        thresholds.threshold_pct,
        thresholds.channel,
        coalesce(aliases.book, lower(thresholds.book)) as book,
        coalesce(
            thresholds.close_below_pct, thresholds.threshold_pct
        ) as close_below_pct,
        coalesce(thresholds.min_observations, 1) as min_observations
    from thresholds
    left join aliases
        on lower(thresholds.book) = aliases.alias

),

thresholds_of_books as (

    select
        books.book,
        named_thresholds.threshold_pct,
        named_thresholds.channel,
        named_thresholds.close_below_pct,
        named_thresholds.min_observations,
        rank() over (
            partition by books.book, named_thresholds.threshold_pct
            order by named_thresholds.book = '*'
        ) as place
    from books
    inner join named_thresholds
        on named_thresholds.book in (books.book, '*')

),

thresholds_with_channels as (

    select
        thresholds_of_books.book,
        thresholds_of_books.threshold_pct,
        cast(
            min(thresholds_of_books.close_below_pct) as numeric(18, 12)
        ) as close_below_pct,
        string_agg(
            distinct thresholds_of_books.channel, ','
            order by thresholds_of_books.channel
        ) as channels,
        max(thresholds_of_books.min_observations) as min_observations
    from thresholds_of_books
    -- Not `= 1`: of that Postgres expects so few that it joins one by one.
    where thresholds_of_books.place < 2
    group by 1, 2

)

select * from thresholds_with_channels
